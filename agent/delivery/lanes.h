/*
 * lanes - every lane there is in memory, found by name: the smart hosts' in the configuration's order, and those of the
 *         MX domains that mail is for just now, which are made when a flow wants a seat and dropped when nobody needs them.
 *
 * Bounded: LANES_MX_MAX MX lanes (an operator's word may make more), LANES_MX_CONNECTIONS connections of all of them
 *          together; who comes later waits in line (lineup.h).
 * Owns:    the lanes. Used by the scheduler's files, and read by gate.c and delivery.c.
 * Never:   reads a clock.
 * Threads: the queue's.
 */
#ifndef LANES_H
#define LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"
#include "delivery/agenda.h"
#include "delivery/lane.h"
#include "delivery/moment.h"
#include "delivery/turns.h"

enum {
	LANES_MX_MAX = 20000, /* as many as flows may be in memory (window.h): each finds a lane */
	/* To all domains together. Enough to keep a fast link busy; a fifth of the descriptors that a process usually has. */
	LANES_MX_CONNECTIONS = 200,
};

struct scheduler;

struct lanes {
	struct list hosts; /* in the configuration's order, then those it no longer has */
	struct list mx;    /* lane->domain is set */
	size_t mx_count;
	struct agenda agenda;
	struct lane **buckets;
	size_t size, count;
	uint32_t mx_open, mx_ready; /* connections: all, and those past the login */
	struct turns slots;         /* MX lanes that wait for one (slot_node) */
	/* An operator's word to all lanes: records of MX lanes that are older do not count. 0: none */
	int64_t woken_wall_ms, resumed_wall_ms;
};

void lanes_init(struct lanes *lanes);
void lanes_fini(struct lanes *lanes);
/* In memory, configured or not; NULL: not. */
struct lane *lanes_find(const struct lanes *lanes, struct span name);
static inline bool lanes_is_full(const struct lanes *lanes)
{
	return lanes->mx_count >= LANES_MX_MAX;
}
bool lanes_is_mx_name(struct span name);

/* The MX lane of that name ("mx:example.org"), made and restored if need be. NULL: that is no such name, or there are too
 * many and it is not wanted `anyway`. */
struct lane *lanes_mx(struct scheduler *s, struct span name, bool anyway);
/* A configured lane to look at, as it is or as it would be made; NULL: there is none. lanes_put_back() follows. */
const struct lane *lanes_peek(struct scheduler *s, struct span name);
void lanes_put_back(const struct lane *lane); /* NULL is fine */
/* Those that nobody needs any more go. */
void lanes_drop(struct scheduler *s);
/* The scheduler has a new configuration. `changed` (may be NULL) is told of each lane whose account is another one now. */
void lanes_configure(struct scheduler *s, void (*changed)(void *arg, struct lane *lane), void *arg, struct moment now);

#endif
