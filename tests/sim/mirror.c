#include "tests/sim/mirror.h"

#include <stdlib.h>

#include "tests/sim/sim.h"

enum {
	RUSH_MS = SIM_MINUTE, /* lanes are hurried by the network at most this often */
	JITTER_MS = 2 * SIM_SECOND,
	FORGET_MS = 2 * SIM_DAY,    /* what nobody asked about for so long is forgotten */
	LONGEST_MS = 5 * SIM_HOUR,  /* no wait is longer */
	STALE_MS = 15 * SIM_SECOND, /* token buckets on disk are at most so old */
};

static struct lane *lane_of(const struct sim *sim, const struct host *host)
{
	return lanes_find(&sim->agent.scheduler->lanes, span_str(host->lane));
}

bool mirror_has_network(const struct sim *sim, const struct lane *lane)
{
	return lane->is_local || !sim->network.is_offline || (sim->network.dns_only && !lane->needs_dns);
}

bool mirror_takes_mail(const struct sim *sim, const struct host *host, const struct lane *lane)
{
	return lane->host && host->mirror.is_well && !host->mirror.is_paused && mirror_has_network(sim, lane);
}

/* ---------------------------------------------------------------- waits */

/* That wait is the k-th of a backoff, give or take an eighth. */
static void check_wait(const struct sim *sim, const char *whose, int64_t ms, const struct config_backoff *b, uint32_t k)
{
	double want = (double)b->first_ms;

	for (uint32_t i = 1; i < k && want < (double)b->max_ms; i++)
		want *= b->factor;
	if (want > (double)b->max_ms)
		want = (double)b->max_ms;
	if ((double)ms < want * 7 / 8 - 1 || (double)ms > want * 9 / 8 + 1)
		sim_fail(sim, PROPS_BACKOFF, "%s waits %lld ms after its failure %u, not about %.0f", whose,
			 (long long)ms, k, want);
}

static void check_lane_wait(struct sim *sim, struct host *host, const struct lane *lane, const struct lane_failure *f)
{
	static const struct config_backoff parked = { LANE_PARK_MS, LANE_PARK_MS, 2 };
	static const struct config_backoff throttled = { LANE_THROTTLE_MS, LANE_THROTTLE_MAX_MS, 2 };
	struct mirror *m = &host->mirror;

	check_wait(sim, host->lane, lane->retry_boot_ms - sim->now.boot_ms,
		   f->is_parked      ? &parked
		   : f->is_throttled ? &throttled
				     : &lane->host->reconnect,
		   m->failures);
	m->retry_ms = lane->retry_boot_ms;
}

static void forget(struct mirror *m)
{
	m->is_well = true;
	m->is_parked = m->is_account = m->is_unsure = false;
	m->failures = 0;
	m->retry_ms = 0;
}

/* ---------------------------------------------------------------- the story of a connection */

void mirror_opened(struct sim *sim, struct conn *conn)
{
	conn->host->mirror.open++;
	conn->host->mirror.busy_ms = sim->now.boot_ms;
}

void mirror_ready(struct sim *sim, struct conn *conn)
{
	(void)sim;
	conn->host->mirror.ready++;
}

void mirror_gone(struct sim *sim, struct conn *conn)
{
	conn->host->mirror.busy_ms = sim->now.boot_ms;
	conn->host->mirror.open--;
	if (!mirror_has_network(sim, conn->lane))
		sim->network.probes = 0;
	conn->host->mirror.ready -= conn->is_ready;
}

static void note_failure(struct sim *sim, struct conn *conn, const struct lane_failure *f)
{
	struct mirror *m = &conn->host->mirror;

	if (!conn->lane->host)
		return;
	if (m->ready > conn->is_ready && f->trouble == TRAFFIC_LANE && m->is_well)
		return; /* the others go on */
	if (!m->is_well && sim->now.boot_ms < m->retry_ms && (m->is_parked || !f->is_parked))
		return; /* it waits already */
	m->failures++;
	m->is_well = false;
	m->is_parked = f->is_parked;
	m->is_account = f->trouble == TRAFFIC_ACCOUNT;
	m->failed_ms = sim->now.boot_ms;
	m->failed_wall_ms = sim->now.wall_ms;
	check_lane_wait(sim, conn->host, conn->lane, f);
}

void mirror_failed(struct sim *sim, struct conn *conn, const struct lane_failure *failure)
{
	note_failure(sim, conn, failure);
}

static bool others_are_online(const struct sim *sim, const struct conn *but)
{
	for (int i = 0; i < CONNS; i++) {
		const struct conn *conn = &sim->conns[i];

		if (conn->lane && conn->lane != but->lane && conn->is_ready && !conn->lane->is_local)
			return true;
	}
	return false;
}

void mirror_offline(struct sim *sim, struct conn *conn, bool dns_only)
{
	static const struct lane_failure own = { .trouble = TRAFFIC_LANE, .text = "" };
	const struct network *real = &sim->agent.scheduler->network;
	struct mirror_network *n = &sim->network;

	if (conn->lane->is_local || conn->host->mirror.ready || others_are_online(sim, conn)) {
		note_failure(sim, conn, &own);
		return;
	}
	n->probes = 0;
	if (n->is_offline && sim->now.boot_ms < n->retry_ms && !(n->dns_only && !dns_only))
		return;
	n->is_offline = true;
	n->dns_only = dns_only;
	n->failures++;
	check_wait(sim, "the network", real->retry_boot_ms - sim->now.boot_ms, &sim->agent.config->reconnect,
		   n->failures);
	n->retry_ms = real->retry_boot_ms;
}

void mirror_reached(struct sim *sim, struct conn *conn, bool by_dns)
{
	struct mirror_network *n = &sim->network;

	if (conn->lane->is_local || (by_dns && !n->dns_only) || (n->dns_only && !conn->lane->needs_dns))
		return;
	n->is_offline = n->dns_only = false;
	n->failures = n->probes = 0;
}

void mirror_spoke(struct sim *sim, struct conn *conn)
{
	conn->host->mirror.busy_ms = sim->now.boot_ms;
	forget(&conn->host->mirror);
}

/* A probe that found nothing to carry has proven the way as far as it goes. */
void mirror_took_nothing(struct sim *sim, struct conn *conn)
{
	struct mirror *m = &conn->host->mirror;

	(void)sim;
	if (!m->is_well && conn->lane->trouble == TRAFFIC_WELL && conn->is_ready && !conn->load)
		forget(m);
}

/* ---------------------------------------------------------------- rates */

static void fill(struct sim *sim, struct host *host, const struct lane *lane)
{
	const struct config_rate *rate = &lane->host->rate;
	struct mirror *m = &host->mirror;
	double in = (double)(sim->now.boot_ms - m->tokens_ms) * rate->count / (double)rate->per_ms;

	m->tokens = m->has_bucket ? m->tokens + in : rate->count;
	if (m->tokens > rate->count)
		m->tokens = rate->count;
	m->has_bucket = true;
	m->tokens_ms = sim->now.boot_ms;
}

bool mirror_has_token(struct sim *sim, struct host *host, const struct lane *lane)
{
	if (!lane->host || !lane->host->rate.count)
		return true;
	fill(sim, host, lane);
	return host->mirror.tokens >= 1.001;
}

void mirror_spends(struct sim *sim, struct host *host, const struct lane *lane)
{
	struct mirror *m = &host->mirror;

	if (!lane->host->rate.count)
		return;
	fill(sim, host, lane);
	m->tokens -= 1;
	m->spent_ms[m->spent++ % MIRROR_SPENT] = sim->now.boot_ms;
	if (m->tokens < -0.01)
		sim_fail(sim, PROPS_RATE, "%s takes more than %u in %lld ms", host->lane, lane->host->rate.count,
			 (long long)lane->host->rate.per_ms);
}

/* What was spent a moment ago may not be on disk yet. */
static void refund(struct sim *sim, struct mirror *m)
{
	bool is_disk_bad = sim->agent.failed_commits && sim->now.boot_ms < sim->agent.last_fail_boot_ms + SIM_MINUTE;

	for (size_t i = 0; i < MIRROR_SPENT && i < m->spent; i++)
		if (m->spent_ms[i] > sim->now.boot_ms - (is_disk_bad ? 5 * SIM_MINUTE : STALE_MS))
			m->tokens += 1;
	m->spent = 0;
}

/* ---------------------------------------------------------------- what people and the machine do */

void mirror_hurried(struct sim *sim, bool woke)
{
	struct mirror_network *n = &sim->network;
	bool may_hurry = woke || sim->now.boot_ms >= n->rush_ms;

	if (n->is_offline) {
		n->failures = n->probes = 0;
		n->retry_ms = sim->agent.scheduler->network.retry_boot_ms;
		if (n->retry_ms > sim->now.boot_ms + JITTER_MS)
			sim_fail(sim, PROPS_BACKOFF, "a changed network is not looked at");
	}
	if (may_hurry)
		n->rush_ms = sim->now.boot_ms + RUSH_MS;
	for (size_t i = 0; i < sim->host_count; i++) {
		struct host *host = &sim->hosts[i];
		struct mirror *m = &host->mirror;
		const struct lane *lane = lane_of(sim, host);

		if (m->is_well || !lane)
			continue;
		if (may_hurry && !m->is_account && !lane->is_local && lane->host &&
		    m->retry_ms > sim->now.boot_ms + JITTER_MS && lane->retry_boot_ms > sim->now.boot_ms + JITTER_MS)
			sim_fail(sim, PROPS_BACKOFF, "%s is not looked at though the network changed", host->lane);
		if (lane->retry_boot_ms < m->retry_ms && (!may_hurry || m->is_account))
			sim_fail(sim, m->is_account ? PROPS_PARKED : PROPS_BACKOFF, "%s is hurried by the network",
				 host->lane);
		m->retry_ms = lane->retry_boot_ms;
	}
}

void mirror_woken(struct sim *sim, const char *lane)
{
	for (size_t i = 0; i < sim->host_count; i++)
		if (!lane || host_of(sim, lane) == &sim->hosts[i])
			forget(&sim->hosts[i].mirror);
	if (sim->network.is_offline &&
	    !(lane && lane_of(sim, host_of(sim, lane)) && lane_of(sim, host_of(sim, lane))->is_local)) {
		sim->network.failures = sim->network.probes = 0;
		sim->network.retry_ms = sim->agent.scheduler->network.retry_boot_ms;
	}
}

void mirror_paused(struct sim *sim, const char *lane)
{
	struct mirror *m = lane ? &host_of(sim, lane)->mirror : NULL;

	*(m ? &m->is_paused : &sim->network.is_paused) = true;
	*(m ? &m->paused_ms : &sim->network.paused_ms) = sim->now.boot_ms;
}

void mirror_resumed(struct sim *sim, const char *lane)
{
	for (size_t i = 0; i < sim->host_count; i++)
		if (!lane || host_of(sim, lane) == &sim->hosts[i]) {
			sim->hosts[i].mirror.is_paused = false;
			forget(&sim->hosts[i].mirror);
		}
	if (!lane)
		sim->network.is_paused = false;
}

void mirror_account_changed(void *arg, struct lane *lane)
{
	struct sim *sim = arg;

	conn_retire(sim, lane);
	if (lane->host)
		forget(&host_of(sim, lane->name)->mirror);
}

void mirror_jumped(struct sim *sim, int64_t by_ms)
{
	if (by_ms > 0)
		sim->network.jumped_ms += by_ms;
	for (size_t i = 0; i < sim->host_count; i++) {
		struct host *host = &sim->hosts[i];

		if (!host_is_mx(host))
			continue;
		host->mirror.is_unsure = true;
		host->mirror.was_put_back |= by_ms < 0;
		if (by_ms > 0 && host->mirror.has_bucket)
			host->mirror.tokens = 1e9; /* its bucket may be read from disk at any time */
	}
}

/* ---------------------------------------------------------------- across restarts */

void mirror_crashes(struct sim *sim)
{
	for (size_t i = 0; i < sim->host_count; i++)
		refund(sim, &sim->hosts[i].mirror);
}

/* Of any wait of that kind: a time on disk that is further away was written under another clock. */
static int64_t longest_wait(const struct sim *sim, bool is_account)
{
	int64_t max = sim->agent.config->reconnect.max_ms * 9 / 8, throttle = (int64_t)LANE_THROTTLE_MAX_MS * 9 / 8;

	return is_account && throttle > max ? throttle : max;
}

/* What was there for so long is on disk, where that did not fail meanwhile. */
static bool must_be_kept(const struct sim *sim, int64_t since_ms)
{
	/* Asleep, nobody writes. */
	int64_t awake_ms = since_ms > sim->stirred_ms ? since_ms : sim->stirred_ms;

	return !sim->agent.failed_commits && sim->down_ms - awake_ms > STALE_MS;
}

static void read_record(struct sim *sim, struct host *host)
{
	struct mirror *m = &host->mirror;
	struct queue_lane record;
	bool is_known = queue_view_lane(queue_view(sim->agent.queue), host->lane, &record) == QUEUE_OK;
	int64_t wait_ms;

	if (m->is_paused && !(is_known && record.paused_by[0]) && must_be_kept(sim, m->paused_ms))
		sim_fail(sim, PROPS_PARKED, "a restart has forgotten that %s is paused", host->lane);
	if (!m->is_well && !m->is_unsure && !(is_known && record.trouble) && must_be_kept(sim, m->failed_ms) &&
	    sim->now.boot_ms < m->failed_ms + FORGET_MS)
		sim_fail(sim, PROPS_BACKOFF, "a restart has forgotten that %s is in trouble", host->lane);
	m->is_paused = is_known && record.paused_by[0];
	if (!is_known || !record.trouble) {
		forget(m);
		return;
	}
	wait_ms = record.retry_ms - sim->now.wall_ms;
	wait_ms = wait_ms < 0 ? 0 : moment_min(wait_ms, longest_wait(sim, record.trouble == TRAFFIC_ACCOUNT));
	m->is_well = false;
	m->is_parked = record.parked;
	m->is_account = record.trouble == TRAFFIC_ACCOUNT;
	m->failures = record.failures;
	m->failed_wall_ms = record.since_ms;
	m->retry_ms = sim->now.boot_ms + wait_ms;
}

/* The time that the machine was off, and what a clock made of it, fills buckets. */
void mirror_started(struct sim *sim)
{
	struct queue_lane all;
	struct mirror_network before = sim->network;

	sim->network = (struct mirror_network){ .paused_ms = before.paused_ms };
	sim->network.is_paused =
		queue_view_lane(queue_view(sim->agent.queue), "*", &all) == QUEUE_OK && all.paused_by[0];
	if (before.is_paused && !sim->network.is_paused && must_be_kept(sim, before.paused_ms))
		sim_fail(sim, PROPS_PARKED, "a restart has forgotten that everything is paused");
	for (size_t i = 0; i < sim->host_count; i++) {
		struct host *host = &sim->hosts[i];
		read_record(sim, host);
		host->mirror.tokens_ms -= before.jumped_ms;
		host->mirror.is_unsure = host_is_mx(host);
	}
	queue_view_end(sim->agent.queue);
}

/* ---------------------------------------------------------------- do both agree? */

/* It was read from disk under another clock: as long as any wait may be, and no longer. */
static void take_over_wait(struct sim *sim, struct host *host, const struct lane *lane)
{
	struct mirror *m = &host->mirror;

	if (lane->retry_boot_ms == m->retry_ms)
		return;
	if (lane->retry_boot_ms > sim->now.boot_ms + longest_wait(sim, m->is_account) + 1)
		sim_fail(sim, PROPS_BACKOFF, "%s waits %lld ms longer than any wait may be", host->lane,
			 (long long)(lane->retry_boot_ms - sim->now.boot_ms - longest_wait(sim, m->is_account)));
	m->retry_ms = lane->retry_boot_ms;
}

/* The clock was put back behind an operator's word to all lanes, so that what failed since looks older. */
static bool is_overtaken(const struct sim *sim, const struct mirror *m)
{
	return m->is_unsure && moment_wall(sim->now, m->failed_ms) < sim->agent.scheduler->lanes.woken_wall_ms;
}

/* Likewise its failure may look younger than the word that should have ended it: then it waits what is left of its time. */
static void recall(struct sim *sim, struct host *host, const struct lane *lane)
{
	struct mirror *m = &host->mirror;

	m->is_well = false;
	m->is_unsure = true;
	m->is_parked = lane->is_parked;
	m->is_account = lane->trouble == TRAFFIC_ACCOUNT;
	m->failures = lane->failures;
	m->failed_wall_ms = lane->since_wall_ms;
	take_over_wait(sim, host, lane);
}

void mirror_compare(struct sim *sim)
{
	const struct scheduler *s = sim->agent.scheduler;

	if (s->network.is_offline != sim->network.is_offline)
		sim_fail(sim, PROPS_OBJECTS, "the scheduler thinks that the machine is %s",
			 s->network.is_offline ? "offline" : "online");
	for (size_t i = 0; i < sim->host_count; i++) {
		struct host *host = &sim->hosts[i];
		struct mirror *m = &host->mirror;
		const struct lane *lane = lane_of(sim, host);

		if (!lane)
			continue;
		if (lane->domain && m->is_well && lane->trouble && m->was_put_back &&
		    lane->since_wall_ms >= s->lanes.woken_wall_ms)
			recall(sim, host, lane);
		if (lane->domain && !m->is_well && lane->trouble == TRAFFIC_WELL && is_overtaken(sim, m))
			forget(m);
		if (lane->domain && !m->is_well && lane->trouble == TRAFFIC_WELL &&
		    llabs(sim->now.wall_ms - m->failed_wall_ms) > FORGET_MS - LONGEST_MS)
			forget(m);
		if (m->is_unsure && !m->is_well)
			take_over_wait(sim, host, lane);
		if ((lane->trouble == TRAFFIC_WELL) != m->is_well)
			sim_fail(sim, PROPS_OBJECTS, "the scheduler thinks that %s is %s", host->lane,
				 lane->trouble ? "in trouble" : "well");
		if ((lane->paused_by != NULL) != m->is_paused)
			sim_fail(sim, PROPS_OBJECTS, "the scheduler thinks that %s is %s", host->lane,
				 lane->paused_by ? "paused" : "not paused");
		if (lane->ready != m->ready || lane->connecting + lane->ready != m->open)
			sim_fail(sim, PROPS_LIMITS, "the scheduler counts %u of %s, not %u",
				 lane->connecting + lane->ready, host->lane, m->open);
	}
}
