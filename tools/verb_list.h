/*
 * verb_list - list: the queue as a table, one row a message. The table is also what the verbs that change something
 *             show before they act.
 */
#ifndef VERB_LIST_H
#define VERB_LIST_H

#include <stdio.h>

#include "cli.h"

int verb_list_run(struct cli *cli);

void verb_list_head(const struct cli *cli, FILE *out);
void verb_list_row(const struct cli *cli, FILE *out, const json_t *row, int64_t now_ms);
/* Says that so many of the ids that were given are not in the queue. */
void verb_list_missing(int64_t count);

#endif
