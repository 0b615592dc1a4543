#include "delivery/room.h"

#include "delivery/lineup.h"
#include "delivery/rest.h"
#include "route.h"

enum {
	STEP_MS = 100,        /* lanes that rest are looked for at most this often, */
	IN_VAIN_MS = 1000,    /* and this often after all were looked at in vain */
	BATCH = 1000,         /* lanes looked at in one step */
	LEAST_MS = 1000,      /* a lane that rests for less stays, */
	PARK_LEAST_MS = 5000, /* and its flows stay in memory */
	FILL_READS = 256,     /* timers read in one step for flows that were turned away */
};

/* ---------------------------------------------------------------- lanes that rest give way */

/* All who have a seat at the lane stand in line there, and have no other lane that might take their mail meanwhile. */
static bool may_part(const struct lane *lane)
{
	uint32_t seats = 0;

	for (int band = 0; band < LANE_BANDS; band++)
		for (struct list *node = list_first(&lane->bands[band]); node;
		     node = list_next(&lane->bands[band], node)) {
			if (LIST_ENTRY(node, struct flow_seat, node)->flow->seat_count > 1)
				return false;
			seats++;
		}
	return seats == lane->seats;
}

/* What it waits for is in its record; its flows come back for it when the time is over. */
static void part(struct scheduler *s, struct lane *lane, int64_t until_boot_ms)
{
	bool is_long = until_boot_ms >= s->now.boot_ms + PARK_LEAST_MS;

	for (int band = 0; band < LANE_BANDS; band++) {
		struct list *node;

		while ((node = list_first(&lane->bands[band]))) {
			struct flow *flow = LIST_ENTRY(node, struct flow_seat, node)->flow;

			flow_rise(flow);
			flow->is_active = false;
			flow->is_unbound = true;
			heap_put(&s->away, &flow->away, until_boot_ms);
			if (is_long && window_is_pressed(&s->window))
				rest_park(s, flow);
		}
	}
}

static void make_room(struct scheduler *s, struct moment now)
{
	struct list *node;

	for (int i = 0; i < BATCH && (node = list_first(&s->lanes.mx)); i++) {
		struct lane *lane = LIST_ENTRY(node, struct lane, node);
		int64_t until_ms = lane_rests_until(lane);

		list_remove(node);
		list_append(&s->lanes.mx, node);
		s->room_in_vain++;
		if (until_ms <= now.boot_ms + LEAST_MS || !may_part(lane))
			continue;
		part(s, lane, until_ms);
		s->room_in_vain = 0;
	}
	s->room_boot_ms = now.boot_ms + (s->room_in_vain >= s->lanes.mx_count ? IN_VAIN_MS : STEP_MS);
	lanes_drop(s);
}

/* ---------------------------------------------------------------- others come in */

struct flow *room_enter(struct scheduler *s, uint32_t id, const struct queue_flow *name, int64_t when_ms)
{
	unsigned line = window_line(name->band, name->submitter);
	struct flow *flow;

	if (!window_has_room(&s->window, line)) {
		window_turn_away(&s->window, line, when_ms);
		return NULL;
	}
	flow = flow_new(id, name);
	flow->line = line;
	window_enter(&s->window, line);
	flow_table_add(&s->flows, flow);
	rest_begin(s, flow, INT64_MAX, s->now);
	return flow;
}

static void let_in(struct scheduler *s)
{
	struct list *node;

	while (!lanes_is_full(&s->lanes) && (node = turns_take(&s->line))) {
		struct flow *flow = LIST_ENTRY(node, struct flow, node);

		flow->is_in_line = false;
		lineup_activate(s, flow);
	}
}

static void fill_line(struct scheduler *s, unsigned line, struct queue_view *view, size_t *io_reads, struct moment now)
{
	struct queue_flow name;
	uint32_t id;

	while (window_has_room(&s->window, line) &&
	       window_next(&s->window, line, view, &s->flows, now.wall_ms, io_reads, &id, &name))
		lineup_activate(s, room_enter(s, id, &name, now.wall_ms));
}

static void fill(struct scheduler *s, struct moment now)
{
	size_t reads = FILL_READS, line = SIZE_MAX;
	struct queue_view *view;

	if (now.boot_ms >= s->fill_boot_ms)
		line = window_to_fill(&s->window, now.boot_ms);
	if (line == SIZE_MAX)
		return;
	view = queue_view(s->queue);
	s->fill_boot_ms = now.boot_ms + (view ? 1 : IN_VAIN_MS);
	while (view && reads && line != SIZE_MAX) {
		fill_line(s, (unsigned)line, view, &reads, now);
		line = window_to_fill(&s->window, now.boot_ms);
	}
}

void room_step(struct scheduler *s, struct moment now)
{
	let_in(s);
	fill(s, now);
	if (now.boot_ms < s->room_boot_ms || (turns_is_empty(&s->line) && !s->window.shorts))
		return;
	make_room(s, now);
	let_in(s);
}

void room_call_back(struct scheduler *s, const char *lane)
{
	for (size_t i = 0; i < s->flows.size; i++)
		for (struct flow *flow = s->flows.buckets[i]; flow; flow = flow->next)
			if (heap_has(&flow->away) && (!lane || route_place(flow->target, lane) >= 0))
				heap_put(&s->away, &flow->away, s->now.boot_ms);
	if (!lane || lanes_is_mx_name(span_str(lane)))
		rest_recall(s, lane);
}

int64_t room_deadline(const struct scheduler *s)
{
	const struct heap_node *away = heap_first(&s->away);
	int64_t at = away ? away->key : INT64_MAX, fill = window_deadline(&s->window, s->now.boot_ms);

	if (!turns_is_empty(&s->line) || s->window.shorts)
		at = moment_min(at, s->room_boot_ms);
	if (fill != INT64_MAX)
		at = moment_min(at, fill > s->fill_boot_ms ? fill : s->fill_boot_ms);
	return at;
}
