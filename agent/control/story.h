/*
 * story - what is told of one message or recipient, from the queue and the traffic together.
 *
 * Envelopes and recipients handed in are borrowed from the queue's view of this turn. Results belong to the caller.
 * Threads: the loop's.
 */
#ifndef STORY_H
#define STORY_H

#include <jansson.h>

#include "control/client.h"
#include "control/walk.h"

/* A row of a listing: the envelope, how many recipients are left and chosen, the first of them by name, the state of
 * the whole and the gate before the first one chosen. */
json_t *story_row(struct walk *walk, const struct queue_envelope *envelope, int *budget);
/* How many recipients a message still has, whatever the filter. */
uint64_t story_left(const struct client *client, uint64_t id, int *budget);
/* One recipient with its gate. */
json_t *story_rcpt(const struct client *client, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt);

#endif
