/*
 * pace - how many connections a lane may have at once: what the server bears, and no more than the work is worth. Pure.
 *
 * | state | it is there                          | a message was delivered      | a new one is refused while others work | one is lost, or all get slow |
 * |-------|--------------------------------------|------------------------------|----------------------------------------|------------------------------|
 * | START | at first; after trouble, up to half  | limit + 1: doubles with each | limit = ceiling = the others: BOUND    | limit / 2: RISE              |
 * |       | of what it was before                | round; at the goal: RISE     |                                        |                              |
 * | RISE  | the goal is reached                  | + 1 for each `limit` of them | the same                               | the same                     |
 * | BOUND | limit = ceiling, until its time is   | nothing; then one more is    | the same, for twice as long            | the same                     |
 * |       | over                                 | tried, and if it is taken    |                                        |                              |
 * |       |                                      | the ceiling is higher        |                                        |                              |
 *
 * Never above the configured `connections`. The server's own words ("too many connections") count as a refusal, also of
 * a connection that worked. "All get slow": the quickest of a round took PACE_SLOW times what the quickest used to take.
 * Threads: any, one object per thread.
 */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "delivery/chance.h"
#include "delivery/moment.h"

enum {
	PACE_SLOW = 4,
	PACE_SLOW_MS = 1000,                  /* and by so much at least */
	PACE_CEILING_MAX_MS = 60 * 60 * 1000, /* the longest that a ceiling holds without being tried */
	PACE_DEPTH = 32,                      /* most messages that are counted to see what a connection is worth */
};

struct pace {
	uint32_t limit;          /* connections allowed now */
	uint32_t goal;           /* slow start ends here */
	uint32_t ceiling;        /* the server bears no more; 0: it has not said so */
	uint32_t refusals;       /* in a row, of connections beyond it */
	int64_t probe_boot_ms;   /* one beyond it is tried then */
	uint32_t credit;         /* messages since the limit last rose */
	uint32_t quick_ms, jobs; /* the quickest of this round, and how many it has */
	uint32_t base_ms;        /* the quickest of rounds before; 0: not known */
	uint32_t turn_ms;        /* a message takes about so long */
	uint32_t connect_ms;     /* and a new connection; 0: not known */
	int64_t open_boot_ms;    /* the only one on its way was begun then; 0: there are none, or several */
	int64_t hold_boot_ms;    /* a further one is not opened before; 0: not decided */
};

void pace_init(struct pace *pace);
/* The lane is in trouble: one probe, then from the start. */
void pace_restart(struct pace *pace);
/* `max`: the configuration's; also when it has changed. */
void pace_bound(struct pace *pace, uint32_t max);
/* True: one more connection is allowed than before. */
bool pace_delivered(struct pace *pace, uint32_t max, struct moment now);
/* One of several connections failed, and `others` go on. */
void pace_failed(struct pace *pace, uint32_t others, bool was_ready, const char *text,
		 const struct config_backoff *backoff, struct chance *chance, struct moment now);
/* Words of a server that are about how many connections there are at once. */
bool pace_is_crowd(const char *text);
/* A message was done with, so long after it was taken. */
void pace_took(struct pace *pace, int64_t ms);

/* A connection is opened while `connecting` others are on their way; one of `connecting` has come to work, the n-th. */
void pace_open(struct pace *pace, uint32_t connecting, struct moment now);
void pace_opened(struct pace *pace, uint32_t connecting, uint32_t ready, uint32_t max, struct moment now);
/* How many messages must wait to be worth one more connection than `open`, of which some work: at most PACE_DEPTH. */
size_t pace_worth(const struct pace *pace, uint32_t open);
/* Fewer wait. Boot time when it is opened all the same, because none of the others had become free; 0: now. */
int64_t pace_hold(struct pace *pace, struct moment now);

#endif
