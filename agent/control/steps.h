/*
 * steps - a walk to a next hop for a client: what is heard of it is kept until the client has room for it.
 *
 * Owns:    the walk, and at most STEPS_MAX rows; those beyond are counted.
 * Threads: the loop's. For this room only.
 */
#ifndef STEPS_H
#define STEPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/client.h"

enum { STEPS_MAX = 1000 };

struct steps {
	struct client *client; /* woken when there is news */
	struct traffic_walk *walk;
	json_t *rows; /* not yet said */
	size_t count, lost;
	bool is_over;
	enum traffic_step_end end; /* of the whole walk */
};

/* False, with `why` for people: no walk was started. steps_stop() is owed either way. */
bool steps_start(struct steps *steps, struct client *client, struct traffic_walk_setup setup, char *why,
		 size_t why_size);
/* Says what there is room for. True: the walk is over and all is said. */
bool steps_say(struct steps *steps);
void steps_stop(struct steps *steps);

#endif
