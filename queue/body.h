/*
 * body - chunks on disk, and the bodies that nobody owns (any more).
 *
 * A streamed body is written under a number of its own, with a record `r` that says how many of its chunks are there.
 * The accept replaces `r` by `b`, its owner. A receipt that was given up, and a long body whose message is gone, is
 * garbage: `r` again, and its chunks go a few in each transaction, because one huge list of free pages would be
 * rewritten by every later commit.
 *
 * Threads: the writer's.
 */
#ifndef BODY_H
#define BODY_H

#include "queue/apply.h"

/* Next chunk of a receipt under way. */
enum queue_err body_chunk(struct apply *a, const struct op_step *s);
/* The receipt is given up. */
enum queue_err body_disown(struct apply *a, uint64_t body);
/* QUEUE_OK when all chunks but the last one are there; else why not. */
enum queue_err body_is_whole(struct apply *a, const struct op_accept *accept);
/* The last (or only) chunk, and the owner. */
enum queue_err body_finish(struct apply *a, uint64_t id, const struct op_accept *accept);
/* The body of the message at hand goes, or becomes garbage. */
void body_drop(struct apply *a);
/* Deletes a few chunks of garbage: of any `r` record below first_body (left by an earlier run) or marked. Sets
 * *out_more when there may be more. */
enum queue_err body_sweep(struct apply *a, uint64_t first_body, bool *out_more);

#endif
