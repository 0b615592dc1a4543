#include "delivery/tidy.h"

#include <stdio.h>
#include <string.h>

#include "delivery/ledger.h"

void tidy_init(struct tidy *t, struct queue *queue, struct scheduler *scheduler, struct moment now)
{
	*t = (struct tidy){ .queue = queue, .scheduler = scheduler, .at = ROUTE_MX, .next_boot_ms = now.boot_ms };
}

static void written(void *arg, enum queue_err err, uint64_t id)
{
	struct tidy *t = arg;

	(void)err; /* what is still there is found by the next walk */
	(void)id;
	t->is_writing = false;
	scheduler_answered(t->scheduler);
}

/* A time far in the future is no younger than one in the past: a wrong clock wrote it. */
static bool is_far(int64_t at_ms, struct moment now)
{
	return at_ms < now.wall_ms - TIDY_AGE_MS || at_ms > now.wall_ms + TIDY_AGE_MS;
}

static bool is_old(const struct queue_lane *record, struct moment now)
{
	return is_far(record->retry_ms, now) && is_far(record->since_ms, now);
}

static void see(struct tidy *t, const struct queue_lane *record, struct queue_op **io_op, struct moment now)
{
	struct span name = span_str(record->name);

	if (lanes_find(&t->scheduler->lanes, name))
		return;
	if (record->paused_by[0]) {
		lanes_mx(t->scheduler, name, false);
		return;
	}
	if (!is_old(record, now))
		return;
	if (!*io_op)
		*io_op = queue_op_new(t->queue);
	ledger_forget(*io_op, record->name);
	t->forgotten++;
}

void tidy_step(struct tidy *t, struct moment now)
{
	struct queue_op *op = NULL;
	struct queue_lane record;
	struct queue_view *view;

	if (t->is_writing || now.boot_ms < t->next_boot_ms)
		return;
	t->next_boot_ms = now.boot_ms + TIDY_STEP_MS;
	view = queue_view(t->queue);
	for (int i = 0; view && i < TIDY_RECORDS; i++) {
		if (queue_view_lane_next(view, t->at, &record) != QUEUE_OK ||
		    !lanes_is_mx_name(span_str(record.name))) {
			snprintf(t->at, sizeof t->at, "%s", ROUTE_MX);
			t->next_boot_ms = now.boot_ms + TIDY_PERIOD_MS;
			break;
		}
		snprintf(t->at, sizeof t->at, "%s", record.name);
		see(t, &record, &op, now);
	}
	if (!op)
		return;
	t->is_writing = true;
	queue_op_submit(op, written, t);
}

int64_t tidy_deadline(const struct tidy *t)
{
	return t->is_writing ? INT64_MAX : t->next_boot_ms;
}
