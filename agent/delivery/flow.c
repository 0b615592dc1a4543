#include "delivery/flow.h"

#include "base/mem.h"
#include "delivery/lane.h"

struct flow *flow_new(uint32_t id, const struct queue_flow *name)
{
	struct flow *flow = MEM_NEW(struct flow);

	list_init(&flow->node);
	flow->id = id;
	flow->target = mem_strdup(name->target);
	flow->submitter = mem_strdup(name->submitter);
	flow->band = name->band;
	flow->wake_ms = INT64_MAX;
	flow->is_unbound = true;
	flow->turn = SIZE_MAX;
	return flow;
}

void flow_free(struct flow *flow)
{
	if (!flow)
		return;
	flow_rise(flow);
	list_remove(&flow->node);
	mem_free(flow->target);
	mem_free(flow->submitter);
	mem_free(flow);
}

void flow_leave(struct flow *flow)
{
	for (size_t i = 0; i < flow->seat_count; i++)
		list_remove(&flow->seats[i].node);
}

void flow_sit(struct flow *flow, const struct flow_place *places, size_t count)
{
	flow->seats = count ? mem_calloc(count, sizeof *flow->seats) : NULL;
	flow->seat_count = count;
	flow->share_count = 0;
	flow->turn = SIZE_MAX;
	for (size_t i = 0; i < count; i++) {
		struct flow_seat *seat = &flow->seats[i];

		list_init(&seat->node);
		seat->flow = flow;
		seat->lane = places[i].lane;
		seat->weight = places[i].weight;
		seat->lane->seats++;
		flow->share_count += seat->weight > 0;
	}
}

void flow_rise(struct flow *flow)
{
	flow_leave(flow);
	for (size_t i = 0; i < flow->seat_count; i++) {
		flow->seats[i].lane->seats--;
		lane_loosen(flow->seats[i].lane);
	}
	mem_free(flow->seats);
	flow->seats = NULL;
	flow->seat_count = flow->share_count = 0;
}

void flow_back(struct flow *flow, int64_t due_ms)
{
	if (due_ms <= flow->cursor.due_ms)
		flow->cursor = (struct queue_due){ .due_ms = due_ms ? due_ms - 1 : 0,
						   .id = due_ms ? UINT64_MAX : 0,
						   .n = due_ms ? UINT32_MAX : 0 };
}

static bool is_held_until(struct queue_view *view, uint64_t id, int64_t now_ms)
{
	struct queue_envelope envelope;

	return queue_view_envelope(view, id, &envelope) == QUEUE_OK && envelope.hold_until_ms > now_ms;
}

enum flow_peek flow_peek(struct flow *flow, struct queue_view *view, const struct flight *flight, int64_t now_ms,
			 int64_t horizon_ms, struct queue_due *out, int64_t *out_wake_ms)
{
	struct queue_due at = flow->cursor, due;

	for (;;) {
		enum queue_err err = queue_view_due(view, flow->id, at, &due);

		flow->reads++;
		if (err == QUEUE_NOT_FOUND) {
			*out_wake_ms = INT64_MAX;
			return FLOW_LATER;
		}
		if (err)
			return FLOW_BROKEN;
		if (!flight_find(flight, due.id, due.n))
			break;
		/* What is in flight is behind the cursor from now on: flow_back() if it returns. */
		at = due;
		flow->cursor = due;
	}
	if (due.due_ms > now_ms && (due.due_ms <= horizon_ms || is_held_until(view, due.id, now_ms))) {
		*out_wake_ms = due.due_ms;
		return FLOW_LATER;
	}
	*out = due;
	return FLOW_DUE;
}

/* ---------------------------------------------------------------- table */

enum { SMALLEST = 64 };

void flow_table_init(struct flow_table *t)
{
	t->size = SMALLEST;
	t->count = 0;
	t->buckets = mem_calloc(t->size, sizeof *t->buckets);
}

void flow_table_fini(struct flow_table *t)
{
	for (size_t i = 0; t->buckets && i < t->size; i++)
		while (t->buckets[i]) {
			struct flow *flow = t->buckets[i];

			t->buckets[i] = flow->next;
			flow_free(flow);
		}
	mem_free(t->buckets);
	t->buckets = NULL;
}

static struct flow **bucket(const struct flow_table *t, uint32_t id)
{
	return &t->buckets[(id * 0x9e3779b1u) & (t->size - 1)];
}

static void grow(struct flow_table *t)
{
	struct flow_table old = *t;

	t->size *= 2;
	t->buckets = mem_calloc(t->size, sizeof *t->buckets);
	for (size_t i = 0; i < old.size; i++)
		while (old.buckets[i]) {
			struct flow *flow = old.buckets[i], **to = bucket(t, flow->id);

			old.buckets[i] = flow->next;
			flow->next = *to;
			*to = flow;
		}
	mem_free(old.buckets);
}

void flow_table_add(struct flow_table *t, struct flow *flow)
{
	struct flow **to;

	if (t->count >= t->size)
		grow(t);
	to = bucket(t, flow->id);
	flow->next = *to;
	*to = flow;
	t->count++;
}

struct flow *flow_table_find(const struct flow_table *t, uint32_t id)
{
	struct flow *flow = *bucket(t, id);

	while (flow && flow->id != id)
		flow = flow->next;
	return flow;
}

void flow_table_drop(struct flow_table *t, struct flow *flow)
{
	struct flow **at = bucket(t, flow->id);

	while (*at != flow)
		at = &(*at)->next;
	*at = flow->next;
	t->count--;
	flow_free(flow);
}
