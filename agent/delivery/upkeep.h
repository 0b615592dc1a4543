/*
 * upkeep - lets the history's old records go: about as fast as new ones come, and now and then without any.
 *
 * Threads: the queue's.
 */
#ifndef UPKEEP_H
#define UPKEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/moment.h"
#include "queue/queue.h"

struct upkeep {
	struct queue *queue;
	uint64_t seen;        /* recipients finished, when it was trimmed last */
	int64_t next_boot_ms; /* not before */
	bool is_writing;
};

void upkeep_init(struct upkeep *u, struct queue *queue, struct moment now);
/* `finished`: recipients that ended since start. */
void upkeep_step(struct upkeep *u, uint64_t finished, struct moment now);
int64_t upkeep_deadline(const struct upkeep *u, uint64_t finished);

#endif
