/*
 * aside - jobs whose message cannot be read just now: kept out of the way of others, and given back to the scheduler
 *         after a while, so that a disk that recovers delivers them without a restart.
 *
 * Owns:    the jobs; their recipients stay in flight meanwhile.
 * Never:   reads a clock. Logs what it keeps.
 * Threads: the queue's.
 */
#ifndef ASIDE_H
#define ASIDE_H

#include <stdint.h>

#include "base/list.h"
#include "delivery/moment.h"
#include "delivery/scheduler.h"
#include "queue/queue.h"

enum { ASIDE_MS = 5 * 60 * 1000 };

struct aside {
	struct scheduler *scheduler;
	struct list jobs; /* the oldest first */
};

void aside_init(struct aside *a, struct scheduler *scheduler);
/* Without giving them back. */
void aside_fini(struct aside *a);
/* Takes a job that has not ended. QUEUE_NOT_FOUND: its message has gone, nothing is kept. */
void aside_take(struct aside *a, struct scheduler_job *job, enum queue_err err, struct moment now);
/* Gives back what was kept long enough. */
void aside_step(struct aside *a, struct moment now);
int64_t aside_deadline(const struct aside *a); /* boot time; INT64_MAX: nothing is kept */

#endif
