/*
 * verb_change - flush, hold, release, remove: what changes messages; pause and resume: what changes lanes.
 */
#ifndef VERB_CHANGE_H
#define VERB_CHANGE_H

#include "cli.h"

int verb_change_run(struct cli *cli);
int verb_change_lane(struct cli *cli);

#endif
