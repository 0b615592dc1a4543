#include "delivery/upkeep.h"

enum {
	BUSY_MS = 60 * 1000, /* between two trims while mail flows */
	IDLE_MS = 3600 * 1000,
};

void upkeep_init(struct upkeep *u, struct queue *queue, struct scheduler *scheduler, struct moment now)
{
	*u = (struct upkeep){ .queue = queue, .scheduler = scheduler, .next_boot_ms = now.boot_ms + BUSY_MS };
}

static void trimmed(void *arg, enum queue_err err, uint64_t id)
{
	struct upkeep *u = arg;

	(void)id;
	u->is_writing = false;
	u->is_written = err == QUEUE_OK;
	scheduler_answered(u->scheduler);
}

int64_t upkeep_deadline(const struct upkeep *u, uint64_t finished)
{
	if (u->is_writing)
		return INT64_MAX; /* its answer is heard of */
	return finished != u->seen ? u->next_boot_ms : u->next_boot_ms + IDLE_MS;
}

/* New records come while old ones go: what went is what is missing of both. About right will do: a trim too many finds
 * nothing, and what one too few leaves waits a minute. */
static bool has_more(const struct upkeep *u, uint64_t finished, uint64_t records)
{
	uint64_t would_be = u->records + (finished - u->finished);

	return would_be > records && would_be - records >= UPKEEP_BATCH / 2;
}

void upkeep_step(struct upkeep *u, uint64_t finished, struct moment now)
{
	struct queue_stats stats;
	struct queue_op *op;
	bool goes_on;

	if (u->is_writing || (!u->is_written && now.boot_ms < upkeep_deadline(u, finished)))
		return;
	queue_stats(u->queue, &stats);
	goes_on = u->is_written && has_more(u, finished, stats.history_records);
	if (u->is_written && !goes_on) {
		u->is_written = false;
		return;
	}
	u->is_written = false;
	u->seen = u->finished = finished;
	u->records = stats.history_records;
	u->next_boot_ms = now.boot_ms + BUSY_MS;
	if (!stats.history_records)
		return;
	op = queue_op_new(u->queue);
	queue_op_history_trim(op, now.wall_ms, UPKEEP_BATCH);
	u->is_writing = true;
	queue_op_submit(op, trimmed, u);
}
