/*
 * sink - a small smart host on loopback, for trying things out and for tests: takes mail, keeps or counts it, and
 *        misbehaves as told.
 *
 * Not for the world: it has no limits to speak of and asks nobody who they are.
 * Threads: one.
 */
#ifndef SINK_H
#define SINK_H

#include "cli.h"

int sink_run(struct cli *cli);

#endif
