/*
 * verb_drain - drain: flush, and wait until nothing is left.
 */
#ifndef VERB_DRAIN_H
#define VERB_DRAIN_H

#include "cli.h"

int verb_drain_run(struct cli *cli);

#endif
