#include "delivery/upkeep.h"

enum {
	BUSY_MS = 60 * 1000, /* between two trims while mail flows */
	IDLE_MS = 3600 * 1000,
	SPARE = 1000, /* records taken beyond those that came */
	MOST = 20000, /* in one operation */
};

void upkeep_init(struct upkeep *u, struct queue *queue, struct moment now)
{
	*u = (struct upkeep){ .queue = queue, .next_boot_ms = now.boot_ms + BUSY_MS };
}

static void trimmed(void *arg, enum queue_err err, uint64_t id)
{
	struct upkeep *u = arg;

	(void)err;
	(void)id;
	u->is_writing = false;
}

int64_t upkeep_deadline(const struct upkeep *u, uint64_t finished)
{
	return finished != u->seen ? u->next_boot_ms : u->next_boot_ms + IDLE_MS;
}

void upkeep_step(struct upkeep *u, uint64_t finished, struct moment now)
{
	struct queue_stats stats;
	struct queue_op *op;
	uint64_t count;

	if (u->is_writing || now.boot_ms < upkeep_deadline(u, finished))
		return;
	queue_stats(u->queue, &stats);
	count = finished - u->seen + SPARE;
	u->seen = finished;
	u->next_boot_ms = now.boot_ms + BUSY_MS;
	if (!stats.history_records)
		return;
	op = queue_op_new(u->queue);
	queue_op_history_trim(op, now.wall_ms, count < MOST ? count : MOST);
	u->is_writing = true;
	queue_op_submit(op, trimmed, u);
}
