/*
 * upkeep - lets the history's old records go: once a minute while mail flows, and now and then without any.
 *
 * In small operations, one after the other until nothing old is left, however much ended since the last time: one big
 * transaction would hold up the mail behind it, and leave a list of free pages that all later commits write again.
 * Threads: the queue's.
 */
#ifndef UPKEEP_H
#define UPKEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/moment.h"
#include "delivery/scheduler.h"
#include "queue/queue.h"

enum { UPKEEP_BATCH = 1000 };

struct upkeep {
	struct queue *queue;
	struct scheduler *scheduler;
	uint64_t seen;              /* recipients finished, when it was trimmed last */
	uint64_t records, finished; /* there were, when the operation under way was submitted */
	int64_t next_boot_ms;       /* not before */
	bool is_writing, is_written;
};

void upkeep_init(struct upkeep *u, struct queue *queue, struct scheduler *scheduler, struct moment now);
/* `finished`: recipients that ended since start. */
void upkeep_step(struct upkeep *u, uint64_t finished, struct moment now);
int64_t upkeep_deadline(const struct upkeep *u, uint64_t finished);

#endif
