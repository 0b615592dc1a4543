/*
 * flow - flows by number and by name, and their wake times.
 *
 * Rule: a flow with due entries has a wake time (timer FLOW) at or before the first of them, or a later one until which it
 * was parked.
 *
 * Owns:    the records `i` and `k` of the state tree, the timers of kind FLOW.
 * Threads: the writer's; flow_get and flow_after either.
 */
#ifndef FLOW_H
#define FLOW_H

#include "queue/apply.h"

/* The flow's number; a new one where the name is new. */
enum queue_err flow_intern(struct apply *a, const struct queue_flow *name, uint32_t *out_id);
/* Puts a due entry, moves the wake time where it is later, tells the news. */
enum queue_err flow_add(struct apply *a, uint32_t flow_id, int64_t due_ms, uint64_t id, uint32_t n);
void flow_remove(struct apply *a, uint32_t flow_id, int64_t due_ms, uint64_t id, uint32_t n);
/* Forgets the flow when it has no entries, else sets its wake time to the first of them, or to `limit_ms` if that is
 * earlier. */
enum queue_err flow_rest(struct apply *a, uint32_t flow_id, int64_t limit_ms);
/* Likewise, but not before `until_ms`. */
enum queue_err flow_park(struct apply *a, uint32_t flow_id, int64_t until_ms);

/* Texts are borrowed from the store. */
enum queue_err flow_get(struct store_txn *t, uint32_t flow_id, struct record_flow *out);
enum queue_err flow_after(struct store_txn *t, uint32_t after, uint32_t *out_id, struct record_flow *out);

#endif
