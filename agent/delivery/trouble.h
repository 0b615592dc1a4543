/*
 * trouble - the scheduler's ears at the connections, with a voice: what a connection says about its lane or the
 *           network goes to the scheduler, and what that changes is logged, once per change.
 *
 * Threads: the loop's.
 */
#ifndef TROUBLE_H
#define TROUBLE_H

#include <stdbool.h>

#include "delivery/pool.h"

void trouble_failed(struct pool *pool, struct lane *lane, const struct lane_failure *failure, bool was_ready,
		    struct moment now);
void trouble_offline(struct pool *pool, struct lane *lane, bool dns_only, const char *text, struct moment now);
/* A peer is not who it should be. False: that is the lane's own trouble, to be told of as such. */
bool trouble_deceived(struct pool *pool, struct lane *lane, const char *text, struct moment now);
void trouble_proven(struct pool *pool, struct lane *lane, bool is_proven, struct moment now);
void trouble_reached(struct pool *pool, struct lane *lane, bool by_dns, struct moment now);
void trouble_spoke(struct pool *pool, struct lane *lane, struct moment now);

#endif
