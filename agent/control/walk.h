/*
 * walk - goes over the messages of the queue that a filter chooses and its asker may see, oldest first, in pieces.
 *
 * Keeps only its place (an id) between two calls, so that it goes on where it was after any change of the queue.
 * Envelopes and recipients handed out are borrowed from the queue's view.
 * Threads: the loop's.
 */
#ifndef WALK_H
#define WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/client.h"

struct walk {
	const struct client *client;
	const struct filter *filter;
	int64_t now_ms;
	int cost;         /* of one look */
	uint64_t at;      /* the last id that was looked at */
	size_t next_id;   /* of filter->ids */
	uint64_t found;   /* messages */
	uint64_t damaged; /* records that could not be read */
	uint64_t missing; /* ids that are not (or not theirs) in the queue */
	bool cut;         /* ended because of the limit */
};

enum walk_step {
	WALK_FOUND, /* `out` is the next message */
	WALK_MORE,  /* the budget is used up: again in the next turn */
	WALK_END,
	WALK_FAILED, /* the queue cannot be read */
};

void walk_init(struct walk *walk, const struct client *client);
/* With another filter than the request's. */
void walk_init_filter(struct walk *walk, const struct client *client, const struct filter *filter);
enum walk_step walk_next(struct walk *walk, int *budget, struct queue_envelope *out);
/* The next recipient with number >= n of the message found that the filter chooses; false: no more. */
bool walk_rcpt(struct walk *walk, const struct queue_envelope *envelope, uint32_t n, int *budget,
	       struct queue_rcpt *out);

#endif
