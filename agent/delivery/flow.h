/*
 * flow - one submitter's mail of one priority for one target, as far as it is at work.
 *
 * Holds:   a cursor into the schedule and where the flow stands in line at each of its lanes; never a message.
 * Never:   decides which lane; that is the scheduler's.
 * Threads: any, one object per thread.
 *
 * A flow is `is_active` while there may be due mail behind its cursor; else `wake_ms` says when its next entry is due.
 * Entries before the cursor are in flight or gone: when one comes back, flow_back() moves the cursor before it.
 * While too many MX lanes are in memory it may be without seats (is_unbound): in line for them, or away until the lane
 * that it wants is tried again.
 */
#ifndef FLOW_H
#define FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "delivery/flight.h"
#include "queue/queue.h"

enum { FLOW_LANES = 16 }; /* most lanes of a target that are looked at */

struct flow;
struct lane;

struct flow_seat {
	struct list node; /* in a band of the lane */
	struct lane *lane;
	struct flow *flow;
	uint32_t weight;
	uint64_t served; /* when it last had a turn, by the lane's count; 0: never */
	int64_t credit;  /* share.h */
	bool is_full;    /* its turn passed it over, because it could not take a message for too long */
};

struct flow {
	struct list node;  /* the scheduler's: idle, held, or in line for seats */
	struct flow *next; /* of the same hash */
	uint32_t id;
	char *target, *submitter;
	uint8_t band;
	struct queue_due cursor;
	bool is_active;
	bool is_resting;      /* an operation that puts it to rest is on its way */
	bool is_touched;      /* something happened meanwhile */
	int64_t wake_ms;      /* wall clock; not active: the first entry that is known; INT64_MAX: none */
	int64_t idle_boot_ms; /* may leave memory since */
	struct heap_node wake;
	unsigned line;   /* of the window */
	uint32_t flying; /* recipients in flight */
	uint64_t reads;  /* entries of the schedule that were read for it */
	bool is_unbound; /* has no seats yet, or any more */
	bool is_in_line; /* for seats: its lane cannot be made just now */
	bool is_held;    /* its route waits for a network: no seats until that is there */
	struct heap_node away;
	struct flow_seat *seats; /* those with a weight first */
	size_t seat_count, share_count;
	size_t turn; /* the seat with a weight that takes the next message; SIZE_MAX: not decided */
	int64_t turn_boot_ms;
};

struct flow *flow_new(uint32_t id, const struct queue_flow *name);
void flow_free(struct flow *flow); /* leaves all lists */
/* Seats at lanes in order, those with a weight first; it has none. */
struct flow_place {
	struct lane *lane;
	uint32_t weight; /* 0: none */
};
void flow_sit(struct flow *flow, const struct flow_place *places, size_t count);
/* Its seats are given back. */
void flow_rise(struct flow *flow);
/* Takes it out of the lines of its lanes. */
void flow_leave(struct flow *flow);

/* An entry at `due_ms` has come (back) into the schedule. */
void flow_back(struct flow *flow, int64_t due_ms);

enum flow_peek { FLOW_DUE, FLOW_LATER, FLOW_BROKEN };
/* The first entry behind the cursor that is not in flight. FLOW_DUE: *out is due, and the cursor stands before it.
 * FLOW_LATER: *out_wake_ms is when it will be, INT64_MAX when there is none. An entry further in the future than
 * `horizon_ms` was put there by a wrong clock and counts as due, unless its message is held until then. */
enum flow_peek flow_peek(struct flow *flow, struct queue_view *view, const struct flight *flight, int64_t now_ms,
			 int64_t horizon_ms, struct queue_due *out, int64_t *out_wake_ms);

/* All flows at work, by id. */
struct flow_table {
	struct flow **buckets;
	size_t size, count;
};
void flow_table_init(struct flow_table *t);
void flow_table_fini(struct flow_table *t); /* frees the flows */
void flow_table_add(struct flow_table *t, struct flow *flow);
struct flow *flow_table_find(const struct flow_table *t, uint32_t id);
/* Takes it out and frees it. */
void flow_table_drop(struct flow_table *t, struct flow *flow);

#endif
