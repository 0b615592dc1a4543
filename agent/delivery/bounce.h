/*
 * bounce - telling senders: reports of failure and success, delay warnings, expiry (RFC 3461, 3464).
 *
 * Promise: one operation accepts the report and lets the reported recipients leave, so none is lost and none is told
 *          twice. A report that cannot be queued stays owed and is tried again. Never about a message that has the null
 *          reverse-path itself, but to the postmaster whom the configuration names. Who would get very many gets them
 *          together (digest.h).
 * Owns:    reports under way (at most BOUNCE_MAX, each one header or one chunk in memory).
 * Never:   reads a clock. Logs what was reported and given up.
 * Threads: the queue's.
 */
#ifndef BOUNCE_H
#define BOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "delivery/digest.h"
#include "delivery/moment.h"
#include "delivery/scheduler.h"
#include "queue/queue.h"

enum {
	BOUNCE_MAX = 32, /* reports and expiries under way */
};

struct bounce {
	struct queue *queue;
	struct scheduler *scheduler;
	struct list reports, expiries; /* under way */
	size_t count;
	struct digest_set digests;
	/* Timers that were passed over; the calendar is rewound then. INT64_MAX: none. */
	int64_t again_boot_ms;
	uint64_t expired; /* recipients since start */
	bool is_failing;  /* the last report could not be queued: said once */
	struct moment now;
};

void bounce_init(struct bounce *b, struct queue *queue, struct scheduler *scheduler);
void bounce_fini(struct bounce *b);
/* Another timer of a message can be taken on. */
bool bounce_has_room(const struct bounce *b);
/* A QUEUE_TIMER_REPORT, _WARN, _EXPIRE or _RELEASE has come. */
void bounce_timer(struct bounce *b, struct queue_timer timer, struct moment now);
/* What was put together leaves when its time has come. */
void bounce_step(struct bounce *b, struct moment now);
/* Now: somebody wants to see an end. */
void bounce_hurry(struct bounce *b);
int64_t bounce_deadline(const struct bounce *b); /* boot time; INT64_MAX: none */
/* Some lane came into trouble: mail that waited for a first attempt may have had it. */
void bounce_tried(struct bounce *b, struct moment now);

/* For expiry.c. Timers that were passed over are met again then. */
void bounce_again(struct bounce *b, int64_t in_ms);
/* Why a recipient still waits: what was said of it, else what its smart hosts failed for. */
const char *bounce_obstacle(struct scheduler *s, const struct queue_rcpt *rcpt);

#endif
