#include "tests/sim/props.h"

#include <string.h>

#include "base/mem.h"
#include "route.h"
#include "tests/sim/sim.h"

/* ---------------------------------------------------------------- flows as the queue has them */

static struct lane *lane_of(const struct sim *sim, uint32_t host)
{
	return lanes_find(&sim->agent.scheduler->lanes, span_str(sim->hosts[host].lane));
}

static void add_lane(struct sim *sim, struct props_flow *flow, struct span name, bool is_share)
{
	char text[ROUTE_LANE_SIZE];
	uint32_t number;
	size_t at = is_share ? flow->shares : flow->lane_count;

	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	number = (uint32_t)(host_of(sim, text) - sim->hosts);
	for (size_t i = flow->lane_count++; i > at; i--)
		flow->lanes[i] = flow->lanes[i - 1];
	flow->lanes[at] = number;
	flow->shares += is_share;
}

static struct props_flow *find(struct sim *sim, uint32_t id)
{
	for (size_t i = 0; i < sim->props.flow_count; i++)
		if (sim->props.flows[i].id == id)
			return &sim->props.flows[i];
	return NULL;
}

static void learn(struct sim *sim, uint32_t id, const struct queue_flow *name)
{
	struct span target = span_str(name->target), lane;
	struct props_flow *flow;
	uint32_t weight;

	if (find(sim, id))
		return;
	if (sim->props.flow_count == PROPS_FLOWS)
		sim_fail(sim, "the simulation's own bounds", "more than %d flows", PROPS_FLOWS);
	flow = &sim->props.flows[sim->props.flow_count++];
	*flow = (struct props_flow){ .id = id, .band = name->band, .idle_since_ms = INT64_MAX };
	while (flow->lane_count < PROPS_LANES && route_next(&target, &lane, &weight))
		add_lane(sim, flow, lane, weight > 0);
}

/* Flows that the queue has forgotten are forgotten here. The number of those that it has. */
static size_t learn_all(struct sim *sim)
{
	struct queue_view *view = queue_view(sim->agent.queue);
	struct props *props = &sim->props;
	size_t count = 0, kept = 0;
	struct queue_flow name;
	uint32_t id = 0;

	while (queue_view_flow_next(view, id, &id, &name) == QUEUE_OK) {
		learn(sim, id, &name);
		count++;
	}
	if (count == props->flow_count)
		return count;
	for (size_t i = 0; i < props->flow_count; i++)
		if (queue_view_flow(view, props->flows[i].id, &name) == QUEUE_OK)
			props->flows[kept++] = props->flows[i];
	props->flow_count = kept;
	return count;
}

/* Mail whose lifetime is over may be given up instead of being attempted. */
static bool is_over(struct sim *sim, uint64_t id)
{
	struct queue_envelope envelope;

	return queue_view_envelope(queue_view(sim->agent.queue), id, &envelope) == QUEUE_OK &&
	       envelope.expires_ms <= sim->now.wall_ms;
}

/* Its sender wants it held. */
static bool is_held(struct sim *sim, uint64_t id)
{
	struct queue_envelope envelope;

	return queue_view_envelope(queue_view(sim->agent.queue), id, &envelope) == QUEUE_OK &&
	       envelope.hold_until_ms > sim->now.wall_ms;
}

/* An entry between these times whose mail is not being sent. */
static bool has_entry(struct sim *sim, const struct props_flow *flow, struct queue_due after, int64_t until_ms)
{
	struct queue_view *view = queue_view(sim->agent.queue);
	struct queue_due due = after;

	while (queue_view_due(view, flow->id, due, &due) == QUEUE_OK && due.due_ms <= until_ms)
		if (!flight_find(&sim->agent.scheduler->flight, due.id, due.n) && !is_over(sim, due.id) &&
		    !is_held(sim, due.id))
			return true;
	return false;
}

/* It has mail that is due since `grace_ms` and not being sent; a time beyond every backoff is one that a wrong clock has
 * invented, and counts as well when there was time to see that. */
static bool has_due(struct sim *sim, const struct props_flow *flow, int64_t grace_ms)
{
	struct queue_due invented = { .due_ms = sim->now.wall_ms + sim->agent.scheduler->horizon_ms + SIM_MINUTE };

	return has_entry(sim, flow, (struct queue_due){ 0 }, sim->now.wall_ms - grace_ms) ||
	       (!sim->was_settling && sim->now.boot_ms > sim->stirred_ms + PROPS_SWEEP_MS &&
		sim->now.boot_ms > sim->down_ms + SIM_HOUR && has_entry(sim, flow, invented, INT64_MAX));
}

static bool takes_mail(struct sim *sim, uint32_t host)
{
	const struct lane *lane = lane_of(sim, host);
	const struct mirror *m = &sim->hosts[host].mirror;

	if (lane)
		return mirror_takes_mail(sim, &sim->hosts[host], lane);
	return host_is_mx(&sim->hosts[host]) && m->is_well && !m->is_paused && !sim->network.is_offline;
}

/* Its mail goes to the lane at that place: nobody before it takes mail. */
static bool goes_to(struct sim *sim, const struct props_flow *flow, size_t place)
{
	if (sim->network.is_paused || !takes_mail(sim, flow->lanes[place]))
		return false;
	for (size_t i = 0; i < place; i++)
		if (takes_mail(sim, flow->lanes[i]))
			return false;
	return true;
}

void props_fini(struct props *props)
{
	for (size_t i = 0; i < HOST_MAX; i++)
		mem_free(props->taken[i].flow);
}

void props_renew(struct sim *sim)
{
	sim->props.flow_count = 0;
	sim->props.looked_ms = 0;
}

/* ---------------------------------------------------------------- limits */

void props_connects(struct sim *sim, struct host *host, const struct lane *lane)
{
	const struct mirror *m = &host->mirror;

	if (!lane->host || sim->network.is_paused || m->is_paused)
		sim_fail(sim, PROPS_PARKED, "%s is paused, and is connected", host->lane);
	if (m->open >= lane->host->connections)
		sim_fail(sim, PROPS_LIMITS, "%s gets connection %u of %u", host->lane, m->open + 1,
			 lane->host->connections);
	if (lane->domain && sim->agent.scheduler->lanes.mx_open > LANES_MX_CONNECTIONS)
		sim_fail(sim, PROPS_LIMITS, "more than %d connections to domains", LANES_MX_CONNECTIONS);
	if (!m->is_well && !m->is_unsure && sim->now.boot_ms < m->retry_ms)
		sim_fail(sim, m->is_account ? PROPS_PARKED : PROPS_BACKOFF, "%s is tried %lld ms too early", host->lane,
			 (long long)(m->retry_ms - sim->now.boot_ms));
	if (!m->is_well && m->open && lane->trouble)
		sim_fail(sim, PROPS_BACKOFF, "%s is in trouble and probed twice", host->lane);
	if (mirror_has_network(sim, lane))
		return;
	if (sim->now.boot_ms < sim->network.retry_ms)
		sim_fail(sim, PROPS_BACKOFF, "%s is tried without a network %lld ms too early", host->lane,
			 (long long)(sim->network.retry_ms - sim->now.boot_ms));
	if (sim->network.probes++)
		sim_fail(sim, PROPS_BACKOFF, "the network is probed twice");
}

/* ---------------------------------------------------------------- turns */

/* How often the flow's mail was taken at the lane since. */
static size_t times(const struct props *props, uint32_t host, size_t since, uint32_t flow)
{
	size_t count = 0;

	for (size_t i = since; i < props->taken[host].count; i++)
		count += props->taken[host].flow[i] == flow;
	return count;
}

/* `other` was served at the lane at this place of the flow, which may have been waiting. */
static void wait_for(struct sim *sim, struct props_flow *flow, size_t place, uint32_t host,
		     const struct props_flow *other)
{
	const struct props *props = &sim->props;

	if (!goes_to(sim, flow, place) || !has_due(sim, flow, PROPS_START_MS) ||
	    sim->now.boot_ms < sim->stirred_ms + PROPS_START_MS) {
		flow->waits[place] = false;
		return;
	}
	if (other->band > flow->band)
		sim_fail(sim, PROPS_TURNS, "%s takes mail of flow %u in band %u before that of flow %u in band %u",
			 sim->hosts[host].lane, other->id, other->band, flow->id, flow->band);
	if (!flow->waits[place]) {
		flow->waits[place] = true;
		flow->since[place] = props->taken[host].count;
	} else if (other->band == flow->band && times(props, host, flow->since[place], other->id) > 0) {
		sim_fail(sim, PROPS_TURNS, "%s takes mail of flow %u twice while flow %u waits", sim->hosts[host].lane,
			 other->id, flow->id);
	}
}

static void served(struct props *props, uint32_t host, uint32_t flow)
{
	if (props->taken[host].count == props->taken[host].room) {
		props->taken[host].room = props->taken[host].room ? 2 * props->taken[host].room : 256;
		props->taken[host].flow =
			mem_realloc(props->taken[host].flow, props->taken[host].room, sizeof *props->taken[host].flow);
	}
	props->taken[host].flow[props->taken[host].count++] = flow;
}

/* A lane takes mail that another before it would have taken. */
static void passes_nobody(struct sim *sim, const struct props_flow *flow, uint32_t host)
{
	for (size_t place = 0; place < flow->lane_count && flow->lanes[place] != host; place++)
		if (takes_mail(sim, flow->lanes[place]) && place + 1 < flow->lane_count)
			for (size_t i = place + 1; i < flow->lane_count; i++)
				if (flow->lanes[i] == host && i >= flow->shares)
					sim_fail(sim, PROPS_OBJECTS, "%s takes mail of flow %u, though %s is well",
						 sim->hosts[host].lane, flow->id, sim->hosts[flow->lanes[place]].lane);
}

void props_takes(struct sim *sim, struct host *host, const struct scheduler_job *job)
{
	uint32_t number = (uint32_t)(host - sim->hosts);
	struct props_flow *taken = find(sim, job->flow_id);

	if (!taken) {
		learn_all(sim);
		taken = find(sim, job->flow_id);
	}
	if (!taken)
		sim_fail(sim, PROPS_RECORDS, "mail is taken of flow %u, which the queue does not have", job->flow_id);
	passes_nobody(sim, taken, number);
	host->mirror.busy_ms = sim->now.boot_ms;
	mirror_spends(sim, host, job->lane);
	taken->idle_since_ms = INT64_MAX;
	for (size_t i = 0; i < sim->props.flow_count; i++) {
		struct props_flow *flow = &sim->props.flows[i];

		for (size_t place = 0; place < flow->lane_count; place++) {
			if (flow->lanes[place] != number)
				continue;
			if (flow == taken)
				flow->waits[place] = false;
			else if (place >= flow->shares)
				wait_for(sim, flow, place, number, taken);
		}
	}
	served(&sim->props, number, job->flow_id);
}

void props_tries(struct sim *sim, const char *address)
{
	const struct mail_fate *fate = mail_fate_of(sim, address);

	if (fate && fate->refused_boot_ms && !fate->is_excused)
		sim_fail(sim, PROPS_TWICE, "%s was refused for good, and is tried again", address);
}

void props_tells(struct sim *sim, const char *address)
{
	const struct mail_fate *fate = mail_fate_of(sim, address);
	int64_t since_ms = fate->refused_boot_ms;

	/* A restart, a sleep or a bad disk begins anew. */
	if (!since_ms || sim->stirred_ms >= since_ms || sim->down_ms >= since_ms || sim->agent.failed_commits)
		return;
	if (sim->now.boot_ms > since_ms + PROPS_TOLD_MS)
		sim_fail(sim, PROPS_REPORTS, "that %s was refused is told after %lld s", address,
			 (long long)(sim->now.boot_ms - since_ms) / 1000);
}

/* ---------------------------------------------------------------- attempts */

/* Nothing keeps the lane from taking a message, and nobody works for it. */
static bool is_free(struct sim *sim, uint32_t host)
{
	const struct lane *lane = lane_of(sim, host);

	if (host_is_mx(&sim->hosts[host]) && sim->agent.scheduler->lanes.mx_open >= LANES_MX_CONNECTIONS)
		return false;
	if (lane && lane_token_ms(lane, sim->now))
		return false;
	return !conn_is_busy(sim, &sim->hosts[host]);
}

/* It waits out its trouble no longer, and should be probed. */
static bool may_be_probed(struct sim *sim, uint32_t host)
{
	const struct lane *lane = lane_of(sim, host);
	const struct mirror *m = &sim->hosts[host].mirror;

	return lane && lane->host && !m->is_paused && (m->is_well || sim->now.boot_ms >= m->retry_ms) &&
	       (mirror_has_network(sim, lane) || (sim->now.boot_ms >= sim->network.retry_ms && !conn_is_probing(sim)));
}

/* Since when somebody should have attended to its mail; INT64_MAX: somebody does, or nobody can. */
static int64_t unattended_since(struct sim *sim, const struct props_flow *flow)
{
	int64_t since = sim->now.boot_ms;
	bool any = false;

	if (sim->network.is_paused || !has_due(sim, flow, 0))
		return INT64_MAX;
	for (size_t i = 0; i < flow->lane_count; i++) {
		if (!takes_mail(sim, flow->lanes[i]))
			continue;
		if (!is_free(sim, flow->lanes[i]))
			return INT64_MAX;
		any = true;
		if (i >= flow->shares)
			break;
	}
	for (size_t i = 0; !any && i < flow->lane_count; i++)
		if (may_be_probed(sim, flow->lanes[i])) {
			if (!is_free(sim, flow->lanes[i]))
				return INT64_MAX;
			any = true;
		}
	return any ? since : INT64_MAX;
}

static int64_t last_busy(const struct sim *sim, const struct props_flow *flow)
{
	int64_t at = 0;

	for (size_t i = 0; i < flow->lane_count; i++)
		if (sim->hosts[flow->lanes[i]].mirror.busy_ms > at)
			at = sim->hosts[flow->lanes[i]].mirror.busy_ms;
	return at;
}

static void look_at_flow(struct sim *sim, struct props_flow *flow, int64_t ms)
{
	int64_t since = unattended_since(sim, flow), busy = last_busy(sim, flow);
	int64_t bound = PROPS_START_MS + (flow->shares ? PROPS_SHARE_MS : 0);

	for (size_t place = 0; place < flow->lane_count; place++)
		if (flow->waits[place] && (!goes_to(sim, flow, place) || !has_due(sim, flow, 0)))
			flow->waits[place] = false;
	if (since == INT64_MAX || flow->idle_since_ms == INT64_MAX)
		flow->idle_since_ms = since;
	if (flow->idle_since_ms == INT64_MAX)
		return;
	if (flow->idle_since_ms < busy)
		flow->idle_since_ms = busy;
	if (sim->now.boot_ms + ms > flow->idle_since_ms + bound)
		sim_fail(sim, PROPS_ATTEMPT,
			 "flow %u has due mail and a lane for it since %lld ms, and waits for %lld more", flow->id,
			 (long long)(sim->now.boot_ms - flow->idle_since_ms), (long long)ms);
}

/* ---------------------------------------------------------------- memory */

static size_t count_loads(const struct list *loads)
{
	size_t count = 0;

	for (struct list *node = list_first(loads); node; node = list_next(loads, node))
		count += LIST_ENTRY(node, struct load, node)->count;
	return count;
}

static void look_at_memory(struct sim *sim)
{
	const struct agent *a = &sim->agent;
	size_t most = conn_loads(sim) + count_loads(&a->settle.writing) + count_loads(&a->settle.failed);

	if (list_is_empty(&a->bounce.expiries) && list_is_empty(&a->aside.jobs) && a->scheduler->flight.count > most)
		sim_fail(sim, PROPS_MEMORY, "%zu recipients are in flight, of which %zu are known",
			 a->scheduler->flight.count, most);
	if (a->scheduler->flows.count > WINDOW_FLOWS)
		sim_fail(sim, PROPS_MEMORY, "%zu flows are in memory", a->scheduler->flows.count);
	if (a->scheduler->lanes.mx_count > sim->host_count)
		sim_fail(sim, PROPS_MEMORY, "%zu MX lanes are in memory", a->scheduler->lanes.mx_count);
}

void props_passes(struct sim *sim, int64_t ms)
{
	mirror_compare(sim);
	if (ms <= PROPS_START_MS && sim->now.boot_ms < sim->props.looked_ms + PROPS_OFTEN_MS)
		return;
	sim->props.looked_ms = sim->now.boot_ms;
	learn_all(sim);
	for (size_t i = 0; i < sim->props.flow_count; i++)
		look_at_flow(sim, &sim->props.flows[i], ms);
	look_at_memory(sim);
	queue_view_end(sim->agent.queue);
}

/* ---------------------------------------------------------------- on disk */

static void found(void *arg, uint64_t id, const char *finding)
{
	(void)id;
	sim_fail(arg, PROPS_RECORDS, "%s", finding);
}

static void verify(struct sim *sim)
{
	struct queue_verify position = { 0 };

	while (queue_verify_step(sim->agent.queue, &position, found, sim) == QUEUE_OK)
		;
	queue_view_end(sim->agent.queue);
	if (position.findings)
		sim_fail(sim, PROPS_RECORDS, "%llu findings", (unsigned long long)position.findings);
}

/* How each recipient ended, from the history; false: it has not. */
static bool ended(struct sim *sim, const struct mail *mail, struct queue_outcome out[MAIL_RCPTS], bool has[MAIL_RCPTS])
{
	struct queue_outcome o;
	uint32_t from = 0;
	size_t count = 0;

	memset(has, 0, MAIL_RCPTS * sizeof *has);
	while (queue_view_history_of(queue_view(sim->agent.queue), mail->id, &from, &o) == QUEUE_OK) {
		if (o.n >= mail->count || has[o.n])
			sim_fail(sim, PROPS_LOST, "the history has two ends for recipient %u of mail %zu", o.n,
				 (size_t)(mail - sim->mails));
		has[o.n] = true;
		out[o.n] = o;
		count++;
	}
	return count == mail->count;
}

void props_restarted(struct sim *sim)
{
	struct queue_outcome outcomes[MAIL_RCPTS];
	struct queue_envelope envelope;
	bool has[MAIL_RCPTS];

	for (size_t i = 0; i < sim->mail_count; i++) {
		const struct mail *mail = &sim->mails[i];

		if (mail->state == MAIL_ACCEPTED &&
		    queue_view_envelope(queue_view(sim->agent.queue), mail->id, &envelope) != QUEUE_OK &&
		    !ended(sim, mail, outcomes, has))
			sim_fail(sim, PROPS_LOST, "mail %zu is gone after a restart", i);
	}
	queue_view_end(sim->agent.queue);
	verify(sim);
}

/* ---------------------------------------------------------------- the end */

static bool wants_failure(uint8_t notify)
{
	return notify == 0 || notify & QUEUE_NOTIFY_FAILURE;
}

static void judge(struct sim *sim, const struct mail *mail, size_t n, const struct queue_outcome *o)
{
	const struct mail_fate *fate = &mail->fates[n];
	bool is_bounced = o->kind == QUEUE_BOUNCED;
	size_t number = (size_t)(mail - sim->mails);

	if (o->kind == QUEUE_DELIVERED && !fate->taken)
		sim_fail(sim, PROPS_LOST, "mail %zu, recipient %zu is said to be delivered, and no server has it",
			 number, n);
	if (is_bounced && fate->taken && !fate->is_excused)
		sim_fail(sim, PROPS_LOST, "mail %zu, recipient %zu bounced, and a server has it", number, n);
	if (o->kind == QUEUE_REMOVED && !fate->is_removed)
		sim_fail(sim, PROPS_LOST, "mail %zu, recipient %zu was removed by nobody", number, n);
	if (fate->told_failed != (is_bounced && wants_failure(mail->notify)))
		sim_fail(sim, PROPS_REPORTS, "mail %zu, recipient %zu ended as %d, and its sender was told %u times",
			 number, n, (int)o->kind, fate->told_failed);
	if (fate->told_delayed && mail->notify && !(mail->notify & QUEUE_NOTIFY_DELAY))
		sim_fail(sim, PROPS_REPORTS, "mail %zu, recipient %zu: a warning that nobody wants", number, n);
}

static void judge_mail(struct sim *sim, const struct mail *mail)
{
	struct queue_outcome outcomes[MAIL_RCPTS];
	bool has[MAIL_RCPTS];

	for (size_t n = 0; n < mail->count && mail->state == MAIL_REFUSED; n++)
		if (mail->fates[n].taken)
			sim_fail(sim, PROPS_TWICE, "mail %zu was refused, and delivered", (size_t)(mail - sim->mails));
	if (mail->state != MAIL_ACCEPTED)
		return;
	if (!ended(sim, mail, outcomes, has))
		sim_fail(sim, PROPS_LOST, "mail %zu has not ended", (size_t)(mail - sim->mails));
	for (size_t n = 0; n < mail->count; n++)
		judge(sim, mail, n, &outcomes[n]);
}

/* Only reports may be left that nobody could be given in their lifetime (a clock that jumped ends it soon): these are kept
 * for people to see. */
static void look_at_rest(struct sim *sim)
{
	struct queue_view *view = queue_view(sim->agent.queue);
	struct queue_envelope envelope;
	struct queue_rcpt rcpt;

	for (uint64_t id = 0; queue_view_next(view, id, &id) == QUEUE_OK;) {
		if (queue_view_envelope(view, id, &envelope) || queue_view_rcpt_from(view, id, 0, &rcpt))
			sim_fail(sim, PROPS_RECORDS, "a message that is left cannot be read");
		if (!(envelope.flags & QUEUE_KEPT) || !(envelope.flags & QUEUE_REPORT))
			sim_fail(sim, PROPS_DRAIN, "%s by %s is left: state %d, flags %x, due in %lld s", rcpt.address,
				 rcpt.flow.target, (int)rcpt.state, envelope.flags,
				 (long long)(rcpt.due_ms - sim->now.wall_ms) / 1000);
	}
}

void props_ends(struct sim *sim)
{
	const struct scheduler *s = sim->agent.scheduler;

	look_at_rest(sim);
	for (size_t i = 0; i < sim->mail_count; i++)
		judge_mail(sim, &sim->mails[i]);
	queue_view_end(sim->agent.queue);
	if (s->flight.count || s->flows.count || !turns_is_empty(&s->line) || s->away.count)
		sim_fail(sim, PROPS_MEMORY, "%zu in flight, %zu flows", s->flight.count, s->flows.count);
	if (s->lanes.mx_count)
		sim_fail(sim, PROPS_MEMORY, "%zu MX lanes that nobody needs", s->lanes.mx_count);
	if (sim->agent.bounce.count || !settle_is_idle(&sim->agent.settle) || learn_all(sim))
		sim_fail(sim, PROPS_MEMORY, "%zu reports, %zu flows in the queue", sim->agent.bounce.count,
			 learn_all(sim));
	verify(sim);
}
