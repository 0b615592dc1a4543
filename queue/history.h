/*
 * history - how mail ended: one record per recipient that left, bounded by age and size.
 *
 * Threads: the writer's; history_read* either.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "queue/apply.h"

/* The recipient at hand ended with `outcome`. The oldest records go where the size bound is passed. */
enum queue_err history_add(struct apply *a, const struct queue_outcome *outcome);
/* Deletes at most `count` of what is older than now - age, or above the size bound. */
enum queue_err history_trim(struct apply *a, int64_t now_ms, size_t count);

/* The newest record older than *at. */
enum queue_err history_before(struct store_txn *t, struct queue_history_at *at, struct queue_outcome *out);
/* The first record of message `id` behind *after, oldest first. Start with zeros. */
enum queue_err history_of_after(struct store_txn *t, uint64_t id, struct queue_history_at *after,
				struct queue_outcome *out);

#endif
