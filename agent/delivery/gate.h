/*
 * gate - why mail waits, in plain words, and what people may do about lanes: the traffic of traffic.h.
 *
 * Owns:    walks to next hops that people have asked for; else it reads what the scheduler knows.
 * Threads: the loop's.
 */
#ifndef GATE_H
#define GATE_H

#include "delivery/bounce.h"
#include "delivery/pool.h"
#include "delivery/settle.h"
#include "delivery/journey.h"
#include "route.h"
#include "traffic.h"

struct gate {
	struct pool *pool;
	struct bounce *bounce;
	int64_t started_wall_ms;
	/* Texts handed out with a lane. */
	char name[ROUTE_LANE_SIZE], host[512], error[LANE_ERROR_MAX], advice[512], paused_by[256];
	struct journey_set journeys;
	struct traffic traffic;
};

void gate_init(struct gate *gate, struct pool *pool, struct bounce *bounce, int64_t wall_ms);
void gate_fini(struct gate *gate);

#endif
