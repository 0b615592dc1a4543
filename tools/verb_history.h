/*
 * verb_history - history: how mail ended, newest first.
 */
#ifndef VERB_HISTORY_H
#define VERB_HISTORY_H

#include "cli.h"

int verb_history_run(struct cli *cli);

#endif
