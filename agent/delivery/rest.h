/*
 * rest - flows that have nothing to do just now: idle until mail of theirs is due, put to rest in the queue until then, or
 *        parked there until their lane is tried again.
 *
 * An idle flow leaves memory after SCHEDULER_REST_MS, and soon where room is needed (window.h), but not while recipients
 * of it are in flight. What is written is at most REST_BATCH flows in REST_STEP_MS, and waits for others to share a commit.
 * Owns:    nothing; it works on a struct scheduler and is used by its files alone.
 * Never:   reads a clock. Writes only where flows sleep.
 * Threads: the queue's.
 */
#ifndef REST_H
#define REST_H

#include "delivery/scheduler.h"

enum { REST_BATCH = 256, REST_STEP_MS = 10 };

/* It has no due mail: idle until then (wall clock; INT64_MAX: until there is news). */
void rest_begin(struct scheduler *s, struct flow *flow, int64_t wake_ms, struct moment now);
/* It is needed: leaves everything it was in here. */
void rest_end(struct scheduler *s, struct flow *flow);
/* An entry that is due at `due_ms` was added to a flow that is not active. */
void rest_expect(struct scheduler *s, struct flow *flow, int64_t due_ms);
/* One recipient of it is not in flight any more. */
void rest_landed(struct scheduler *s, struct flow *flow);
/* It is away, and shall wait for its time in the queue. */
void rest_park(struct scheduler *s, struct flow *flow);
/* The next idle flow whose time has come; NULL: none. */
struct flow *rest_next(struct scheduler *s, struct moment now);
/* Writes that flows rest, or are parked; calls back. */
void rest_step(struct scheduler *s, struct moment now);
/* Flows that are parked for `lane` (NULL: any) shall not wait longer. */
void rest_recall(struct scheduler *s, const char *lane);
/* Boot time; INT64_MAX: nothing comes by itself. */
int64_t rest_deadline(const struct scheduler *s);

#endif
