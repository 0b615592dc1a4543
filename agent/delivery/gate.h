/*
 * gate - why mail waits, in plain words, and what people may do about lanes: the traffic of traffic.h.
 *
 * Owns:    nothing; it reads what the scheduler knows.
 * Threads: the loop's.
 */
#ifndef GATE_H
#define GATE_H

#include "delivery/bounce.h"
#include "delivery/pool.h"
#include "delivery/settle.h"
#include "traffic.h"

struct gate {
	struct pool *pool;
	struct bounce *bounce;
	int64_t started_wall_ms;
	char host[512]; /* text handed out with a lane */
	char advice[512];
	struct traffic traffic;
};

void gate_init(struct gate *gate, struct pool *pool, struct bounce *bounce, int64_t wall_ms);

#endif
