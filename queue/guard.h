/*
 * guard - the queue's directory: made, locked against a second agent, and judged.
 *
 * Owns:    the directory's descriptor and the lock file `queue.pid`, which holds the agent's process id.
 * Threads: the caller's.
 */
#ifndef GUARD_H
#define GUARD_H

#include "queue/queue.h"

struct guard {
	int dir_fd, lock_fd; /* -1: none */
};

/* Makes the directory with mode 0700 where it is missing and flushes it and its parent. QUEUE_LOCKED names the
 * other agent. `why` gets one line for people. */
enum queue_err guard_open(const char *directory, struct guard *out, char *why, size_t why_size);
void guard_close(struct guard *g);
/* Why this file system is no place for mail, for people, or NULL. */
const char *guard_objection(const struct guard *g);
/* What the caller may still write on the file system of `fd`; UINT64_MAX when it does not say. */
uint64_t guard_free_bytes(int fd);
/* True where a block once written is no better than a fresh one: copy-on-write file systems, and memory. */
bool guard_never_overwrites(int fd);

#endif
