/*
 * run - commands of the owner's configuration (secret_command), run by the shell, a few at once.
 *
 * Owns:    the processes, each in a session of its own so that a timeout ends all of it, and what they print.
 * Promise: a command gets /dev/null as input, no descriptor of ours, and the time it is given, waiting included. What it
 *          prints is cut to its first line and overwritten after use. `done` never runs from inside run_command();
 *          after run_cancel() it never runs.
 * Threads: the loop's. One set per process: it takes SIGCHLD.
 */
#ifndef RUN_H
#define RUN_H

#include "base/span.h"
#include "net/loop.h"

enum {
	RUN_AT_ONCE = 8,
	RUN_WAITING = 64,
	RUN_OUTPUT = 64 * 1024, /* bytes a command may print */
	RUN_ERROR_SIZE = 300,
};

struct run_set;
struct run;

struct run_set *run_set_new(struct loop *loop);
/* Kills what still runs. */
void run_set_free(struct run_set *set);

/* `output` is the first line without its end, `error` says for people why there is none; both are borrowed for the
 * callback. */
struct run *run_command(struct run_set *set, const char *command, int64_t timeout_ms,
			void (*done)(void *arg, bool ok, struct span output, const char *error), void *arg);
void run_cancel(struct run *run);

#endif
