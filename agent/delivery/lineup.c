#include "delivery/lineup.h"

#include "delivery/rest.h"
#include "delivery/share.h"
#include "route.h"

enum {
	UNREADABLE_MS = 5000,
	HELD_BATCH = 1000,  /* held flows asked in one step */
	PLACES_PASSED = 64, /* by a flow that joins a line, at most */
};

/* ---------------------------------------------------------------- lanes and flows find each other */

static void insert(struct flow_place *places, size_t *io_count, size_t *io_shares, struct flow_place place)
{
	size_t at = place.weight ? (*io_shares)++ : *io_count;

	for (size_t i = 0; i < *io_count; i++)
		if (places[i].lane == place.lane) {
			*io_shares -= place.weight > 0;
			return;
		}
	for (size_t i = (*io_count)++; i > at; i--)
		places[i] = places[i - 1];
	places[at] = place;
}

/* Gives the flow a seat at each lane of its target. False: an MX lane is missing, and there is no room for it. */
static bool bind(struct scheduler *s, struct flow *flow)
{
	struct span target = span_str(flow->target), name;
	struct flow_place places[FLOW_LANES];
	size_t count = 0, shares = 0;
	uint32_t weight;

	flow_rise(flow);
	while (count < FLOW_LANES && route_next(&target, &name, &weight)) {
		bool is_mx = lanes_is_mx_name(name);
		struct lane *lane = is_mx ? lanes_mx(s, name, false) : lanes_find(&s->lanes, name);

		if (!lane && is_mx)
			return false;
		if (lane)
			insert(places, &count, &shares, (struct flow_place){ lane, weight });
	}
	flow_sit(flow, places, count);
	share_begin(flow, &s->chance);
	return true;
}

static uint64_t served(const struct list *node)
{
	return LIST_ENTRY(node, struct flow_seat, node)->served;
}

/* Behind those whose turn is longer ago: a newcomer before all that had one, and nobody twice before another. */
static void stand_in_line(struct list *line, struct flow_seat *seat)
{
	struct list *before = line->prev;

	if (!list_is_empty(line) && served(list_first(line)) > seat->served) {
		list_prepend(line, &seat->node);
		return;
	}
	for (int i = 0; i < PLACES_PASSED && before != line && served(before) > seat->served; i++)
		before = before->prev;
	list_prepend(before, &seat->node);
}

static void join(struct flow *flow)
{
	unsigned band = flow->band < LANE_BANDS ? flow->band : LANE_BANDS - 1;

	for (size_t i = 0; i < flow->seat_count; i++)
		if (list_is_empty(&flow->seats[i].node))
			stand_in_line(&flow->seats[i].lane->bands[band], &flow->seats[i]);
}

/* False: it has none, and stands in line for them. */
static bool find_seats(struct scheduler *s, struct flow *flow)
{
	if (flow->is_in_line)
		return false;
	heap_remove(&s->away, &flow->away);
	flow->is_unbound = !bind(s, flow);
	if (!flow->is_unbound)
		return true;
	flow->is_in_line = true;
	flow->is_active = false;
	rest_end(s, flow);
	turns_join(&s->line, &flow->node, flow->band, flow->submitter);
	return false;
}

void lineup_bind_all(struct scheduler *s)
{
	for (size_t i = 0; i < s->flows.size; i++)
		for (struct flow *flow = s->flows.buckets[i]; flow; flow = flow->next)
			if (!flow->is_unbound && find_seats(s, flow) && flow->is_active)
				join(flow);
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

void lineup_look_everywhere(struct scheduler *s)
{
	for (struct list *node = list_first(&s->lanes.hosts); node; node = list_next(&s->lanes.hosts, node))
		lane_look(LIST_ENTRY(node, struct lane, node));
	for (struct list *node = list_first(&s->lanes.mx); node; node = list_next(&s->lanes.mx, node))
		lane_look(LIST_ENTRY(node, struct lane, node));
}

static void look_at_seats(const struct flow *flow)
{
	for (size_t i = 0; i < flow->seat_count; i++)
		lane_look(flow->seats[i].lane);
}

/* A target has one MX lane, so only the smart hosts have others to look at. */
void lineup_look_around(struct scheduler *s, struct lane *lane)
{
	for (struct list *node = list_first(&s->lanes.hosts); node; node = list_next(&s->lanes.hosts, node))
		lane_look(LIST_ENTRY(node, struct lane, node));
	lane_look(lane);
	for (int band = 0; !lane->domain && band < LANE_BANDS; band++)
		for (struct list *node = list_first(&lane->bands[band]); node;
		     node = list_next(&lane->bands[band], node))
			look_at_seats(LIST_ENTRY(node, struct flow_seat, node)->flow);
}

/* ---------------------------------------------------------------- whose turn it is */

/* The lane whose turn it is looks now, the others when it has not used it; those that take no mail may have a probe. */
static void tell_shares(struct scheduler *s, const struct flow *flow)
{
	for (size_t i = 0; i < flow->share_count; i++) {
		struct lane *lane = flow->seats[i].lane;

		if (i == flow->turn || !lineup_takes_mail(s, lane))
			lane_look(lane);
		else
			lane_look_by(lane, flow->turn_boot_ms + LINEUP_HOLD_MS);
	}
}

/* It could take a message, had it been looked at. */
static bool is_free(struct lane *lane, struct moment now)
{
	return !lane_token_ms(lane, now) &&
	       (lane->idle || (lane_has_slot(lane, now) && list_is_empty(&lane->slot_node)));
}

/* Whose turn it is, decided if need be. SIZE_MAX: no lane with a weight takes mail. */
static size_t turn_of(struct scheduler *s, struct flow *flow)
{
	uint32_t takers = 0, able = 0;

	for (size_t i = 0; i < flow->share_count; i++) {
		struct flow_seat *seat = &flow->seats[i];

		if (!lineup_takes_mail(s, seat->lane))
			continue;
		seat->is_full = seat->is_full && !is_free(seat->lane, s->now);
		takers |= 1U << i;
		able |= seat->is_full ? 0 : 1U << i;
	}
	if (flow->turn != SIZE_MAX && able & 1U << flow->turn)
		return flow->turn;
	flow->turn = share_turn(flow, able ? able : takers);
	flow->turn_boot_ms = s->now.boot_ms;
	if (flow->turn == SIZE_MAX)
		return SIZE_MAX;
	flow->seats[flow->turn].is_full = false;
	tell_shares(s, flow);
	return flow->turn;
}

/* The lane could take a message now. */
static bool may_share(struct scheduler *s, struct flow *flow, size_t seat)
{
	struct lane *lane = flow->seats[seat].lane;

	if (!lineup_takes_mail(s, lane))
		return true; /* it is asked because it may be tried: its probe is out of turn */
	flow->seats[seat].is_full = false;
	if (turn_of(s, flow) == seat || s->now.boot_ms >= flow->turn_boot_ms + LINEUP_HOLD_MS)
		return true;
	lane_look_by(lane, flow->turn_boot_ms + LINEUP_HOLD_MS);
	return false;
}

static size_t seat_of(const struct flow *flow, const struct lane *lane)
{
	size_t i = 0;

	while (i < flow->seat_count && flow->seats[i].lane != lane)
		i++;
	return i;
}

static bool may_serve(struct scheduler *s, const struct lane *lane, struct flow *flow)
{
	size_t seat = seat_of(flow, lane);

	if (seat < flow->share_count)
		return may_share(s, flow, seat);
	for (size_t i = 0; i < seat; i++)
		if (lineup_takes_mail(s, flow->seats[i].lane))
			return false;
	return true;
}

/* The lanes that this flow's mail concerns: up to the first that takes it. */
static void look_for(struct scheduler *s, struct flow *flow)
{
	if (flow->share_count && turn_of(s, flow) != SIZE_MAX) {
		tell_shares(s, flow);
		return;
	}
	for (size_t i = 0; i < flow->seat_count; i++) {
		lane_look(flow->seats[i].lane);
		if (lineup_takes_mail(s, flow->seats[i].lane))
			break;
	}
}

/* ---------------------------------------------------------------- flows */

/* Its network is not there. */
static void hold_back(struct scheduler *s, struct flow *flow)
{
	if (flow->is_held)
		return;
	heap_remove(&s->away, &flow->away);
	flow_rise(flow);
	flow->is_active = flow->is_in_line = false;
	flow->is_held = flow->is_unbound = true;
	rest_end(s, flow);
	list_append(&s->held, &flow->node);
	s->held_count++;
}

static void let_go(struct scheduler *s, struct flow *flow)
{
	if (!flow->is_held)
		return;
	flow->is_held = false;
	list_remove(&flow->node);
	s->held_count--;
}

void lineup_conditions_changed(struct scheduler *s)
{
	for (size_t i = 0; i < s->flows.size; i++)
		for (struct flow *flow = s->flows.buckets[i]; flow; flow = flow->next)
			if ((flow->is_active || flow->is_unbound) && !conditions_allow(&s->conditions, flow->target))
				hold_back(s, flow);
	s->held_to_ask = s->held_count;
}

/* What its lanes failed for may have been that the network was not there; each comes and goes of a network may cost them one
 * attempt, and no more than the first backoff allows. */
static void hurry_lanes(const struct flow *flow, struct moment now)
{
	for (size_t i = 0; i < flow->seat_count; i++) {
		struct lane *lane = flow->seats[i].lane;
		int64_t at_ms = moment_boot(now, lane->tried_wall_ms) + lane->host->reconnect.first_ms;

		if (lane->trouble != TRAFFIC_LANE || lane->retry_boot_ms <= at_ms)
			continue;
		lane->retry_boot_ms = at_ms > now.boot_ms ? at_ms : now.boot_ms;
		lane_look_at(lane, lane->retry_boot_ms);
	}
}

static void ask_held(struct scheduler *s)
{
	for (int i = 0; i < HELD_BATCH && s->held_to_ask; i++, s->held_to_ask--) {
		struct list *node = list_first(&s->held);
		struct flow *flow = node ? LIST_ENTRY(node, struct flow, node) : NULL;

		if (!flow)
			continue;
		list_remove(node);
		list_append(&s->held, node);
		lineup_activate(s, flow);
		if (!flow->is_held)
			hurry_lanes(flow, s->now);
	}
}

void lineup_activate(struct scheduler *s, struct flow *flow)
{
	flow->is_touched = true;
	if (!conditions_allow(&s->conditions, flow->target)) {
		hold_back(s, flow);
		return;
	}
	let_go(s, flow);
	if (heap_has(&flow->away) && flow->away.key > s->now.boot_ms)
		return;
	if (flow->is_unbound && !find_seats(s, flow))
		return;
	if (!flow->is_active) {
		flow->is_active = true;
		rest_end(s, flow);
		/* From the front: it passes over what is in flight, and no early entry can be missed. */
		flow->cursor = (struct queue_due){ 0 };
		flow->turn_boot_ms = s->now.boot_ms;
		join(flow);
	}
	look_for(s, flow);
}

void lineup_wake(struct scheduler *s, struct moment now)
{
	struct heap_node *first;
	struct flow *flow;

	ask_held(s);
	while ((first = heap_first(&s->away)) && first->key <= now.boot_ms)
		lineup_activate(s, HEAP_ENTRY(first, struct flow, away)); /* which takes it out */
	while ((flow = rest_next(s, now)))
		lineup_activate(s, flow);
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
			case FLOW_LATER: break;
			case FLOW_BROKEN: /* a damaged or unreadable file: again in a while */
				wake_ms = now.wall_ms + UNREADABLE_MS;
				break;
			}
			flow_leave(flow);
			rest_begin(s, flow, wake_ms, now);
		}
	}
	return NULL;
}

static size_t depth_of(const struct scheduler *s, const struct flow *flow, struct queue_view *view, struct moment now,
		       size_t most, size_t *io_reads)
{
	struct queue_due at = flow->cursor;
	uint64_t last = 0;
	size_t count = 0;

	while (count < most && *io_reads && queue_view_due(view, flow->id, at, &at) == QUEUE_OK &&
	       at.due_ms <= now.wall_ms) {
		--*io_reads;
		count += at.id != last && !flight_find(&s->flight, at.id, at.n);
		last = at.id;
	}
	return count;
}

size_t lineup_depth(const struct scheduler *s, const struct lane *lane, struct queue_view *view, struct moment now,
		    size_t most)
{
	size_t count = 0, reads = 4 * most;

	for (int band = 0; band < LANE_BANDS; band++)
		for (struct list *node = list_first(&lane->bands[band]); node && count < most && reads;
		     node = list_next(&lane->bands[band], node))
			count += depth_of(s, LIST_ENTRY(node, struct flow_seat, node)->flow, view, now, most - count,
					  &reads);
	return count;
}

void lineup_served(struct scheduler *s, struct lane *lane, struct flow *flow)
{
	unsigned band = flow->band < LANE_BANDS ? flow->band : LANE_BANDS - 1;
	size_t seat = seat_of(flow, lane);

	if (seat == flow->seat_count)
		return;
	list_remove(&flow->seats[seat].node);
	list_append(&lane->bands[band], &flow->seats[seat].node);
	flow->seats[seat].served = ++lane->turns;
	if (seat >= flow->share_count)
		return;
	/* A probe costs nobody the turn. */
	if (flow->turn != seat && lineup_takes_mail(s, lane) && flow->turn != SIZE_MAX)
		flow->seats[flow->turn].is_full = true;
	else if (flow->turn != seat)
		return;
	flow->turn = SIZE_MAX;
	turn_of(s, flow);
}
