/*
 * verb_user - `sendoff user`: who may log in at a listener, in its users file; with the agent running or not.
 *
 * A change replaces the file by a new one of the same owner, group and mode, so that whoever reads it sees all of it.
 * Threads: one.
 */
#ifndef VERB_USER_H
#define VERB_USER_H

#include "cli.h"

int verb_user_run(struct cli *cli);

#endif
