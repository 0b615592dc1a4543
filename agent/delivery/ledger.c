#include "delivery/ledger.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { WRITE_AGAIN_MS = 5000 }; /* after an operation about lanes failed */

/* ---------------------------------------------------------------- what is remembered */

static void written(void *arg, enum queue_err err, uint64_t id)
{
	struct scheduler *s = arg;

	(void)id;
	s->is_writing = false;
	s->must_write_all = err != QUEUE_OK;
	s->write_boot_ms = err ? s->now.boot_ms + WRITE_AGAIN_MS : s->now.boot_ms;
	scheduler_answered(s);
}

static void bucket_name(const struct lane *lane, char out[256])
{
	snprintf(out, 256, "rate/%.190s", lane->name);
}

/* Over a restart a refused account is tried at once only if it is not the same any more. */
static void add_mark(struct queue_op *op, const struct lane *lane)
{
	char name[256];

	snprintf(name, sizeof name, "account/%.190s", lane->name);
	queue_op_state(op, name,
		       (struct queue_bytes){ &lane->secret_mark,
					     lane->trouble == TRAFFIC_ACCOUNT ? sizeof lane->secret_mark : 0 });
}

static void add_record(struct queue_op *op, struct lane *lane, struct moment now)
{
	struct queue_lane record;

	lane->is_dirty = false;
	if (lane_record(lane, now, &record))
		queue_op_lane(op, &record);
	else
		queue_op_lane_drop(op, lane->name);
	add_mark(op, lane);
}

static void add_bucket(struct queue_op *op, struct lane *lane, struct moment now)
{
	char name[256], value[LANE_BUCKET_SIZE];

	lane->bucket.is_changed = false;
	bucket_name(lane, name);
	queue_op_state(op, name, (struct queue_bytes){ value, lane_bucket_print(lane, now, value) + 1 });
}

static void add_pause(struct scheduler *s, struct queue_op *op)
{
	s->is_pause_dirty = false;
	if (s->paused_by)
		queue_op_lane(op, &(struct queue_lane){ .name = "*",
							.error = "",
							.paused_by = s->paused_by,
							.paused_ms = s->paused_wall_ms });
	else
		queue_op_lane_drop(op, "*");
}

void ledger_write(struct scheduler *s, struct moment now)
{
	bool with_buckets = now.boot_ms >= s->bucket_boot_ms;
	struct queue_op *op = NULL;

	for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node)) {
		struct lane *lane = LIST_ENTRY(node, struct lane, node);
		bool bucket = lane->bucket.is_changed && with_buckets;

		if (!lane->is_dirty && !bucket && !s->must_write_all)
			continue;
		op = op ? op : queue_op_new(s->queue);
		if (lane->is_dirty || s->must_write_all)
			add_record(op, lane, now);
		if (bucket)
			add_bucket(op, lane, now);
	}
	if (s->is_pause_dirty || s->must_write_all) {
		op = op ? op : queue_op_new(s->queue);
		add_pause(s, op);
	}
	s->must_write_all = false;
	if (with_buckets)
		s->bucket_boot_ms = now.boot_ms + SCHEDULER_BUCKET_MS;
	if (!op)
		return;
	s->is_writing = true;
	queue_op_submit(op, written, s);
}

void ledger_restore(struct scheduler *s, struct lane *lane, struct moment now)
{
	struct queue_view *view = queue_view(s->queue);
	struct queue_bytes bytes;
	struct queue_lane record;
	char name[256];

	if (!view)
		return;
	if (queue_view_lane(view, lane->name, &record) == QUEUE_OK)
		lane_restore(lane, &record, now);
	bucket_name(lane, name);
	if (queue_view_state(view, name, &bytes) == QUEUE_OK && bytes.len &&
	    ((const char *)bytes.data)[bytes.len - 1] == '\0')
		lane_bucket_restore(lane, bytes.data, now);
	snprintf(name, sizeof name, "account/%.190s", lane->name);
	if (queue_view_state(view, name, &bytes) == QUEUE_OK && bytes.len == sizeof lane->secret_mark)
		memcpy(&lane->secret_mark, bytes.data, bytes.len);
}

void ledger_restore_pause(struct scheduler *s)
{
	struct queue_view *view = queue_view(s->queue);
	struct queue_lane record;

	if (!view || queue_view_lane(view, "*", &record) != QUEUE_OK || !record.paused_by[0])
		return;
	s->paused_by = mem_strdup(record.paused_by);
	s->paused_wall_ms = record.paused_ms;
}
