/*
 * conditions - which of the networks that routes wait for (`when`) are there, and since when.
 *
 * Owns:    one row for each route with a condition; the routes are its configuration's, which outlives them here.
 * Never:   reads a clock or a socket. Where nothing is known of the network no condition holds.
 * Threads: any, one object per thread.
 */
#ifndef CONDITIONS_H
#define CONDITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "delivery/moment.h"
#include "net/netfacts.h"

struct condition {
	const struct config_route *route;
	bool holds;
	int64_t since_wall_ms; /* as it is now */
	char *text;            /* of the route's `when`, for people: "interface tun*, or online" */
	char *obstacle;        /* one line: why its mail waits while it does not hold */
};

struct conditions {
	struct condition *list;
	size_t count;
	struct netfacts facts;
	int64_t came_wall_ms; /* when one of them last came to hold; 0: never */
};

/* All zero is empty. */
void conditions_fini(struct conditions *c);
/* Another configuration; the one before is still there. */
void conditions_configure(struct conditions *c, const struct config *config, struct moment now);
/* The network has become like this. True: a condition came to hold, or does not hold any more. */
bool conditions_see(struct conditions *c, const struct netfacts *facts, struct moment now);
/* What the mail of a target waits for; NULL: nothing holds it back. */
const struct condition *conditions_of(const struct conditions *c, const char *target);
bool conditions_allow(const struct conditions *c, const char *target);

#endif
