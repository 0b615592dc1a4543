/*
 * props - what must be true on every run: the names and bounds of README.md, checked as it happens and at the end.
 */
#ifndef PROPS_H
#define PROPS_H

#include <stddef.h>
#include <stdint.h>

#include "delivery/scheduler.h"
#include "tests/sim/host.h"

struct sim;

#define PROPS_LOST    "nothing accepted is lost"
#define PROPS_TWICE   "nothing is delivered twice without an excuse"
#define PROPS_ATTEMPT "what may be attempted is attempted"
#define PROPS_LIMITS  "no lane has more connections than it may"
#define PROPS_RATE    "no lane exceeds its rate"
#define PROPS_TURNS   "flows take turns, urgent ones first"
#define PROPS_DEAD    "a dead destination delays others by nothing"
#define PROPS_BACKOFF "attempts stay under the backoff's count"
#define PROPS_PARKED  "refused accounts are left alone"
#define PROPS_DRAIN   "after a repair the queue drains"
#define PROPS_MEMORY  "memory is bounded, and empty in the end"
#define PROPS_REPORTS "reports are made, and made once"
#define PROPS_OBJECTS "only what has failed waits"
#define PROPS_CLOCK   "the clock moves on"
#define PROPS_RECORDS "the queue's file is sound"

enum {
	PROPS_START_MS = 100,           /* from when a lane could take a message until it asks for it */
	PROPS_SHARE_MS = 1000,          /* as long as a lane with a weight keeps its turn, besides */
	PROPS_SWEEP_MS = 5000,          /* from a jump of the clock until due times are put right */
	PROPS_TOLD_MS = 15 * 60 * 1000, /* from a refusal to its report: a digest's time, and siblings in flight */
	PROPS_TURN_MS = 1000, /* one connection's next turn of a healthy host: to connect, and to take a message */
	PROPS_OFTEN_MS = 500, /* what costs much to look at is looked at this often */
	PROPS_FLOWS = 512,
	PROPS_LANES = 16,
};

struct props_flow {
	uint32_t id;
	uint8_t band;
	size_t lane_count;
	uint32_t lanes[PROPS_LANES]; /* hosts' numbers, those with a weight first */
	size_t shares;
	size_t since[PROPS_LANES]; /* at that lane: it waits since so many messages were taken there */
	bool waits[PROPS_LANES];
	int64_t idle_since_ms; /* it has due mail that nobody attends to; INT64_MAX: not */
};

struct props {
	struct props_flow flows[PROPS_FLOWS];
	size_t flow_count;
	struct {
		uint32_t *flow; /* that a message was taken of, in order */
		size_t count, room;
	} taken[HOST_MAX];
	int64_t looked_ms;
};

void props_fini(struct props *props);
/* The agent was started again, or has other routes. */
void props_renew(struct sim *sim);
/* The scheduler wants a connection; gives a job. */
void props_connects(struct sim *sim, struct host *host, const struct lane *lane);
void props_takes(struct sim *sim, struct host *host, const struct scheduler_job *job);
/* A server is asked about a recipient; its sender is told that it failed. */
void props_tries(struct sim *sim, const char *address);
void props_tells(struct sim *sim, const char *address);
/* The clock is about to move on by that much. */
void props_passes(struct sim *sim, int64_t ms);
/* All is over: the queue must be empty. */
void props_ends(struct sim *sim);
/* What is on disk after a crash is all there. */
void props_restarted(struct sim *sim);

#endif
