/* What people say to the scheduler, and what is asked of it. */
#include "delivery/scheduler.h"

#include "base/mem.h"
#include "delivery/lineup.h"
#include "delivery/rest.h"
#include "delivery/room.h"
#include "route.h"

enum {
	NETWORK_JITTER_MS = 2000,
	NETWORK_RUSH_MS = 60 * 1000, /* failing lanes are hurried by network changes at most this often */
};

/* ---------------------------------------------------------------- what people say */

static void for_each(struct scheduler *s, void (*what)(struct lane *lane))
{
	for (struct list *node = list_first(&s->lanes.hosts); node; node = list_next(&s->lanes.hosts, node))
		what(LIST_ENTRY(node, struct lane, node));
	for (struct list *node = list_first(&s->lanes.mx); node; node = list_next(&s->lanes.mx, node))
		what(LIST_ENTRY(node, struct lane, node));
}

/* One of the configured lanes, or an MX lane of which something is known. */
static struct lane *known(struct scheduler *s, const char *name)
{
	struct queue_view *view = queue_view(s->queue);
	struct lane *lane = scheduler_lane(s, name);
	struct queue_lane record;

	if (lane || !lanes_is_mx_name(span_str(name)) || !view || queue_view_lane(view, name, &record) != QUEUE_OK)
		return lane;
	return lanes_mx(s, span_str(name), true);
}

bool scheduler_wake(struct scheduler *s, const char *name, struct moment now)
{
	struct lane *lane;

	s->now = now;
	lane = name ? known(s, name) : NULL;
	if (name && !lane)
		return false;
	if (lane) {
		lane_wake(lane);
		lineup_look_around(s, lane);
	} else {
		s->lanes.woken_wall_ms = now.wall_ms;
		for_each(s, lane_wake);
	}
	room_call_back(s, name);
	if (s->network.is_offline && (!lane || !lane->is_local))
		network_changed(&s->network, now.boot_ms);
	return true;
}

bool scheduler_pause(struct scheduler *s, const char *name, const char *by, struct moment now)
{
	struct lane *lane;
	char *copy;

	s->now = now;
	if (name) {
		lane = lanes_is_mx_name(span_str(name)) ? lanes_mx(s, span_str(name), true) : scheduler_lane(s, name);
		if (!lane)
			return false;
		lane_pause(lane, by, now);
		lineup_look_around(s, lane);
		return true;
	}
	copy = mem_strdup(by[0] ? by : "somebody");
	mem_free(s->paused_by);
	s->paused_by = copy;
	s->paused_wall_ms = now.wall_ms;
	s->is_pause_dirty = true;
	return true;
}

bool scheduler_resume(struct scheduler *s, const char *name, struct moment now)
{
	struct lane *lane;

	s->now = now;
	lane = name ? known(s, name) : NULL;
	if (name && !lane)
		return false;
	if (lane) {
		lane_resume(lane);
		lineup_look_around(s, lane);
	} else {
		s->is_pause_dirty |= s->paused_by != NULL;
		mem_free(s->paused_by);
		s->paused_by = NULL;
		s->lanes.woken_wall_ms = s->lanes.resumed_wall_ms = now.wall_ms;
		for_each(s, lane_resume);
	}
	room_call_back(s, name);
	return true;
}

static void hurry(struct scheduler *s, struct list *lanes, struct moment now)
{
	for (struct list *node = list_first(lanes); node; node = list_next(lanes, node)) {
		int64_t soon = now.boot_ms + (int64_t)chance_below(&s->chance, NETWORK_JITTER_MS);

		lane_hurry(LIST_ENTRY(node, struct lane, node), soon);
	}
}

void scheduler_network_changed(struct scheduler *s, struct moment now)
{
	s->now = now;
	network_changed(&s->network, now.boot_ms + (int64_t)chance_below(&s->chance, NETWORK_JITTER_MS));
	/* Containers come and go every second on some machines: that must not undo a lane's backoff each time. */
	if (now.boot_ms < s->rush_boot_ms)
		return;
	s->rush_boot_ms = now.boot_ms + NETWORK_RUSH_MS;
	hurry(s, &s->lanes.hosts, now);
	hurry(s, &s->lanes.mx, now);
}

void scheduler_woke(struct scheduler *s, struct moment now)
{
	int64_t jump_ms = (now.wall_ms - now.boot_ms) - (s->now.wall_ms - s->now.boot_ms);

	s->now = now;
	if (jump_ms < 0)
		rest_recall(s, NULL); /* what they wait for may be a time that a wrong clock invented */
	network_reborn(&s->network, now);
	s->rush_boot_ms = 0;
	scheduler_network_changed(s, now);
}

/* ---------------------------------------------------------------- what is asked */

bool scheduler_is_tried(struct scheduler *s, const struct queue_rcpt *rcpt)
{
	const struct condition *condition = conditions_of(&s->conditions, rcpt->flow.target);
	int64_t since_ms = condition && condition->since_wall_ms > s->network.since_wall_ms ? condition->since_wall_ms
											    : s->network.since_wall_ms;
	struct span target = span_str(rcpt->flow.target), name;
	bool has_lane = false, is_tried = false, takes = false;
	uint32_t weight;

	if (condition && !condition->holds)
		return false;
	if (rcpt->last_ms >= since_ms)
		return true;
	while (!takes && route_next(&target, &name, &weight)) {
		const struct lane *lane = lanes_peek(s, name);

		if (lane) {
			takes = lineup_takes_mail(s, lane); /* its turn will come */
			has_lane = true;
			is_tried |= lineup_has_network(s, lane) && lane->tried_wall_ms >= since_ms;
		}
		lanes_put_back(lane);
	}
	return !takes && (is_tried || !has_lane); /* nothing can be attempted without a route */
}

bool scheduler_is_paused(struct scheduler *s, const char *target)
{
	struct span rest = span_str(target), name;
	bool is_paused = s->paused_by || !conditions_allow(&s->conditions, target);
	uint32_t weight;

	while (!is_paused && route_next(&rest, &name, &weight)) {
		const struct lane *lane = lanes_peek(s, name);

		is_paused = lane && lane->paused_by;
		lanes_put_back(lane);
	}
	return is_paused;
}

/* Those without a weight come behind the others, wherever they stand. */
static struct lane *choose(struct scheduler *s, const char *target, bool with_weight)
{
	struct span rest = span_str(target), name;
	uint32_t weight;

	while (route_next(&rest, &name, &weight)) {
		struct lane *lane = (weight > 0) == with_weight ? lanes_find(&s->lanes, name) : NULL;

		if (lane && lineup_takes_mail(s, lane))
			return lane;
	}
	return NULL;
}

struct lane *scheduler_choice(struct scheduler *s, const char *target)
{
	bool may = !s->paused_by && conditions_allow(&s->conditions, target);
	struct lane *lane = may ? choose(s, target, true) : NULL;

	return lane || !may ? lane : choose(s, target, false);
}
