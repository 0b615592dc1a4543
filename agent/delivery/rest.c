#include "delivery/rest.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "route.h"

enum {
	AGAIN_MS = 5000,    /* after the queue could not write */
	PATIENCE_MS = 200,  /* nobody waits for it */
	RECALL_READS = 256, /* timers looked at in one step */
	SOON_MS = SCHEDULER_REST_MS,
};

/* ---------------------------------------------------------------- idle */

static bool is_idle(const struct flow *flow)
{
	return !flow->is_active && !flow->is_in_line && !flow->is_held && !heap_has(&flow->away);
}

/* Among those that may leave memory, where nothing keeps it here. */
static void line_up(struct scheduler *s, struct flow *flow)
{
	if (!is_idle(flow) || flow->is_resting || flow->flying || flow->wake_ms <= s->now.wall_ms + SOON_MS)
		return;
	flow->idle_boot_ms = s->now.boot_ms;
	list_remove(&flow->node);
	list_append(&s->idle, &flow->node);
}

void rest_begin(struct scheduler *s, struct flow *flow, int64_t wake_ms, struct moment now)
{
	s->now = now;
	flow->is_active = false;
	flow->wake_ms = wake_ms;
	if (wake_ms != INT64_MAX)
		heap_put(&s->wakes, &flow->wake, wake_ms);
	line_up(s, flow);
}

void rest_end(struct scheduler *s, struct flow *flow)
{
	flow->wake_ms = INT64_MAX;
	heap_remove(&s->wakes, &flow->wake);
	list_remove(&flow->node);
}

void rest_expect(struct scheduler *s, struct flow *flow, int64_t due_ms)
{
	if (!is_idle(flow) || due_ms >= flow->wake_ms)
		return;
	flow->wake_ms = due_ms;
	heap_put(&s->wakes, &flow->wake, due_ms);
	if (due_ms <= s->now.wall_ms + SOON_MS)
		list_remove(&flow->node);
}

void rest_landed(struct scheduler *s, struct flow *flow)
{
	flow->flying--;
	if (!flow->flying)
		line_up(s, flow);
}

struct flow *rest_next(struct scheduler *s, struct moment now)
{
	struct heap_node *first = heap_first(&s->wakes);

	if (!first || first->key > now.wall_ms)
		return NULL;
	heap_remove(&s->wakes, first);
	return HEAP_ENTRY(first, struct flow, wake);
}

/* ---------------------------------------------------------------- out of memory */

void rest_park(struct scheduler *s, struct flow *flow)
{
	list_remove(&flow->node);
	list_append(&s->parking, &flow->node);
}

struct batch {
	struct scheduler *s;
	struct queue_op *op;
	size_t count;
	uint32_t ids[REST_BATCH];
};

static void leave(struct scheduler *s, struct flow *flow)
{
	s->rested_wall_ms = moment_min(s->rested_wall_ms, flow->wake_ms);
	heap_remove(&s->wakes, &flow->wake);
	heap_remove(&s->away, &flow->away);
	window_leave(&s->window, flow->line);
	flow_table_drop(&s->flows, flow);
}

static void written(void *arg, enum queue_err err, uint64_t id)
{
	struct batch *batch = arg;
	struct scheduler *s = batch->s;
	bool failed = err && err != QUEUE_NOT_FOUND; /* their timers stand where they stood */

	(void)id;
	for (size_t i = 0; i < batch->count; i++) {
		struct flow *flow = flow_table_find(&s->flows, batch->ids[i]);

		flow->is_resting = false;
		if (failed || flow->is_active || flow->is_touched)
			line_up(s, flow);
		else
			leave(s, flow);
	}
	if (failed)
		s->rest_boot_ms = s->now.boot_ms + AGAIN_MS;
	scheduler_answered(s);
	mem_free(batch);
}

static struct flow *take(struct batch *batch, struct list *node)
{
	struct flow *flow = LIST_ENTRY(node, struct flow, node);

	list_remove(node);
	flow->is_resting = true;
	flow->is_touched = false;
	batch->ids[batch->count++] = flow->id;
	return flow;
}

static struct batch *begin(struct scheduler *s)
{
	struct batch *batch = MEM_NEW(struct batch);

	batch->s = s;
	batch->op = queue_op_new(s->queue);
	queue_op_patience(batch->op, PATIENCE_MS);
	return batch;
}

static int64_t ripe_boot_ms(const struct scheduler *s)
{
	const struct list *first = list_first(&s->idle);

	if (!list_is_empty(&s->parking))
		return s->rest_boot_ms;
	if (!first)
		return INT64_MAX;
	if (window_is_pressed(&s->window))
		return s->rest_boot_ms;
	return -moment_min(-s->rest_boot_ms, -(LIST_ENTRY(first, struct flow, node)->idle_boot_ms + SCHEDULER_REST_MS));
}

static void put_to_rest(struct scheduler *s, struct moment now)
{
	int64_t age_ms = window_is_pressed(&s->window) ? 0 : SCHEDULER_REST_MS;
	struct batch *batch;
	struct list *node;

	if (now.boot_ms < ripe_boot_ms(s))
		return;
	s->rest_boot_ms = now.boot_ms + REST_STEP_MS;
	batch = begin(s);
	while (batch->count < REST_BATCH && (node = list_first(&s->parking))) {
		struct flow *flow = take(batch, node);

		flow->wake_ms = moment_wall(now, flow->away.key);
		queue_op_flow_park(batch->op, flow->id, flow->wake_ms);
	}
	while (batch->count < REST_BATCH && (node = list_first(&s->idle)) &&
	       now.boot_ms >= LIST_ENTRY(node, struct flow, node)->idle_boot_ms + age_ms)
		queue_op_flow_rest(batch->op, take(batch, node)->id);
	queue_op_submit(batch->op, written, batch);
}

/* ---------------------------------------------------------------- back before its time */

void rest_recall(struct scheduler *s, const char *lane)
{
	bool is_other = s->recall.is_on && (!lane || strcmp(s->recall.lane, lane) != 0);

	s->recall.is_on = true;
	s->recall.at = (struct queue_timer){ .when_ms = s->now.wall_ms };
	snprintf(s->recall.lane, sizeof s->recall.lane, "%s", lane && !is_other ? lane : "");
}

static void recalled(void *arg, enum queue_err err, uint64_t id)
{
	struct scheduler *s = arg;

	(void)id;
	s->recall.is_writing = false;
	if (err && err != QUEUE_NOT_FOUND)
		s->recall.is_on = false; /* the disk fails: they come when their time has come */
	s->rested_wall_ms = moment_min(s->rested_wall_ms, s->now.wall_ms);
	scheduler_answered(s);
}

/* It has mail that was due long before its timer. */
static bool is_parked(struct scheduler *s, struct queue_view *view, const struct queue_timer *timer)
{
	struct queue_due due;
	struct queue_flow name;

	return timer->kind == QUEUE_TIMER_FLOW && !flow_table_find(&s->flows, (uint32_t)timer->id) &&
	       queue_view_due(view, (uint32_t)timer->id, (struct queue_due){ 0 }, &due) == QUEUE_OK &&
	       due.due_ms < timer->when_ms && due.due_ms <= s->now.wall_ms &&
	       (!s->recall.lane[0] || (queue_view_flow(view, (uint32_t)timer->id, &name) == QUEUE_OK &&
				       route_place(name.target, s->recall.lane) >= 0));
}

static void recall(struct scheduler *s)
{
	struct queue_view *view;
	struct queue_op *op = NULL;

	if (!s->recall.is_on || s->recall.is_writing || !(view = queue_view(s->queue)))
		return;
	for (int i = 0; i < RECALL_READS; i++) {
		struct queue_timer timer;

		if (queue_view_timer(view, s->recall.at, &timer) != QUEUE_OK) {
			s->recall.is_on = false;
			break;
		}
		s->recall.at = timer;
		if (!is_parked(s, view, &timer))
			continue;
		op = op ? op : queue_op_new(s->queue);
		queue_op_flow_park(op, (uint32_t)timer.id, s->now.wall_ms);
	}
	s->recall.is_writing = op != NULL;
	if (op)
		queue_op_submit(op, recalled, s);
}

void rest_step(struct scheduler *s, struct moment now)
{
	put_to_rest(s, now);
	recall(s);
}

int64_t rest_deadline(const struct scheduler *s)
{
	const struct heap_node *first = heap_first(&s->wakes);
	int64_t at = ripe_boot_ms(s);

	if (s->recall.is_on && !s->recall.is_writing)
		at = moment_min(at, s->now.boot_ms + 1);
	return first ? moment_min(at, moment_boot(s->now, first->key)) : at;
}
