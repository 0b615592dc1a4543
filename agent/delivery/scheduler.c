#include "delivery/scheduler.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "delivery/ledger.h"
#include "delivery/lineup.h"
#include "route.h"

enum {
	NETWORK_JITTER_MS = 2000,
	NETWORK_RUSH_MS = 60 * 1000, /* failing lanes are hurried by network changes at most this often */
	DOUBT_MS = 60 * 60 * 1000,   /* slack of the horizon: pauses of doubtful recipients */
};

struct lane *scheduler_lane(struct scheduler *s, const char *name)
{
	struct lane *lane = lineup_find(s, span_str(name));

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
	if (!flow) {
		if (news->due_ms > now.wall_ms + SCHEDULER_REST_MS)
			return; /* its timer brings it */
		flow = lineup_add(s, news->flow_id, &news->flow, now);
	}
	flow->is_touched = true;
	if (news->due_ms <= now.wall_ms || flow->is_active) {
		flow_back(flow, news->due_ms);
		lineup_activate(s, flow);
	} else if (news->due_ms < flow->wake_ms) {
		flow->wake_ms = news->due_ms;
		s->wake_wall_ms = moment_min(s->wake_wall_ms, news->due_ms);
	}
}

void scheduler_flow_due(struct scheduler *s, uint32_t flow_id, struct moment now)
{
	struct flow *flow = flow_table_find(&s->flows, flow_id);
	struct queue_view *view;
	struct queue_flow name;

	s->now = now;
	if (!flow && (view = queue_view(s->queue)) && queue_view_flow(view, flow_id, &name) == QUEUE_OK)
		flow = lineup_add(s, flow_id, &name, now);
	if (flow)
		lineup_activate(s, flow);
}

/* ---------------------------------------------------------------- picking */

static bool is_open(const struct scheduler *s, const struct lane *lane)
{
	return !s->is_stopped && !s->paused_by && s->flight.count < SCHEDULER_FLIGHT_MAX && lane->host;
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
			flight_add(&s->flight, next.id, next.n, lane);
		}
		flow->cursor = next;
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
	if (!is_open(s, lane) || !lane_has_turn(lane, now) || !(view = queue_view(s->queue)))
		return NULL;
	flow = lineup_next(s, lane, view, now, &due);
	if (!flow) {
		/* A probe that found nothing to carry has proven the way as far as it goes. */
		if (lane->trouble && !lane->jobs && scheduler_spoke(s, lane, now))
			lane->look = true;
		return NULL;
	}
	if (!lane_take_token(lane, now)) {
		lane->look_boot_ms = lane_token_ms(lane, now);
		return NULL;
	}
	lane->jobs++;
	lane->look = true;
	lineup_served(lane, flow);
	return gather(s, lane, flow, view, due, now);
}

void scheduler_return(struct scheduler *s, const struct scheduler_job *job, size_t i, struct moment now)
{
	struct flow *flow = flow_table_find(&s->flows, job->flow_id);

	s->now = now;
	if (!flight_remove(&s->flight, job->id, job->due[i].n))
		return;
	if (!flow) {
		scheduler_flow_due(s, job->flow_id, now);
		return;
	}
	flow_back(flow, job->due[i].due_ms);
	lineup_activate(s, flow);
}

void scheduler_settled(struct scheduler *s, const struct scheduler_job *job, size_t i)
{
	if (s->flight.count == SCHEDULER_FLIGHT_MAX)
		lineup_look_everywhere(s);
	flight_remove(&s->flight, job->id, job->due[i].n);
}

void scheduler_job_end(struct scheduler *s, struct scheduler_job *job)
{
	(void)s;
	assert(job->lane->jobs > 0);
	job->lane->jobs--;
	job->lane->look = true;
}

void scheduler_job_free(struct scheduler_job *job)
{
	mem_free(job);
}

/* ---------------------------------------------------------------- what is to be done */

/* Whether the lane has something to do now; may set when to look again. */
static bool look(struct scheduler *s, struct lane *lane, struct moment now, struct scheduler_action *out)
{
	struct queue_view *view;
	struct queue_due due;
	int64_t token_ms;
	bool has_slot, has_turn;

	lane->look = false;
	if (!is_open(s, lane) || lane->paused_by)
		return false;
	if (!lane_may_work(lane, now)) {
		lane->look_boot_ms = lane->retry_boot_ms;
		return false;
	}
	token_ms = lane_token_ms(lane, now);
	if (token_ms) {
		lane->look_boot_ms = token_ms;
		return false;
	}
	has_turn = lane->idle + lane->ahead > 0 && lane_has_turn(lane, now);
	has_slot = lane_has_slot(lane, now) && (lane->is_local || network_allows(&s->network, lane->needs_dns, now));
	if ((!has_slot && !has_turn) || !(view = queue_view(s->queue)) || !lineup_next(s, lane, view, now, &due))
		return false;
	out->lane = lane;
	if (has_turn && (lane->idle || !has_slot)) {
		out->kind = SCHEDULER_FEED;
		return true;
	}
	out->kind = SCHEDULER_CONNECT;
	lane->look = true; /* perhaps one more */
	lane->connecting++;
	if (!lineup_has_network(s, lane))
		s->network.is_probing = true;
	return true;
}

bool scheduler_step(struct scheduler *s, struct moment now, struct scheduler_action *out)
{
	s->now = now;
	lineup_wake(s, now);
	lineup_rest(s, now);
	if (now.boot_ms >= s->write_boot_ms && !s->is_writing)
		ledger_write(s, now);
	if (s->network.is_offline && now.boot_ms >= s->network.retry_boot_ms && !s->network.is_probing &&
	    s->network.look_boot_ms < s->network.retry_boot_ms) {
		s->network.look_boot_ms = now.boot_ms;
		lineup_look_everywhere(s);
	}
	for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node)) {
		struct lane *lane = LIST_ENTRY(node, struct lane, node);

		if (now.boot_ms >= lane->look_boot_ms) {
			lane->look_boot_ms = INT64_MAX;
			lane->look = true;
		}
		if (lane->look && look(s, lane, now, out))
			return true;
	}
	return false;
}

int64_t scheduler_deadline(const struct scheduler *s)
{
	int64_t at = INT64_MAX;
	const struct list *first = list_first(&s->idle);

	for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node)) {
		const struct lane *lane = LIST_ENTRY(node, struct lane, node);

		at = moment_min(at, lane->look_boot_ms);
		if (lane->is_dirty && !s->is_writing)
			at = moment_min(at, s->write_boot_ms);
		if (lane->bucket.is_changed && !s->is_writing)
			at = moment_min(at, s->bucket_boot_ms);
	}
	if ((s->is_pause_dirty || s->must_write_all) && !s->is_writing)
		at = moment_min(at, s->write_boot_ms);
	if (s->wake_wall_ms != INT64_MAX)
		at = moment_min(at, moment_boot(s->now, s->wake_wall_ms));
	if (first) {
		int64_t rest_ms = LIST_ENTRY(first, struct flow, node)->idle_boot_ms + SCHEDULER_REST_MS;

		/* One that may not rest yet does not make the others urgent. */
		at = moment_min(at, rest_ms > s->now.boot_ms ? rest_ms : s->now.boot_ms + SCHEDULER_REST_MS);
	}
	return moment_min(at, network_deadline(&s->network));
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
	if (lane->tried_wall_ms < s->network.since_wall_ms)
		s->tries++;
	lane->tried_wall_ms = now.wall_ms;
}

void scheduler_ready(struct scheduler *s, struct lane *lane, struct moment now)
{
	s->now = now;
	assert(lane->connecting > 0);
	lane->connecting--;
	lane->ready++;
	lane->look = true;
}

void scheduler_gone(struct scheduler *s, struct lane *lane, bool was_ready, struct moment now)
{
	uint32_t *count = was_ready ? &lane->ready : &lane->connecting;

	s->now = now;
	assert(*count > 0);
	(*count)--;
	lane->look = true;
	if (!lineup_has_network(s, lane))
		s->network.is_probing = false;
}

bool scheduler_failed(struct scheduler *s, struct lane *lane, const struct lane_failure *failure, bool was_ready,
		      struct moment now)
{
	bool changed;

	s->now = now;
	note_try(s, lane, now);
	changed = lane_failed(lane, failure, others(lane, was_ready), &s->chance, now);
	if (changed)
		lineup_look_everywhere(s); /* its mail may pass to another lane */
	return changed;
}

static bool others_are_online(const struct scheduler *s, const struct lane *but)
{
	for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node)) {
		const struct lane *lane = LIST_ENTRY(node, struct lane, node);

		if (lane != but && !lane->is_local && lane->ready)
			return true;
	}
	return false;
}

bool scheduler_offline(struct scheduler *s, struct lane *lane, bool dns_only, const char *text, struct moment now)
{
	bool is_news;

	s->now = now;
	if (lane->is_local || lane->ready || others_are_online(s, lane)) {
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
	if (lane->is_local || (by_dns && !s->network.dns_only) || (s->network.dns_only && !lane->needs_dns))
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
		lineup_look_everywhere(s); /* mail comes back from the lanes behind it */
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

static void bind_flows(struct scheduler *s)
{
	for (size_t i = 0; i < s->flows.size; i++)
		for (struct flow *flow = s->flows.buckets[i]; flow; flow = flow->next) {
			lineup_bind(s, flow);
			if (flow->is_active)
				lineup_join(flow);
		}
}

void scheduler_configure(struct scheduler *s, struct config *config, void (*changed)(void *arg, struct lane *lane),
			 void *arg, struct moment now)
{
	struct config *old = s->config;
	struct list before;
	struct lane *lane;

	s->now = now;
	s->config = config_ref(config);
	s->horizon_ms = longest_backoff(config);
	list_init(&before);
	while (!list_is_empty(&s->lanes)) {
		struct list *node = list_first(&s->lanes);

		list_remove(node);
		list_append(&before, node);
	}
	for (size_t i = 0; i < config->smarthost_count; i++) {
		const struct config_smarthost *host = &config->smarthosts[i];

		lane = NULL;
		for (struct list *node = list_first(&before); node && !lane; node = list_next(&before, node))
			if (strcmp(LIST_ENTRY(node, struct lane, node)->name, host->name) == 0)
				lane = LIST_ENTRY(node, struct lane, node);
		bool is_new = !lane;

		if (is_new)
			lane = lane_new(host->name, now);
		list_remove(&lane->node);
		list_append(&s->lanes, &lane->node);
		if (lane_configure(lane, host, now)) {
			lane_wake(lane); /* what was said of another account or host says nothing of this one */
			if (changed)
				changed(arg, lane);
		}
		if (is_new)
			ledger_restore(s, lane, now);
	}
	/* Connections and jobs may still point at the others: they stay, without a host. */
	while (!list_is_empty(&before)) {
		lane = LIST_ENTRY(list_first(&before), struct lane, node);
		list_remove(&lane->node);
		list_append(&s->lanes, &lane->node);
		if (lane->host && changed)
			changed(arg, lane);
		lane_configure(lane, NULL, now);
	}
	bind_flows(s);
	lineup_look_everywhere(s);
	config_unref(old);
}

struct scheduler *scheduler_new(const struct scheduler_setup *setup, struct moment now)
{
	struct scheduler *s = MEM_NEW(struct scheduler);

	s->queue = setup->queue;
	s->chance.state = setup->seed;
	list_init(&s->lanes);
	list_init(&s->idle);
	flow_table_init(&s->flows);
	flight_init(&s->flight);
	network_init(&s->network, now);
	s->wake_wall_ms = INT64_MAX;
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
	while (!list_is_empty(&s->lanes))
		lane_free(LIST_ENTRY(list_first(&s->lanes), struct lane, node));
	config_unref(s->config);
	mem_free(s->paused_by);
	mem_free(s);
}

/* ---------------------------------------------------------------- what people say */

static void wake(struct scheduler *s, struct lane *lane)
{
	lane_wake(lane);
	lineup_look_everywhere(s);
}

bool scheduler_wake(struct scheduler *s, const char *name, struct moment now)
{
	struct lane *lane = name ? scheduler_lane(s, name) : NULL;

	s->now = now;
	if (name && !lane)
		return false;
	if (lane) {
		wake(s, lane);
	} else {
		for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node))
			wake(s, LIST_ENTRY(node, struct lane, node));
	}
	if (s->network.is_offline && (!lane || !lane->is_local))
		network_changed(&s->network, now.boot_ms);
	return true;
}

bool scheduler_pause(struct scheduler *s, const char *name, const char *by, struct moment now)
{
	struct lane *lane = name ? scheduler_lane(s, name) : NULL;

	s->now = now;
	if (name && !lane)
		return false;
	if (lane) {
		lane_pause(lane, by, now);
	} else {
		char *copy = mem_strdup(by[0] ? by : "somebody");

		mem_free(s->paused_by);
		s->paused_by = copy;
		s->paused_wall_ms = now.wall_ms;
		s->is_pause_dirty = true;
	}
	lineup_look_everywhere(s);
	return true;
}

bool scheduler_resume(struct scheduler *s, const char *name, struct moment now)
{
	struct lane *lane = name ? scheduler_lane(s, name) : NULL;

	s->now = now;
	if (name && !lane)
		return false;
	if (lane) {
		lane_resume(lane);
	} else {
		s->is_pause_dirty |= s->paused_by != NULL;
		mem_free(s->paused_by);
		s->paused_by = NULL;
		for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node))
			lane_resume(LIST_ENTRY(node, struct lane, node));
	}
	lineup_look_everywhere(s);
	return true;
}

void scheduler_network_changed(struct scheduler *s, struct moment now)
{
	s->now = now;
	network_changed(&s->network, now.boot_ms + (int64_t)chance_below(&s->chance, NETWORK_JITTER_MS));
	/* Containers come and go every second on some machines: that must not undo a lane's backoff each time. */
	if (now.boot_ms < s->rush_boot_ms)
		return;
	s->rush_boot_ms = now.boot_ms + NETWORK_RUSH_MS;
	for (struct list *node = list_first(&s->lanes); node; node = list_next(&s->lanes, node)) {
		struct lane *lane = LIST_ENTRY(node, struct lane, node);
		int64_t soon = now.boot_ms + (int64_t)chance_below(&s->chance, NETWORK_JITTER_MS);

		/* What a host failed for may have been the old network; what an account failed for was not. */
		if (lane->trouble == TRAFFIC_LANE && !lane->is_local && lane->retry_boot_ms > soon) {
			lane->retry_boot_ms = soon;
			lane->look_boot_ms = soon;
		}
	}
}

void scheduler_woke(struct scheduler *s, struct moment now)
{
	network_reborn(&s->network, now);
	s->rush_boot_ms = 0;
	scheduler_network_changed(s, now);
}

/* ---------------------------------------------------------------- what is asked */

bool scheduler_is_tried(struct scheduler *s, const struct queue_rcpt *rcpt)
{
	struct span target = span_str(rcpt->flow.target), name;
	bool has_lane = false, is_tried = false;

	if (rcpt->last_ms >= s->network.since_wall_ms)
		return true;
	while (lineup_name(&target, &name)) {
		struct lane *lane = lineup_find(s, name);

		if (!lane || !lane->host)
			continue;
		if (lineup_takes_mail(s, lane))
			return false; /* its turn will come */
		has_lane = true;
		is_tried |= lineup_has_network(s, lane) && lane->tried_wall_ms >= s->network.since_wall_ms;
	}
	return is_tried || !has_lane; /* nothing can be attempted without a route */
}

bool scheduler_is_paused(struct scheduler *s, const char *target)
{
	struct span rest = span_str(target), name;

	if (s->paused_by)
		return true;
	while (lineup_name(&rest, &name)) {
		struct lane *lane = lineup_find(s, name);

		if (lane && lane->paused_by)
			return true;
	}
	return false;
}

struct lane *scheduler_choice(struct scheduler *s, const char *target)
{
	struct span rest = span_str(target), name;

	if (s->paused_by)
		return NULL;
	while (lineup_name(&rest, &name)) {
		struct lane *lane = lineup_find(s, name);

		if (lane && lineup_takes_mail(s, lane))
			return lane;
	}
	return NULL;
}
