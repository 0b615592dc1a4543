/*
 * limits - how much one client may have open and one submitter may hand in.
 *
 * Owns:    one small record per client or submitter that is active; forgotten when nothing is open and its buckets
 *          are full again. Bounded: LIMITS_MAX records, a client beyond them is refused until there is room.
 * Promise: quotas outlive a restart: what is left of them is written with the message that used them up, so that it
 *          costs no flush of its own. At most LIMITS_KEPT_MAX are on disk at once; those that are full again are taken
 *          off it by and by. In memory everything counts in boot time: a wall clock that jumps takes nothing away and
 *          gives nothing, and after a restart no quota keeps anybody waiting for longer than its period.
 * Never:   reads a clock.
 * Threads: one.
 */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "queue/queue.h"

enum { LIMITS_MAX = 16384, LIMITS_KEPT_MAX = 4096 };

struct limits;

struct limits *limits_new(void);
void limits_free(struct limits *limits);

/* One more connection of `client`; false when it has `max` (0: no limit) already, or there is no room. */
bool limits_open(struct limits *limits, const char *client, uint32_t max, int64_t now_ms);
void limits_close(struct limits *limits, const char *client);

/* Takes one message from the submitter's bucket: 0, or the milliseconds until one may be taken. A bucket holds
 * rate.count messages and refills at the rate. */
int64_t limits_take(struct limits *limits, const char *submitter, struct config_rate rate, int64_t now_ms);

/* Takes `count` recipients from the submitter's quota, which is a bucket of the same kind: 0, or the milliseconds until
 * there are so many; INT64_MAX: there never will be, for the whole quota is smaller. */
int64_t limits_spend(struct limits *limits, const char *submitter, struct config_rate quota, uint32_t count,
		     int64_t now_ms);
/* What was spent on a message that was not queued after all. */
void limits_give_back(struct limits *limits, const char *submitter, struct config_rate quota, uint32_t count);

/* Adds to `op`, which accepts a message of the submitter's, the writing of its quota. */
void limits_keep(struct limits *limits, const char *submitter, struct queue_op *op, int64_t now_ms, int64_t wall_ms);
/* Reads what was kept, at start. */
void limits_restore(struct limits *limits, struct queue_view *view, int64_t now_ms, int64_t wall_ms);

#endif
