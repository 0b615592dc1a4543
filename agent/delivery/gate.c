#include "delivery/gate.h"

#include <stdio.h>
#include <string.h>

#include "delivery/ledger.h"
#include "delivery/lineup.h"
#include "delivery/words.h"
#include "log.h"
#include "route.h"

enum { PLACE_SIZE = ROUTE_LANE_SIZE + 32 };

static struct moment now_of(const struct gate *gate)
{
	return (struct moment){ loop_now_ms(gate->pool->loop), loop_wall_ms(gate->pool->loop) };
}

static struct scheduler *scheduler_of(const struct gate *gate)
{
	return gate->pool->scheduler;
}

/* To MX opportunistic is the rule, and asks for more where the domain promises it. */
static bool is_insecure(const struct lane *lane)
{
	const struct config_smarthost *host = lane->host;

	return !lane->is_local && (host->tls == CONFIG_TLS_NONE || !host->tls_verify ||
				   (host->tls == CONFIG_TLS_OPPORTUNISTIC && !lane->domain));
}

/* ---------------------------------------------------------------- overview */

static void count_mx(const struct scheduler *s, struct traffic_summary *out)
{
	for (struct list *node = list_first(&s->lanes.mx); node; node = list_next(&s->lanes.mx, node)) {
		const struct lane *lane = LIST_ENTRY(node, struct lane, node);

		out->mx_paused += lane->paused_by != NULL;
		out->mx_failing += lane->trouble && !lane->paused_by;
		out->mx_lanes++;
	}
	out->mx_failing += (uint32_t)s->away.count;
	out->mx_lanes += (uint32_t)s->away.count;
	out->mx_connections = s->lanes.mx_open;
}

static void summary(void *self, struct traffic_summary *out)
{
	struct gate *gate = self;
	const struct scheduler *s = scheduler_of(gate);
	const struct settle *settle = gate->pool->settle;

	*out = (struct traffic_summary){
		.offline = s->network.is_offline,
		.dns_only = s->network.is_offline && s->network.dns_only,
		.portal = s->network.is_offline && s->network.is_portal,
		.offline_since_ms = s->network.is_offline ? s->network.offline_wall_ms : 0,
		.sending = (uint32_t)s->flight.count,
		.connections = (uint32_t)gate->pool->count,
		.delivered = settle->delivered,
		.deferred = settle->deferred,
		.bounced = settle->bounced + gate->bounce->expired,
		.doubtful = settle->doubtful,
		.started_ms = gate->started_wall_ms,
	};
	snprintf(out->offline_text, sizeof out->offline_text, "%s", s->network.text);
	count_mx(s, out);
}

static const struct lane *nth_host(const struct scheduler *s, size_t *io_i)
{
	for (struct list *node = list_first(&s->lanes.hosts); node; node = list_next(&s->lanes.hosts, node)) {
		const struct lane *lane = LIST_ENTRY(node, struct lane, node);

		if (lane->host && (*io_i)-- == 0)
			return lane;
	}
	return NULL;
}

static const struct lane *nth_mx(const struct scheduler *s, size_t *io_i, bool in_trouble)
{
	for (struct list *node = list_first(&s->lanes.mx); node; node = list_next(&s->lanes.mx, node)) {
		const struct lane *lane = LIST_ENTRY(node, struct lane, node);
		bool is_in_trouble = lane->trouble || lane->paused_by;

		if (is_in_trouble == in_trouble && (in_trouble || lane->connecting || lane->ready) && (*io_i)-- == 0)
			return lane;
	}
	return NULL;
}

/* Smart hosts, then domains in trouble or paused, then those at work. */
static const struct lane *nth(const struct scheduler *s, size_t i)
{
	const struct lane *lane = nth_host(s, &i);

	if (lane || i >= TRAFFIC_MX_SHOWN)
		return lane;
	lane = nth_mx(s, &i, true);
	return lane ? lane : nth_mx(s, &i, false);
}

static bool is_offline_for(const struct scheduler *s, const struct lane *lane)
{
	return s->network.is_offline && !lane->is_local && (!s->network.dns_only || lane->needs_dns);
}

/* The lane may go when this returns: its texts are the gate's. */
static void describe(struct gate *gate, const struct lane *lane, struct traffic_lane *out)
{
	const struct scheduler *s = scheduler_of(gate);
	const char *paused_by = lane->paused_by ? lane->paused_by : s->paused_by ? s->paused_by : "";

	words_host(lane, gate->host, sizeof gate->host);
	words_advice(lane, gate->advice, sizeof gate->advice);
	snprintf(gate->name, sizeof gate->name, "%s", lane->name);
	snprintf(gate->error, sizeof gate->error, "%s", lane->error);
	snprintf(gate->paused_by, sizeof gate->paused_by, "%s", paused_by);
	*out = (struct traffic_lane){
		.name = gate->name,
		.host = gate->host,
		.trouble = lane->trouble,
		.parked = lane->is_parked,
		.paused_by = gate->paused_by,
		.paused_ms = lane->paused_by ? lane->paused_wall_ms
			     : s->paused_by  ? s->paused_wall_ms
					     : 0,
		.since_ms = lane->since_wall_ms,
		.retry_ms = lane->trouble ? moment_wall(now_of(gate), lane->retry_boot_ms) : 0,
		.failures = lane->failures,
		.error = gate->error,
		.advice = gate->advice,
		.connections = lane->connecting + lane->ready,
		.connections_max = lane->host->connections,
		.connecting = lane->connecting,
		.delivered = lane->delivered,
		.deferred = lane->deferred,
		.bounced = lane->bounced,
		.last_success_ms = lane->success_wall_ms,
		.insecure = is_insecure(lane),
	};
	if (lane->trouble == TRAFFIC_WELL && is_offline_for(s, lane)) {
		out->trouble = TRAFFIC_NETWORK;
		out->error = s->network.text;
		out->since_ms = s->network.offline_wall_ms;
		out->retry_ms = moment_wall(now_of(gate), s->network.retry_boot_ms);
	}
}

static bool lane_at(void *self, size_t i, struct traffic_lane *out)
{
	const struct lane *lane = nth(scheduler_of(self), i);

	if (lane)
		describe(self, lane, out);
	return lane != NULL;
}

static bool lane_named(void *self, const char *name, struct traffic_lane *out)
{
	const struct lane *lane = lanes_peek(scheduler_of(self), span_str(name));
	bool is_there = lane != NULL;

	if (is_there)
		describe(self, lane, out);
	lanes_put_back(lane);
	return is_there;
}

static bool condition_at(void *self, size_t i, struct traffic_condition *out)
{
	const struct conditions *conditions = &scheduler_of(self)->conditions;
	const struct condition *condition = i < conditions->count ? &conditions->list[i] : NULL;

	if (condition)
		*out = (struct traffic_condition){
			.route = condition->route->name,
			.when = condition->text,
			.holds = condition->holds,
			.is_unknown = !conditions->facts.is_known,
			.since_ms = condition->since_wall_ms,
			.at = condition->route->at,
		};
	return condition != NULL;
}

/* ---------------------------------------------------------------- why */

static void say(struct traffic_why *out, enum traffic_gate gate, const char *text, const char *advice)
{
	out->gate = gate;
	snprintf(out->text, sizeof out->text, "%.*s", (int)sizeof out->text - 1, text);
	snprintf(out->advice, sizeof out->advice, "%.*s", (int)sizeof out->advice - 1, advice);
}

static void name_lane(struct traffic_why *out, const struct lane *lane)
{
	snprintf(out->lane, sizeof out->lane, "%s", lane->name);
}

/* What the message itself waits for, whatever the lanes do. */
static bool why_message(const struct queue_envelope *envelope, const struct queue_rcpt *rcpt, int64_t now_ms,
			struct traffic_why *out)
{
	if (rcpt->state == QUEUE_RCPT_FAILED || rcpt->state == QUEUE_RCPT_DELIVERED) {
		say(out, TRAFFIC_GATE_REPORT,
		    rcpt->state == QUEUE_RCPT_FAILED
			    ? "it failed for good; the report to its sender is still to be queued"
			    : "it was delivered; the report that was asked for is still to be queued",
		    "make room if the queue or the disk is full");
		out->since_ms = rcpt->last_ms;
		return true;
	}
	if (envelope->flags & QUEUE_DAMAGED_BODY) {
		say(out, TRAFFIC_GATE_DAMAGED,
		    "its checksum does not match: the stored message was damaged and is not sent",
		    "look at it with sendoff cat; sendoff remove gives it up");
		return true;
	}
	if (envelope->flags & QUEUE_HELD && envelope->flags & QUEUE_HELD_BY_OPERATOR) {
		say(out, TRAFFIC_GATE_HELD, "an administrator holds it",
		    "sendoff release by an administrator lets it go");
		return true;
	}
	if (envelope->flags & QUEUE_HELD && envelope->hold_until_ms > now_ms) {
		say(out, TRAFFIC_GATE_RELEASE, "its sender asked for a later release", "");
		out->until_ms = envelope->hold_until_ms;
		return true;
	}
	if (envelope->flags & QUEUE_HELD && envelope->flags & QUEUE_KEPT) {
		say(out, TRAFFIC_GATE_KEPT,
		    "it is a report that nobody could be given; it is kept until somebody reads it",
		    "read it with sendoff cat, then sendoff remove; with postmaster = \"…\" such reports go there");
		out->since_ms = rcpt->last_ms;
		snprintf(out->said, sizeof out->said, "%s", rcpt->reply);
		snprintf(out->by, sizeof out->by, "%s", rcpt->host);
		return true;
	}
	if (envelope->flags & QUEUE_HELD) {
		say(out, TRAFFIC_GATE_HELD, "it is held", "sendoff release lets it go");
		return true;
	}
	return false;
}

static void why_retry(const struct queue_rcpt *rcpt, struct traffic_why *out)
{
	say(out, TRAFFIC_GATE_RETRY,
	    rcpt->state == QUEUE_RCPT_DOUBTFUL
		    ? "the answer to the end of the message was lost: perhaps it was delivered; it is sent again after a pause"
		    : "the server did not take it yet; it is tried again",
	    rcpt->state == QUEUE_RCPT_DOUBTFUL ? "ask the recipient; sendoff remove prevents a second copy"
					       : "sendoff flush tries at once");
	out->since_ms = rcpt->last_ms;
	out->until_ms = rcpt->due_ms;
	snprintf(out->said, sizeof out->said, "%s", rcpt->reply);
	snprintf(out->by, sizeof out->by, "%s", rcpt->host);
}

static void why_rate(const struct lane *lane, int64_t token_ms, struct moment now, struct traffic_why *out)
{
	char place[PLACE_SIZE], text[512];

	words_place(lane, place, sizeof place);
	snprintf(text, sizeof text, "%s has reached its rate of %u messages", place, lane->host->rate.count);
	say(out, TRAFFIC_GATE_RATE, text, "");
	out->until_ms = moment_wall(now, token_ms);
}

static void why_lane(const struct scheduler *s, const struct lane *lane, struct moment now, struct traffic_why *out)
{
	char place[PLACE_SIZE], text[512], advice[512];

	name_lane(out, lane);
	words_place(lane, place, sizeof place);
	words_advice(lane, advice, sizeof advice);
	if (lane->paused_by) {
		snprintf(text, sizeof text, "%s was paused by %.100s", place, lane->paused_by);
		say(out, TRAFFIC_GATE_PAUSED, text, advice);
		out->since_ms = lane->paused_wall_ms;
		return;
	}
	if (lane->trouble == TRAFFIC_WELL && is_offline_for(s, lane)) {
		if (s->network.dns_only)
			say(out, TRAFFIC_GATE_NETWORK, "no resolver of this machine answers",
			    "it goes on by itself when one does; else check dns.servers, or /etc/resolv.conf");
		else if (s->network.is_portal)
			say(out, TRAFFIC_GATE_NETWORK,
			    "the network answers in the name of other hosts: log in to it (captive portal)",
			    "open any web page to log in; it goes on by itself then; sendoff flush tries at once");
		else
			say(out, TRAFFIC_GATE_NETWORK, "this machine has no network",
			    "it goes on by itself when the network is back");
		snprintf(out->said, sizeof out->said, "%s", s->network.text);
		out->since_ms = s->network.offline_wall_ms;
		out->until_ms = moment_wall(now, s->network.retry_boot_ms);
		return;
	}
	snprintf(text, sizeof text,
		 lane->domain || lane->trouble != TRAFFIC_ACCOUNT ? "%s cannot be used just now"
		 : !lane->is_parked                               ? "the account of %s cannot be used just now"
		 : strstr(lane->error, "not offer AUTH")          ? "%s takes no password"
								  : "%s refuses the account",
		 place);
	say(out, lane->trouble == TRAFFIC_ACCOUNT ? TRAFFIC_GATE_ACCOUNT : TRAFFIC_GATE_LANE, text, advice);
	/* The error itself says whether it is the server's word or ours, and which address of the host it is about. */
	snprintf(out->said, sizeof out->said, "%s", lane->error);
	out->parked = lane->is_parked;
	out->since_ms = lane->since_wall_ms;
	/* Past: it is being tried, or the next message tries it. */
	out->until_ms = lane->retry_boot_ms > now.boot_ms ? moment_wall(now, lane->retry_boot_ms) : 0;
}

/* The configured lanes of a target, those with a weight first. */
struct ways {
	const struct lane *list[FLOW_LANES];
	size_t count;
};

static void add_ways(struct scheduler *s, const char *target, bool with_weight, struct ways *ways)
{
	struct span rest = span_str(target), name;
	uint32_t weight;

	while (ways->count < FLOW_LANES && route_next(&rest, &name, &weight)) {
		const struct lane *lane = (weight > 0) == with_weight ? lanes_peek(s, name) : NULL;

		if (lane)
			ways->list[ways->count++] = lane;
	}
}

/* The first that takes mail; else the one that will be tried first, a paused one only where all are; NULL: none. */
static const struct lane *best_way(const struct scheduler *s, const struct ways *ways)
{
	const struct lane *best = NULL;

	for (size_t i = 0; i < ways->count; i++)
		if (lineup_takes_mail(s, ways->list[i]))
			return ways->list[i];
	for (size_t i = 0; i < ways->count; i++) {
		const struct lane *lane = ways->list[i];

		if (!best || (best->paused_by && !lane->paused_by) ||
		    (!best->paused_by == !lane->paused_by && lane->retry_boot_ms < best->retry_boot_ms))
			best = lane;
	}
	return best;
}

/* The lane is well. */
static void why_line(const struct scheduler *s, const struct lane *lane, struct traffic_why *out)
{
	char place[PLACE_SIZE], host[PLACE_SIZE], text[1024];
	bool is_line = lane->jobs > 0;

	words_place(lane, place, sizeof place);
	words_host(lane, host, sizeof host);
	if (!lane->ready && lane->connecting && lane->host->secret_command)
		snprintf(
			text, sizeof text,
			"%s (%s) is being connected to: its secret_command still runs, or the host has not answered yet",
			place, host);
	else if (!lane->ready && lane->connecting && lane->domain)
		snprintf(text, sizeof text, "%s is being looked for or connected to, and has not answered yet", place);
	else if (!lane->ready && lane->connecting)
		snprintf(text, sizeof text, "%s (%s) is being connected to and has not answered yet", place, host);
	else if (lane->jobs)
		snprintf(text, sizeof text, "%s is busy with mail that was before it", place);
	else if (lane->domain && !list_is_empty(&lane->slot_node))
		is_line = snprintf(text, sizeof text, "it waits for one of the %d connections to all domains",
				   LANES_MX_CONNECTIONS) > 0;
	else if (!lane->agenda && lanes_is_full(&s->lanes))
		is_line = snprintf(text, sizeof text, "mail for %d other domains is before it", LANES_MX_MAX) > 0;
	else
		snprintf(text, sizeof text, "it is next in line for %s", place);
	say(out, is_line ? TRAFFIC_GATE_LINE : TRAFFIC_GATE_NONE, text, "");
}

static void why_pause(const struct scheduler *s, struct traffic_why *out)
{
	char text[300];

	snprintf(text, sizeof text, "all delivery was paused by %s", s->paused_by);
	say(out, TRAFFIC_GATE_PAUSED, text, "sendoff resume lets everything go on");
	out->since_ms = s->paused_wall_ms;
}

static void why_condition(const struct scheduler *s, const struct condition *condition, struct traffic_why *out)
{
	say(out, TRAFFIC_GATE_NETWORK, condition->obstacle,
	    s->conditions.facts.is_known
		    ? "it leaves by itself when the network is there: connect to it, or change when of the route and reload"
		    : "nothing can be seen of this machine's network: let sendoffd use netlink sockets, or remove when of the "
		      "route and reload");
	out->since_ms = condition->since_wall_ms;
}

static void why_target(struct gate *gate, const struct queue_rcpt *rcpt, struct traffic_why *out)
{
	struct scheduler *s = scheduler_of(gate);
	struct moment now = now_of(gate);
	const struct condition *condition = conditions_of(&s->conditions, rcpt->flow.target);
	struct ways ways = { .count = 0 };
	const struct lane *lane;
	int64_t token_ms;

	add_ways(s, rcpt->flow.target, true, &ways);
	add_ways(s, rcpt->flow.target, false, &ways);
	lane = best_way(s, &ways);
	if (!lane) {
		say(out, TRAFFIC_GATE_ROUTE,
		    rcpt->flow.target[0] ? "the smart host it was routed to is no longer configured"
					 : "no route of the configuration fits its sender and recipient",
		    "add a route and reload: mail that waits follows it at once");
	} else if (s->paused_by) {
		why_pause(s, out);
	} else if (condition && !condition->holds) {
		why_condition(s, condition, out);
	} else if (!lineup_takes_mail(s, lane)) {
		why_lane(s, lane, now, out);
	} else if ((token_ms = lane_token_ms(lane, now))) {
		name_lane(out, lane);
		why_rate(lane, token_ms, now, out);
	} else {
		name_lane(out, lane);
		why_line(s, lane, out);
	}
	for (size_t i = 0; i < ways.count; i++)
		lanes_put_back(ways.list[i]);
}

static bool why(void *self, uint64_t id, uint32_t n, struct traffic_why *out)
{
	struct gate *gate = self;
	struct scheduler *s = scheduler_of(gate);
	struct queue_view *view = queue_view(gate->pool->queue);
	const struct flight_seat *flight = flight_find(&s->flight, id, n);
	int64_t now_ms = now_of(gate).wall_ms;
	struct queue_envelope envelope;
	struct queue_rcpt rcpt;

	if (!view || queue_view_envelope(view, id, &envelope) != QUEUE_OK ||
	    queue_view_rcpt(view, id, n, &rcpt) != QUEUE_OK)
		return false;
	*out = (struct traffic_why){ .since_ms = envelope.arrival_ms };
	if (flight && flight->lane) {
		name_lane(out, flight->lane);
		say(out, TRAFFIC_GATE_SENDING, "it is being delivered now", "");
		return true;
	}
	if (why_message(&envelope, &rcpt, now_ms, out))
		return true;
	/* A due time further off than any backoff was put there by a wrong clock and does not count. */
	if (rcpt.due_ms > now_ms && (rcpt.due_ms <= now_ms + s->horizon_ms || envelope.hold_until_ms > now_ms)) {
		if (envelope.hold_until_ms > now_ms)
			say(out, TRAFFIC_GATE_RELEASE, "its sender asked for a later release",
			    "sendoff flush with its id sends it at once");
		else
			why_retry(&rcpt, out);
		out->until_ms = rcpt.due_ms;
		return true;
	}
	why_target(gate, &rcpt, out);
	if (!out->said[0] && rcpt.reply[0]) {
		snprintf(out->said, sizeof out->said, "%s", rcpt.reply);
		snprintf(out->by, sizeof out->by, "%s", rcpt.host);
	}
	return true;
}

static bool is_sending(void *self, uint64_t id, uint32_t n)
{
	return flight_find(&scheduler_of(self)->flight, id, n) != NULL;
}

/* ---------------------------------------------------------------- what people may do */

static bool wake(void *self, const char *lane)
{
	struct gate *gate = self;
	bool found = scheduler_wake(scheduler_of(gate), lane, now_of(gate));

	dns_forget(gate->pool->dns);
	if (!lane)
		bounce_hurry(gate->bounce);
	gate->pool->poke(gate->pool->arg);
	return found;
}

static bool pause_lane(void *self, const char *name, const char *by)
{
	struct gate *gate = self;

	if (!scheduler_pause(scheduler_of(gate), name, by, now_of(gate)))
		return false;
	log_event(LOG_LEVEL_NOTICE, "paused", LOG_TEXT("lane", name ? name : "all"), LOG_TEXT("by", by));
	pool_retire(gate->pool, name ? scheduler_lane(scheduler_of(gate), name) : NULL, false);
	gate->pool->poke(gate->pool->arg);
	return true;
}

static bool resume_lane(void *self, const char *name)
{
	struct gate *gate = self;

	if (!scheduler_resume(scheduler_of(gate), name, now_of(gate)))
		return false;
	log_event(LOG_LEVEL_NOTICE, "resumed", LOG_TEXT("lane", name ? name : "all"));
	gate->pool->poke(gate->pool->arg);
	return true;
}

static bool is_kept(void *self, const char *name)
{
	struct gate *gate = self;

	return ledger_is_written(scheduler_of(gate), name);
}

static struct traffic_walk *start_walk(void *self, const struct traffic_walk_setup *setup, char *why, size_t why_size)
{
	struct gate *gate = self;

	return journey_start(&gate->journeys, setup, why, why_size);
}

static void cancel_walk(void *self, struct traffic_walk *walk)
{
	(void)self;
	journey_cancel(walk);
}

void gate_fini(struct gate *gate)
{
	journey_fini(&gate->journeys);
}

void gate_init(struct gate *gate, struct pool *pool, struct bounce *bounce, int64_t wall_ms)
{
	*gate = (struct gate){ .pool = pool, .bounce = bounce, .started_wall_ms = wall_ms };
	gate->traffic = (struct traffic){
		.self = gate,
		.summary = summary,
		.lane = lane_at,
		.lane_named = lane_named,
		.condition = condition_at,
		.why = why,
		.is_sending = is_sending,
		.wake = wake,
		.pause = pause_lane,
		.resume = resume_lane,
		.is_kept = is_kept,
		.walk = start_walk,
		.walk_cancel = cancel_walk,
	};
	journey_init(&gate->journeys, pool);
}
