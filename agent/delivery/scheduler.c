#include "delivery/scheduler.h"

#include <assert.h>

#include "base/mem.h"
#include "delivery/ledger.h"
#include "delivery/lineup.h"
#include "delivery/rest.h"
#include "delivery/room.h"

enum { DOUBT_MS = 60 * 60 * 1000 }; /* slack of the horizon: pauses of doubtful recipients */

struct lane *scheduler_lane(struct scheduler *s, const char *name)
{
	struct lane *lane = lanes_find(&s->lanes, span_str(name));

	return lane && lane->host ? lane : NULL;
}

/* ---------------------------------------------------------------- news */

void scheduler_news(struct scheduler *s, const struct queue_news *news, struct moment now)
{
	struct flow *flow;

	s->now = now;
	if (news->kind != QUEUE_NEWS_FLOW)
		return;
	flow = flow_table_find(&s->flows, news->flow_id);
	if (!flow && news->due_ms > now.wall_ms + SCHEDULER_REST_MS)
		return; /* its timer brings it */
	if (!flow && !(flow = room_enter(s, news->flow_id, &news->flow, news->due_ms)))
		return;
	flow->is_touched = true;
	if (news->due_ms <= now.wall_ms || flow->is_active) {
		flow_back(flow, news->due_ms);
		lineup_activate(s, flow);
	} else {
		rest_expect(s, flow, news->due_ms);
	}
}

void scheduler_timer(struct scheduler *s, const struct queue_timer *timer, struct moment now)
{
	uint32_t id = (uint32_t)timer->id;
	struct flow *flow = flow_table_find(&s->flows, id);
	struct queue_view *view;
	struct queue_flow name;

	s->now = now;
	if (!flow && (view = queue_view(s->queue)) && queue_view_flow(view, id, &name) == QUEUE_OK)
		flow = room_enter(s, id, &name, timer->when_ms);
	if (flow)
		lineup_activate(s, flow);
}

void scheduler_flow_due(struct scheduler *s, uint32_t flow_id, struct moment now)
{
	scheduler_timer(s, &(struct queue_timer){ .kind = QUEUE_TIMER_FLOW, .id = flow_id }, now);
}

/* ---------------------------------------------------------------- picking */

static bool is_open(const struct scheduler *s, const struct lane *lane)
{
	return !s->is_stopped && !s->paused_by && !lane->paused_by && lane->host;
}

static bool has_room(const struct scheduler *s)
{
	return s->flight.count < SCHEDULER_FLIGHT_MAX && s->astray < SCHEDULER_ASTRAY_MAX;
}

/* Recipients of the same message that are due and next in the schedule share the transaction. */
static struct scheduler_job *gather(struct scheduler *s, struct lane *lane, struct flow *flow, struct queue_view *view,
				    struct queue_due due, struct moment now)
{
	size_t max = lane->host->recipients_per_message ? lane->host->recipients_per_message : 1, room = 1;
	struct scheduler_job *job = mem_alloc(sizeof *job + sizeof due);
	struct queue_due next = due;

	*job = (struct scheduler_job){
		.lane = lane, .flow_id = flow->id, .id = due.id, .at_wall_ms = now.wall_ms, .at_boot_ms = now.boot_ms
	};
	do {
		if (!flight_find(&s->flight, next.id, next.n)) {
			if (job->count == room) {
				room *= 2;
				job = mem_realloc(job, 1, sizeof *job + room * sizeof due);
			}
			job->due[job->count++] = next;
			flow->flying++;
			flight_add(&s->flight, next.id, next.n, lane);
		}
		flow->cursor = next;
		flow->reads++;
	} while (job->count < max && queue_view_due(view, flow->id, flow->cursor, &next) == QUEUE_OK &&
		 next.id == due.id && (next.due_ms <= now.wall_ms || next.due_ms == due.due_ms));
	return job;
}

struct scheduler_job *scheduler_take(struct scheduler *s, struct lane *lane, struct moment now)
{
	struct queue_view *view;
	struct queue_due due;
	struct flow *flow;

	s->now = now;
	if (!is_open(s, lane) || !has_room(s) || !lane_has_turn(lane, now) || !(view = queue_view(s->queue)))
		return NULL;
	if (lane_token_ms(lane, now)) {
		lane_look_at(lane, lane_token_ms(lane, now));
		return NULL;
	}
	flow = lineup_next(s, lane, view, now, &due);
	if (!flow) {
		/* A probe that found nothing to carry has proven the way as far as it goes. */
		if (lane->trouble && !lane->jobs && scheduler_spoke(s, lane, now))
			lane_look(lane);
		return NULL;
	}
	lane_take_token(lane, now);
	lane->pace.hold_boot_ms = 0;
	lane->jobs++;
	lane->held++;
	lane_look(lane);
	lineup_served(s, lane, flow);
	return gather(s, lane, flow, view, due, now);
}

void scheduler_return(struct scheduler *s, const struct scheduler_job *job, size_t i, struct moment now)
{
	struct flow *flow = flow_table_find(&s->flows, job->flow_id);

	s->now = now;
	if (!flight_remove(&s->flight, job->id, job->due[i].n))
		return;
	rest_landed(s, flow);
	flow_back(flow, job->due[i].due_ms);
	lineup_activate(s, flow);
}

void scheduler_settled(struct scheduler *s, const struct scheduler_job *job, size_t i)
{
	if (flight_remove(&s->flight, job->id, job->due[i].n))
		rest_landed(s, flow_table_find(&s->flows, job->flow_id));
}

void scheduler_job_end(struct scheduler *s, struct scheduler_job *job)
{
	assert(job->lane->jobs > 0);
	job->lane->jobs--;
	pace_took(&job->lane->pace, s->now.boot_ms - job->at_boot_ms);
	lane_look(job->lane);
}

void scheduler_job_free(struct scheduler_job *job)
{
	if (job) {
		job->lane->held--;
		lane_loosen(job->lane);
	}
	mem_free(job);
}

/* ---------------------------------------------------------------- what is to be done */

/* One more connection is no more than all MX lanes may have, and those who waited longer come first. */
static bool may_open(const struct scheduler *s, const struct lane *lane, bool is_its_turn)
{
	return !lane->domain ||
	       (s->lanes.mx_open < LANES_MX_CONNECTIONS && (is_its_turn || turns_is_empty(&s->lanes.slots)));
}

/* One more connection is worth it: more mail waits than those there are will have taken until it works, or none of them
 * becomes free. */
static bool is_worth_it(struct scheduler *s, struct lane *lane, struct queue_view *view, struct moment now)
{
	size_t worth;
	int64_t at_ms;

	if (lane->ready == 0)
		return true;
	worth = pace_worth(&lane->pace, lane->ready + lane->connecting);
	if (worth <= 1 || lineup_depth(s, lane, view, now, worth) >= worth)
		return true;
	at_ms = pace_hold(&lane->pace, now);
	if (at_ms)
		lane_look_by(lane, at_ms);
	return at_ms == 0;
}

static void open_one(struct scheduler *s, struct lane *lane)
{
	pace_open(&lane->pace, lane->connecting, s->now);
	lane->connecting++;
	s->lanes.mx_open += lane->domain != NULL;
	list_remove(&lane->slot_node);
	lane_look(lane); /* perhaps one more */
	if (!lineup_has_network(s, lane))
		s->network.is_probing = true;
}

/* Whether the lane has a reason to be asked for mail now; sets when to look again where it knows. */
static bool is_able(struct scheduler *s, struct lane *lane, struct moment now)
{
	int64_t token_ms;

	if (!is_open(s, lane))
		return false;
	if (!has_room(s)) {
		list_remove(&lane->look_node);
		list_append(&s->lanes.agenda.crowd, &lane->look_node);
		return false;
	}
	if (!lane_may_work(lane, now)) {
		lane_look_at(lane, lane->retry_boot_ms);
		return false;
	}
	token_ms = lane_token_ms(lane, now);
	if (token_ms)
		lane_look_at(lane, token_ms);
	return !token_ms;
}

/* Whether the lane, which is on no list now, has something to do. */
static bool look(struct scheduler *s, struct lane *lane, bool is_its_turn, struct moment now,
		 struct scheduler_action *out)
{
	struct queue_view *view = NULL;
	struct queue_due due;
	struct flow *flow = NULL;
	bool has_slot = false, has_turn = false;

	if (is_able(s, lane, now)) {
		has_turn = lane->idle + lane->ahead > 0 && lane_has_turn(lane, now);
		has_slot = lane_has_slot(lane, now) &&
			   (lane->is_local || network_allows(&s->network, lane->needs_dns, lane, now));
	}
	if ((has_slot || has_turn) && (view = queue_view(s->queue)))
		flow = lineup_next(s, lane, view, now, &due);
	if (!flow || !has_slot)
		list_remove(&lane->slot_node);
	if (!flow)
		return false;
	out->lane = lane;
	if (has_slot && !(has_turn && lane->idle) && is_worth_it(s, lane, view, now)) {
		if (may_open(s, lane, is_its_turn)) {
			out->kind = SCHEDULER_CONNECT;
			open_one(s, lane);
			lane_age_doubt(lane, now);
			return true;
		}
		if (list_is_empty(&lane->slot_node))
			turns_join(&s->lanes.slots, &lane->slot_node, flow->band, flow->submitter);
	}
	out->kind = SCHEDULER_FEED;
	return has_turn;
}

/* The next lane to look at: something happened to it, or what it waited for is there. */
static struct lane *next_lane(struct scheduler *s, bool *out_is_its_turn)
{
	struct agenda *agenda = &s->lanes.agenda;
	struct list *node;

	*out_is_its_turn = false;
	if ((node = list_first(&agenda->now)) || (has_room(s) && (node = list_first(&agenda->crowd)))) {
		list_remove(node);
		return LIST_ENTRY(node, struct lane, look_node);
	}
	if (s->lanes.mx_open >= LANES_MX_CONNECTIONS || !(node = turns_take(&s->lanes.slots)))
		return NULL;
	*out_is_its_turn = true;
	return LIST_ENTRY(node, struct lane, slot_node);
}

static void prepare(struct scheduler *s, struct moment now)
{
	struct heap *later = &s->lanes.agenda.later;
	struct heap_node *first;

	lineup_wake(s, now);
	rest_step(s, now);
	lanes_drop(s);
	room_step(s, now);
	if (now.boot_ms >= s->write_boot_ms && !s->is_writing)
		ledger_write(s, now);
	if (network_is_due(&s->network, now))
		lineup_look_everywhere(s);
	while ((first = heap_first(later)) && first->key <= now.boot_ms) {
		heap_remove(later, first);
		lane_look(HEAP_ENTRY(first, struct lane, later));
	}
}

bool scheduler_step(struct scheduler *s, struct moment now, struct scheduler_action *out)
{
	struct lane *lane;
	bool is_its_turn;

	s->now = now;
	prepare(s, now);
	while ((lane = next_lane(s, &is_its_turn)))
		if (look(s, lane, is_its_turn, now, out))
			return true;
	return false;
}

int64_t scheduler_deadline(const struct scheduler *s)
{
	const struct heap_node *first = heap_first(&s->lanes.agenda.later);
	int64_t at = moment_min(ledger_deadline(s), moment_min(rest_deadline(s), room_deadline(s)));

	if (s->held_to_ask)
		return s->now.boot_ms;
	return moment_min(moment_min(at, first ? first->key : INT64_MAX), network_deadline(&s->network));
}

bool scheduler_is_crowded(const struct scheduler *s)
{
	return !turns_is_empty(&s->lanes.slots);
}

void scheduler_stop(struct scheduler *s, struct moment now)
{
	s->is_stopped = true;
	s->bucket_boot_ms = now.boot_ms;
	if (!s->is_writing)
		ledger_write(s, now);
}

/* ---------------------------------------------------------------- the story of a connection */

static uint32_t others(const struct lane *lane, bool was_ready)
{
	return lane->ready - (was_ready && lane->ready ? 1 : 0);
}

static void note_try(struct scheduler *s, struct lane *lane, struct moment now)
{
	if (lane->tried_wall_ms < s->network.since_wall_ms || lane->tried_wall_ms < s->conditions.came_wall_ms)
		s->tries++;
	lane->tried_wall_ms = now.wall_ms;
}

void scheduler_ready(struct scheduler *s, struct lane *lane, struct moment now)
{
	s->now = now;
	assert(lane->connecting > 0);
	pace_opened(&lane->pace, lane->connecting, lane->ready + 1, lane->host ? lane->host->connections : 1, now);
	lane->connecting--;
	lane->ready++;
	s->lanes.mx_ready += lane->domain != NULL;
	lane_look(lane);
}

void scheduler_gone(struct scheduler *s, struct lane *lane, bool was_ready, struct moment now)
{
	uint32_t *count = was_ready ? &lane->ready : &lane->connecting;

	s->now = now;
	assert(*count > 0);
	(*count)--;
	if (lane->domain) {
		s->lanes.mx_open--;
		s->lanes.mx_ready -= was_ready;
	}
	lane_look(lane);
	lane_loosen(lane);
	if (!lineup_has_network(s, lane)) {
		s->network.is_probing = false;
		s->network.look_boot_ms = 0; /* it may have had trouble of its own: others may look */
	}
}

bool scheduler_failed(struct scheduler *s, struct lane *lane, const struct lane_failure *failure, bool was_ready,
		      struct moment now)
{
	struct lane_failure told = *failure;
	bool changed;

	s->now = now;
	note_try(s, lane, now);
	told.was_ready = was_ready;
	changed = lane_failed(lane, &told, others(lane, was_ready), &s->chance, now);
	if (changed)
		lineup_look_around(s, lane); /* its mail may pass to another lane */
	return changed;
}

bool scheduler_has_others(const struct scheduler *s, const struct lane *but)
{
	for (struct list *node = list_first(&s->lanes.hosts); node; node = list_next(&s->lanes.hosts, node)) {
		const struct lane *lane = LIST_ENTRY(node, struct lane, node);

		if (lane != but && !lane->is_local && lane->ready)
			return true;
	}
	return s->lanes.mx_ready > (but->domain ? but->ready : 0);
}

bool scheduler_offline(struct scheduler *s, struct lane *lane, bool dns_only, const char *text, struct moment now)
{
	bool is_news;

	s->now = now;
	if (lane->is_local || lane->ready || scheduler_has_others(s, lane)) {
		struct lane_failure failure = { .trouble = TRAFFIC_LANE, .text = text };

		return scheduler_failed(s, lane, &failure, false, now);
	}
	is_news = network_failed(&s->network, dns_only, text, &s->config->reconnect, &s->chance, now);
	if (is_news)
		lineup_look_everywhere(s);
	return is_news;
}

bool scheduler_reached(struct scheduler *s, struct lane *lane, bool by_dns, struct moment now)
{
	bool was_offline;

	s->now = now;
	/* A resolver on this host may answer without any network, a literal address without any resolver. */
	if (lane->is_local || (by_dns && !s->network.dns_only) ||
	    (s->network.is_portal && network_is_suspect(&s->network, now)) || (s->network.dns_only && !lane->needs_dns))
		return false;
	was_offline = network_worked(&s->network, now);
	if (was_offline)
		lineup_look_everywhere(s);
	return was_offline;
}

bool scheduler_spoke(struct scheduler *s, struct lane *lane, struct moment now)
{
	bool was_in_trouble;

	s->now = now;
	note_try(s, lane, now);
	was_in_trouble = lane_succeeded(lane, now);
	if (was_in_trouble)
		lineup_look_around(s, lane); /* mail comes back from the lanes behind it */
	return was_in_trouble;
}

void scheduler_delivered(struct scheduler *s, struct lane *lane, struct moment now)
{
	s->now = now;
	lane_rise(lane, now);
}

bool scheduler_suspect(struct scheduler *s, uint64_t id)
{
	for (size_t i = 0; i < SCHEDULER_SUSPECTS; i++)
		if (s->suspects[i] == id) {
			s->suspects[i] = 0;
			return true;
		}
	s->suspects[s->next_suspect++ % SCHEDULER_SUSPECTS] = id;
	return false;
}

/* ---------------------------------------------------------------- configuration */

static int64_t longest_backoff(const struct config *config)
{
	int64_t ms = config->retry.max_ms;

	for (size_t i = 0; i < config->route_count; i++)
		if (config->routes[i].retry.max_ms > ms)
			ms = config->routes[i].retry.max_ms;
	return ms + ms / 4 + DOUBT_MS;
}

void scheduler_configure(struct scheduler *s, struct config *config, void (*changed)(void *arg, struct lane *lane),
			 void *arg, struct moment now)
{
	struct config *old = s->config;

	s->now = now;
	s->config = config_ref(config);
	s->horizon_ms = longest_backoff(config);
	lanes_configure(s, changed, arg, now);
	conditions_configure(&s->conditions, config, now);
	lineup_conditions_changed(s);
	lineup_bind_all(s);
	lineup_look_everywhere(s);
	config_unref(old);
}

struct scheduler *scheduler_new(const struct scheduler_setup *setup, struct moment now)
{
	struct scheduler *s = MEM_NEW(struct scheduler);

	s->queue = setup->queue;
	s->chance.state = setup->seed;
	lanes_init(&s->lanes);
	turns_init(&s->line);
	list_init(&s->idle);
	list_init(&s->parking);
	list_init(&s->held);
	flow_table_init(&s->flows);
	flight_init(&s->flight);
	network_init(&s->network, now);
	s->rested_wall_ms = INT64_MAX;
	s->write_boot_ms = now.boot_ms;
	s->bucket_boot_ms = now.boot_ms + SCHEDULER_BUCKET_MS;
	ledger_restore_pause(s);
	scheduler_configure(s, setup->config, NULL, NULL, now);
	return s;
}

void scheduler_free(struct scheduler *s)
{
	if (!s)
		return;
	flow_table_fini(&s->flows);
	flight_fini(&s->flight);
	heap_fini(&s->away);
	heap_fini(&s->wakes);
	lanes_fini(&s->lanes);
	conditions_fini(&s->conditions);
	config_unref(s->config);
	mem_free(s->paused_by);
	mem_free(s);
}
