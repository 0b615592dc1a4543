/*
 * verb_explain - explain: what would become of a message, rule by rule.
 */
#ifndef VERB_EXPLAIN_H
#define VERB_EXPLAIN_H

#include "cli.h"

int verb_explain_run(struct cli *cli);

#endif
