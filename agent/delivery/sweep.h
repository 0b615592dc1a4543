/*
 * sweep - walks all waiting mail in bounded steps, while mail flows: after the routes changed, and after the clock did.
 *
 * Each step reads at most SWEEP_RCPTS recipients and submits at most one operation; the next step waits for its answer.
 * The routes that the queue's flows follow are remembered by their digest, so that an unchanged start sweeps nothing; it
 * is forgotten while a sweep for new routes is under way, so that a start after a crash does it again.
 * Threads: the queue's.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/moment.h"
#include "delivery/scheduler.h"
#include "queue/queue.h"

enum { SWEEP_RCPTS = 500 };

struct sweep {
	struct queue *queue;
	struct scheduler *scheduler;
	bool is_active, is_writing, with_routes;
	bool is_begun;         /* all that was on its way into the queue when it was asked for is there to be seen */
	uint64_t asked, begun; /* how often it was asked for, in all and when it was begun */
	int64_t retry_boot_ms; /* after the queue could not write; 0: not waiting */
	uint64_t id, end_id;   /* the message it stands at; the last one of the sweep */
	uint32_t n;            /* the recipient it goes on with */
	uint64_t batch_id;     /* where the operation under way began */
	uint32_t batch_n;
	uint64_t messages, batch_messages; /* that changed route; before the operation under way */
	uint64_t last_moved;
	uint64_t lost; /* messages whose own route is gone */
	struct moment now;
};

void sweep_init(struct sweep *s, struct queue *queue, struct scheduler *scheduler);
/* At start: sweeps if the routes are not those the queue knows, or if mail is from the future. */
void sweep_if_needed(struct sweep *s, struct moment now);
/* From the oldest to the newest message. `with_routes`: into new flows; always: due times and
 * reports owed that no wrong clock put off. */
void sweep_start(struct sweep *s, bool with_routes, struct moment now);
/* One step. False: nothing to do now. Never answers from inside queue_op_submit(). */
bool sweep_step(struct sweep *s, struct moment now);
/* When to step again though nothing happens; INT64_MAX: never. */
int64_t sweep_deadline(const struct sweep *s);
bool sweep_is_active(const struct sweep *s);
/* Under way, and for new routes. */
bool sweep_is_rerouting(const struct sweep *s);
/* The last message that it has dealt with, or is dealing with; 0: none yet. */
uint64_t sweep_reached(const struct sweep *s);

#endif
