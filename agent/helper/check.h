/*
 * check - is this the password? Against a SCRAM verifier or a hash of crypt(5), each in a process of its own, because it
 * is made to take long.
 *
 * Owns:    the processes, and copies of secrets and passwords, overwritten after use.
 * Promise: a few at once, others wait, and beyond those it fails at once. `done` never runs from inside check_password();
 *          after check_cancel() it never runs.
 * Threads: the loop's.
 */
#ifndef CHECK_H
#define CHECK_H

#include "base/span.h"
#include "net/loop.h"

enum { CHECK_AT_ONCE = 4, CHECK_WAITING = 64 };

enum check_verdict {
	CHECK_YES,
	CHECK_NO,
	CHECK_UNDONE, /* too late, too many, or a hash that this system does not know */
};

struct check_set;
struct check;

struct check_set *check_set_new(struct loop *loop);
void check_set_free(struct check_set *set); /* ends what still runs */

/* `question`: what is kept of a password ("SCRAM-SHA-256$…", where there are two the first counts, or "$y$…"), a NUL, and
 * the password. */
struct check *check_password(struct check_set *set, struct span question, int64_t timeout_ms,
			     void (*done)(void *arg, enum check_verdict verdict), void *arg);
void check_cancel(struct check *check);

#endif
