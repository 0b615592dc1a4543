/* verb_test - `sendoff test`: the way to a next hop, step by step. */
#ifndef VERB_TEST_H
#define VERB_TEST_H

#include <jansson.h>

#include "cli.h"

int verb_test_run(struct cli *cli);
/* A row of type "step". */
void verb_test_step(const struct cli *cli, const json_t *row);

#endif
