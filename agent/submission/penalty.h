/*
 * penalty - failed logins, by where they come from and by whose name they use.
 *
 * Each failure makes the answer to the next slower, 1 s doubling to 8 s, until one succeeds or ten minutes are quiet. Beyond
 * twenty failures in ten minutes one more may follow every half a minute.
 *
 * Owns:    one small record for each that has failed lately; bounded: the one that has been quiet longest makes room.
 * Never:   reads a clock.
 * Threads: one.
 */
#ifndef PENALTY_H
#define PENALTY_H

#include <stdint.h>

enum {
	PENALTY_MAX = 16384, /* records */
	PENALTY_FAILURES = 20,
	PENALTY_WINDOW_MS = 10 * 60 * 1000,
	PENALTY_DELAY_MS = 1000,
	PENALTY_DELAY_MAX_MS = 8 * 1000, /* a client that tries PLAIN, then LOGIN, fails twice for one password */
};

struct penalty;

struct penalty *penalty_new(void);
void penalty_free(struct penalty *penalty); /* NULL is fine */

/* 0, or the milliseconds until `who` may try again. */
int64_t penalty_wait(struct penalty *penalty, const char *who, int64_t now_ms);
/* One more failure of theirs: the milliseconds that its answer is to be late. */
int64_t penalty_add(struct penalty *penalty, const char *who, int64_t now_ms);
/* They have succeeded: the next failure is the first again. What has been used up of the twenty stays so, or guessing
 * could hide behind an own login. */
void penalty_succeed(struct penalty *penalty, const char *who);

#endif
