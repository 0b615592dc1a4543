#include "delivery/lineup.h"

#include "base/mem.h"

enum {
	WAKE_STEP_MS = 100, /* idle flows are looked through at most this often */
	REST_BATCH = 64,
	UNREADABLE_MS = 5000,
};

/* ---------------------------------------------------------------- lanes and flows find each other */

struct lane *lineup_find(const struct scheduler *s, struct span name)
{
	for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node)) {
		struct lane *lane = LIST_ENTRY(node, struct lane, node);

		if (span_equals(span_str(lane->name), name))
			return lane;
	}
	return NULL;
}

/* The next name of a target; false at its end. */
bool lineup_name(struct span *io_target, struct span *out_name)
{
	size_t comma = span_find(*io_target, ',');

	if (!io_target->len)
		return false;
	*out_name = span_trim(span_first(*io_target, comma));
	*io_target = span_from(*io_target, comma + 1);
	return true;
}

void lineup_bind(struct scheduler *s, struct flow *flow)
{
	struct span target = span_str(flow->target), name;

	flow_leave(flow);
	flow->seat_count = 0;
	while (flow->seat_count < FLOW_LANES && lineup_name(&target, &name)) {
		struct lane *lane = lineup_find(s, name);

		if (!lane)
			continue;
		struct flow_seat *seat = &flow->seats[flow->seat_count++];

		list_init(&seat->node);
		seat->flow = flow;
		seat->lane = lane;
	}
}

void lineup_join(struct flow *flow)
{
	unsigned band = flow->band < LANE_BANDS ? flow->band : LANE_BANDS - 1;

	for (size_t i = 0; i < flow->seat_count; i++)
		if (list_is_empty(&flow->seats[i].node))
			list_append(&flow->seats[i].lane->bands[band], &flow->seats[i].node);
}

/* Offline, mail passes a lane over like a failing one: a local one behind it may take it. */
bool lineup_has_network(const struct scheduler *s, const struct lane *lane)
{
	const struct network *n = &s->network;

	return lane->is_local || !n->is_offline || (n->dns_only && !lane->needs_dns);
}

bool lineup_takes_mail(const struct scheduler *s, const struct lane *lane)
{
	return lane_is_well(lane) && lineup_has_network(s, lane);
}

/* The lanes that this flow's mail concerns: up to the first that takes it. */
static void look_for(struct scheduler *s, struct flow *flow)
{
	for (size_t i = 0; i < flow->seat_count; i++) {
		flow->seats[i].lane->look = true;
		if (lineup_takes_mail(s, flow->seats[i].lane))
			break;
	}
}

void lineup_look_everywhere(struct scheduler *s)
{
	for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node))
		LIST_ENTRY(node, struct lane, node)->look = true;
}

static bool may_serve(const struct scheduler *s, const struct lane *lane, const struct flow *flow)
{
	for (size_t i = 0; i < flow->seat_count && flow->seats[i].lane != lane; i++)
		if (lineup_takes_mail(s, flow->seats[i].lane))
			return false;
	return true;
}

/* ---------------------------------------------------------------- flows */

void lineup_activate(struct scheduler *s, struct flow *flow)
{
	flow->is_touched = true;
	if (!flow->is_active) {
		flow->is_active = true;
		flow->wake_ms = INT64_MAX;
		/* From the front: it passes over what is in flight, and no early entry can be missed. */
		flow->cursor = (struct queue_due){ 0 };
		list_remove(&flow->node);
		lineup_join(flow);
	}
	look_for(s, flow);
}

static void idle_until(struct scheduler *s, struct flow *flow, int64_t wake_ms, struct moment now)
{
	flow->is_active = false;
	flow->wake_ms = wake_ms;
	flow->idle_boot_ms = now.boot_ms;
	flow_leave(flow);
	list_append(&s->idle, &flow->node);
	s->wake_wall_ms = moment_min(s->wake_wall_ms, wake_ms);
}

struct flow *lineup_add(struct scheduler *s, uint32_t id, const struct queue_flow *name, struct moment now)
{
	struct flow *flow = flow_new(id, name);

	flow_table_add(&s->flows, flow);
	lineup_bind(s, flow);
	idle_until(s, flow, INT64_MAX, now);
	return flow;
}

void lineup_wake(struct scheduler *s, struct moment now)
{
	struct list *next;

	if (now.wall_ms < s->wake_wall_ms)
		return;
	s->wake_wall_ms = INT64_MAX;
	for (struct list *node = list_first(&s->idle); node; node = next) {
		struct flow *flow = LIST_ENTRY(node, struct flow, node);

		next = list_next(&s->idle, node);
		if (flow->wake_ms <= now.wall_ms)
			lineup_activate(s, flow);
		else
			s->wake_wall_ms = moment_min(s->wake_wall_ms, flow->wake_ms);
	}
	if (s->wake_wall_ms < now.wall_ms + WAKE_STEP_MS)
		s->wake_wall_ms = now.wall_ms + WAKE_STEP_MS;
}

struct rest {
	struct scheduler *s;
	size_t count;
	uint32_t ids[REST_BATCH];
};

static void rested(void *arg, enum queue_err err, uint64_t id)
{
	struct rest *rest = arg;

	(void)id;
	for (size_t i = 0; i < rest->count; i++) {
		struct flow *flow = flow_table_find(&rest->s->flows, rest->ids[i]);

		if (!flow || !flow->is_resting)
			continue;
		flow->is_resting = false;
		if (err && err != QUEUE_NOT_FOUND) { /* its timer stands where it stood: try again */
			flow->idle_boot_ms = rest->s->now.boot_ms;
			continue;
		}
		if (flow->is_active || flow->is_touched)
			continue;
		rest->s->rested_wall_ms = moment_min(rest->s->rested_wall_ms, flow->wake_ms);
		flow_table_drop(&rest->s->flows, flow);
	}
	scheduler_answered(rest->s);
	mem_free(rest);
}

/* Flows without due mail leave memory; their timer in the queue brings them back. */
void lineup_rest(struct scheduler *s, struct moment now)
{
	struct queue_op *op = NULL;
	struct rest *rest = NULL;
	struct list *next;

	for (struct list *node = list_first(&s->idle); node; node = next) {
		struct flow *flow = LIST_ENTRY(node, struct flow, node);

		next = list_next(&s->idle, node);
		if (now.boot_ms < flow->idle_boot_ms + SCHEDULER_REST_MS || (rest && rest->count == REST_BATCH))
			break;
		if (flow->is_resting || flow->wake_ms <= now.wall_ms + SCHEDULER_REST_MS)
			continue;
		if (!op) {
			op = queue_op_new(s->queue);
			rest = MEM_NEW(struct rest);
			rest->s = s;
		}
		flow->is_resting = true;
		flow->is_touched = false;
		rest->ids[rest->count++] = flow->id;
		queue_op_flow_rest(op, flow->id);
	}
	if (op)
		queue_op_submit(op, rested, rest);
}

/* ---------------------------------------------------------------- picking */

/* The first flow in line with due mail for the lane; those without leave the line. */
struct flow *lineup_next(struct scheduler *s, struct lane *lane, struct queue_view *view, struct moment now,
			 struct queue_due *out_due)
{
	int64_t horizon_ms = now.wall_ms + s->horizon_ms, wake_ms;
	struct list *next;

	for (int band = 0; band < LANE_BANDS; band++) {
		struct list *line = &lane->bands[band];

		for (struct list *node = list_first(line); node; node = next) {
			struct flow *flow = LIST_ENTRY(node, struct flow_seat, node)->flow;

			next = list_next(line, node);
			if (!may_serve(s, lane, flow))
				continue;
			switch (flow_peek(flow, view, &s->flight, now.wall_ms, horizon_ms, out_due, &wake_ms)) {
			case FLOW_DUE: return flow;
			case FLOW_LATER: idle_until(s, flow, wake_ms, now); break;
			case FLOW_BROKEN: /* a damaged or unreadable file: again in a while */
				idle_until(s, flow, now.wall_ms + UNREADABLE_MS, now);
				break;
			}
		}
	}
	return NULL;
}

/* One message was taken: the lane's other flows of the band come first now. */
void lineup_served(struct lane *lane, struct flow *flow)
{
	unsigned band = flow->band < LANE_BANDS ? flow->band : LANE_BANDS - 1;

	for (size_t i = 0; i < flow->seat_count; i++)
		if (flow->seats[i].lane == lane) {
			list_remove(&flow->seats[i].node);
			list_append(&lane->bands[band], &flow->seats[i].node);
		}
}
