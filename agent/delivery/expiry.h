/*
 * expiry - giving recipients up whose time is over: their lifetime, or the time that their sender set (RFC 2852).
 *
 * Promise: mail is not given up before it had an attempt since the network is as it is; unless its sender said so. What is
 *          in flight is judged when it comes back. One operation for at most 200 recipients.
 * Never:   reads a clock. Logs what was given up.
 * Threads: the queue's.
 */
#ifndef EXPIRY_H
#define EXPIRY_H

#include <stdbool.h>

#include "base/list.h"
#include "delivery/bounce.h"
#include "queue/queue.h"

/* Its QUEUE_TIMER_EXPIRE has come. */
void expiry_start(struct bounce *b, struct queue_timer timer, struct queue_view *view,
		  const struct queue_envelope *envelope);
/* One of these is at work for the timer. */
bool expiry_has(const struct list *expiries, struct queue_timer timer);

#endif
