/*
 * journey - the way to a next hop, step by step, for somebody who watches: names, policies, connection, TLS, EHLO, AUTH and,
 *           where a recipient is given, MAIL and RCPT. No mail is sent; what only looks makes no connection at all.
 *
 * It goes the way that mail goes, host after host, until one would take it. It says nothing to the scheduler: neither a
 * success nor a failure changes what lanes do.
 * Owns:    walks under way, at most JOURNEY_MAX, with copies of what they were asked.
 * Promise: steps are told from the loop, never from inside a call; after journey_cancel() none is. The last one says so.
 * Threads: the loop's.
 */
#ifndef JOURNEY_H
#define JOURNEY_H

#include <stddef.h>

#include "base/list.h"
#include "delivery/pool.h"
#include "traffic.h"

enum {
	JOURNEY_MAX = 16,
	JOURNEY_LOOKS_MAX = 8, /* what anybody may ask for leaves room for administrators */
};

struct journey_set {
	const struct pool *pool;
	struct list walks;
	size_t count;
};

void journey_init(struct journey_set *set, const struct pool *pool);
/* Ends all, without a word. */
void journey_fini(struct journey_set *set);

/* As traffic.h says. */
struct traffic_walk *journey_start(struct journey_set *set, const struct traffic_walk_setup *setup, char *why,
				   size_t why_size);
void journey_cancel(struct traffic_walk *walk); /* NULL is fine */

#endif
