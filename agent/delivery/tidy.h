/*
 * tidy - walks the queue's records of MX lanes, a few at a time: those of domains that nobody has mail for any more are
 *        forgotten, those that an operator paused come into memory, so that status shows them.
 *
 * Bounded: TIDY_RECORDS records in a step, a step each TIDY_STEP_MS at most, a walk each TIDY_PERIOD_MS. What nobody has
 *          asked about for TIDY_AGE_MS goes: no backoff, pause for an account or period of a rate lasts as long, and
 *          whoever wants the lane then finds it well.
 * Owns:    its place in the walk; it works on a struct scheduler.
 * Threads: the queue's.
 */
#ifndef TIDY_H
#define TIDY_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/moment.h"
#include "delivery/scheduler.h"
#include "queue/queue.h"
#include "route.h"

enum {
	TIDY_RECORDS = 64,
	TIDY_STEP_MS = 100,
	TIDY_PERIOD_MS = 60 * 60 * 1000,
	TIDY_AGE_MS = 2 * 24 * 60 * 60 * 1000,
};

struct tidy {
	struct queue *queue;
	struct scheduler *scheduler;
	char at[ROUTE_LANE_SIZE]; /* the last name that was seen in this walk */
	int64_t next_boot_ms;
	bool is_writing;
	uint64_t forgotten; /* records since start */
};

/* The first walk begins at once. */
void tidy_init(struct tidy *t, struct queue *queue, struct scheduler *scheduler, struct moment now);
void tidy_step(struct tidy *t, struct moment now);
int64_t tidy_deadline(const struct tidy *t);

#endif
