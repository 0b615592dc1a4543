#include "tests/sim/conn.h"

#include "tests/sim/sim.h"

enum { KEEP_MS = 10 * SIM_SECOND };

static void place(struct conn *conn, enum conn_place where)
{
	conn->lane->idle += (where == CONN_IDLE) - (conn->place == CONN_IDLE);
	conn->lane->ahead += (where == CONN_AHEAD) - (conn->place == CONN_AHEAD);
	conn->place = where;
}

static void hang_up(struct sim *sim, struct conn *conn)
{
	struct lane *lane = conn->lane;

	place(conn, CONN_NOWHERE);
	mirror_gone(sim, conn);
	conn->lane = NULL;
	scheduler_gone(sim->agent.scheduler, lane, conn->is_ready, sim->now);
	agent_poke(sim);
}

/* ---------------------------------------------------------------- the scheduler's wishes */

void conn_open(struct sim *sim, struct lane *lane)
{
	struct host *host = host_of(sim, lane->name);

	props_connects(sim, host, lane);
	for (int i = 0; i < CONNS; i++)
		if (!sim->conns[i].lane) {
			struct conn *conn = &sim->conns[i];

			*conn = (struct conn){ .lane = lane,
					       .host = host,
					       .number = sim->attempts,
					       .is_probe = !mirror_has_network(sim, lane),
					       .half_ms = INT64_MAX,
					       .at_ms = sim->now.boot_ms + host_connect_ms(sim, host) };
			mirror_opened(sim, conn);
			sim->attempts++;
			sim_log(sim, "%s: connect", lane->name);
			return;
		}
	sim_fail(sim, PROPS_LIMITS, "more than %d connections", CONNS);
}

static struct load *take(struct sim *sim, struct conn *conn)
{
	struct agent *a = &sim->agent;
	enum queue_err err = QUEUE_OK;
	struct scheduler_job *job;
	struct load *load;

	while ((job = scheduler_take(a->scheduler, conn->lane, sim->now))) {
		props_takes(sim, conn->host, job);
		load = load_new(job, queue_view(a->queue), &err);
		if (load) {
			conn->messages++;
			sim_log(sim, "%s: takes %s and %zu more", conn->lane->name, load->rcpts[0].address,
				load->count - 1);
			return load;
		}
		aside_take(&a->aside, job, err, sim->now);
	}
	mirror_took_nothing(sim, conn);
	return NULL;
}

static bool is_used_up(const struct conn *conn)
{
	const struct config_smarthost *host = conn->lane->host;

	return conn->is_retired || !host ||
	       (host->messages_per_connection && conn->messages >= host->messages_per_connection);
}

static void begin(struct sim *sim, struct conn *conn, struct load *load)
{
	int64_t ms = host_serve_ms(sim, conn->host, mail_fate_of(sim, load->rcpts[0].address));

	conn->load = load;
	conn->at_ms = sim->now.boot_ms + ms;
	conn->half_ms = sim->now.boot_ms + ms / 2;
}

/* It could take one. False: it is closed. */
static bool offer(struct sim *sim, struct conn *conn)
{
	struct load *load;

	place(conn, CONN_NOWHERE);
	load = is_used_up(conn) ? NULL : take(sim, conn);
	if (load) {
		begin(sim, conn, load);
		return true;
	}
	if (is_used_up(conn) || !lane_may_work(conn->lane, sim->now)) {
		hang_up(sim, conn);
		return false;
	}
	place(conn, CONN_IDLE);
	conn->half_ms = INT64_MAX;
	conn->at_ms = sim->now.boot_ms + KEEP_MS;
	return true;
}

static void offer_ahead(struct sim *sim, struct conn *conn)
{
	conn->half_ms = INT64_MAX;
	place(conn, CONN_NOWHERE);
	if (is_used_up(conn))
		return;
	conn->next = take(sim, conn);
	if (!conn->next)
		place(conn, CONN_AHEAD);
}

static struct conn *oldest_at(struct sim *sim, const struct lane *lane, enum conn_place where)
{
	struct conn *oldest = NULL;

	for (int i = 0; i < CONNS; i++) {
		struct conn *conn = &sim->conns[i];

		if (conn->lane == lane && conn->place == where && (!oldest || conn->number < oldest->number))
			oldest = conn;
	}
	return oldest;
}

void conn_feed(struct sim *sim, struct lane *lane)
{
	struct conn *idle = oldest_at(sim, lane, CONN_IDLE), *ahead = oldest_at(sim, lane, CONN_AHEAD);

	if (idle)
		offer(sim, idle);
	else if (ahead)
		offer_ahead(sim, ahead);
	agent_poke(sim);
}

static void retire_idle(struct sim *sim, const struct lane *lane, bool only_mx)
{
	for (int i = 0; i < CONNS; i++) {
		struct conn *conn = &sim->conns[i];

		if (conn->lane && conn->place == CONN_IDLE && (!lane || conn->lane == lane) &&
		    (!only_mx || conn->lane->domain))
			hang_up(sim, conn);
	}
}

void conn_spare(struct sim *sim)
{
	retire_idle(sim, NULL, true);
}

void conn_retire(struct sim *sim, const struct lane *lane)
{
	for (int i = 0; i < CONNS; i++)
		sim->conns[i].is_retired |= sim->conns[i].lane == lane;
	retire_idle(sim, lane, false);
}

/* ---------------------------------------------------------------- what the hosts do */

static void fail(struct sim *sim, struct conn *conn, const struct lane_failure *failure)
{
	struct lane *lane = conn->lane;
	bool changed;

	sim->failures++;
	sim_log(sim, "%s: %s", lane->name, failure->text);
	changed = scheduler_failed(sim->agent.scheduler, lane, failure, conn->is_ready, sim->now);
	mirror_failed(sim, conn, failure);
	hang_up(sim, conn);
	if (changed)
		retire_idle(sim, lane, false);
}

static void offline(struct sim *sim, struct conn *conn, bool dns_only)
{
	sim->failures++;
	sim_log(sim, "%s: no %s", conn->lane->name, dns_only ? "resolver" : "network");
	scheduler_offline(sim->agent.scheduler, conn->lane, dns_only, "nothing there", sim->now);
	mirror_offline(sim, conn, dns_only);
	hang_up(sim, conn);
}

static void reach(struct sim *sim, struct conn *conn, bool by_dns)
{
	scheduler_reached(sim->agent.scheduler, conn->lane, by_dns, sim->now);
	mirror_reached(sim, conn, by_dns);
}

static void connected(struct sim *sim, struct conn *conn)
{
	struct lane *lane = conn->lane;
	struct lane_failure failure;
	bool is_there, is_well;

	if (!sim->is_online && !lane->is_local) {
		offline(sim, conn, false);
		return;
	}
	if (!sim->has_dns && lane->needs_dns) {
		offline(sim, conn, true);
		return;
	}
	if (lane->needs_dns)
		reach(sim, conn, true);
	is_well = host_greets(sim, conn->host, &failure, &is_there);
	if (is_there)
		reach(sim, conn, false);
	if (!is_well) {
		fail(sim, conn, &failure);
		return;
	}
	conn->is_ready = true;
	mirror_ready(sim, conn);
	scheduler_ready(sim->agent.scheduler, lane, sim->now);
	offer(sim, conn);
}

static void settle(struct sim *sim, struct conn *conn, size_t i, enum settle_verdict verdict, const char *reply)
{
	settle_rcpt(&sim->agent.settle, conn->load, i, verdict, reply, reply[0] ? "mx" : "", sim->now);
}

static void took(struct sim *sim, const struct load *load, size_t i)
{
	struct mail_fate *fate = mail_fate_of(sim, load->rcpts[i].address);

	if (!fate)
		return;
	if (fate->taken++ && !fate->is_excused)
		sim_fail(sim, PROPS_TWICE, "%s was delivered before", load->rcpts[i].address);
	if (!fate->taken_boot_ms)
		fate->taken_boot_ms = sim->now.boot_ms;
}

static void excuse(struct sim *sim, const struct load *load, size_t i)
{
	struct mail_fate *fate = mail_fate_of(sim, load->rcpts[i].address);

	if (fate)
		fate->is_excused = true;
}

static void refused(struct sim *sim, const struct load *load, size_t i)
{
	struct mail_fate *fate = mail_fate_of(sim, load->rcpts[i].address);

	if (fate)
		fate->refused_boot_ms = sim->now.boot_ms;
}

static void answer(struct sim *sim, struct conn *conn)
{
	struct load *load = conn->load;
	bool is_taken = false;

	sim_log(sim, "%s: answers about %s", conn->lane->name, load->rcpts[0].address);
	if (scheduler_spoke(sim->agent.scheduler, conn->lane, sim->now))
		sim_log(sim, "%s: is well again", conn->lane->name);
	mirror_spoke(sim, conn);
	for (size_t i = 0; i < load->count; i++) {
		props_tries(sim, load->rcpts[i].address);
		switch (host_answers(sim, conn->host, mail_fate_of(sim, load->rcpts[i].address))) {
		case HOST_TAKES:
			is_taken = true;
			took(sim, load, i);
			settle(sim, conn, i, SETTLE_DELIVERED, "250 ok");
			break;
		case HOST_PUTS_OFF: settle(sim, conn, i, SETTLE_TEMPORARY, "450 4.2.0 later"); break;
		case HOST_REFUSES_IT:
			refused(sim, load, i);
			settle(sim, conn, i, SETTLE_PERMANENT, "550 5.1.1 no such user");
			break;
		}
	}
	if (is_taken)
		scheduler_delivered(sim->agent.scheduler, conn->lane, sim->now);
}

static void lose(struct sim *sim, struct conn *conn, bool is_after_dot)
{
	struct load *load = conn->load;
	bool is_taken = is_after_dot && chance_below(&conn->host->dice, 2), is_guilty = false;

	sim->doubts += is_after_dot;
	sim_log(sim, "%s: breaks off %s the dot of %s", conn->lane->name, is_after_dot ? "behind" : "before",
		load->rcpts[0].address);
	if (!is_after_dot)
		is_guilty = scheduler_suspect(sim->agent.scheduler, load->job->id);
	for (size_t i = 0; i < load->count; i++) {
		if (is_after_dot) {
			excuse(sim, load, i);
			settle(sim, conn, i, SETTLE_DOUBTFUL, "");
		} else if (is_guilty) {
			settle(sim, conn, i, SETTLE_TEMPORARY, "");
		}
		if (is_taken)
			took(sim, load, i);
	}
}

static void next_one(struct sim *sim, struct conn *conn)
{
	struct load *next = conn->next;

	conn->next = NULL;
	if (next)
		begin(sim, conn, next);
	else
		offer(sim, conn);
}

/* The message under way comes to its end: well, or with the connection. */
static void answered(struct sim *sim, struct conn *conn)
{
	static const struct lane_failure broken = { .trouble = TRAFFIC_LANE, .text = "connection lost" };
	enum host_end end = !sim->is_online && !conn->lane->is_local ? HOST_BREAKS_OFF : host_ends(sim, conn->host);
	struct load *load = conn->load;

	if (end == HOST_ANSWERS)
		answer(sim, conn);
	else
		lose(sim, conn, end == HOST_LOST_AFTER_DOT);
	conn->load = NULL;
	settle_close(&sim->agent.settle, load, sim->now);
	agent_poke(sim);
	if (end == HOST_ANSWERS) {
		place(conn, CONN_NOWHERE);
		next_one(sim, conn);
		return;
	}
	if (conn->next)
		settle_close(&sim->agent.settle, conn->next, sim->now);
	conn->next = NULL;
	fail(sim, conn, &broken);
}

static int64_t due_ms(const struct conn *conn)
{
	return moment_min(conn->at_ms, conn->half_ms);
}

/* In the order of time, then of age: what one host does must not depend on how many others there are. */
static struct conn *first_due(struct sim *sim)
{
	struct conn *first = NULL;

	for (int i = 0; i < CONNS; i++) {
		struct conn *conn = &sim->conns[i];

		if (!conn->lane || due_ms(conn) > sim->now.boot_ms)
			continue;
		if (!first || due_ms(conn) < due_ms(first) ||
		    (due_ms(conn) == due_ms(first) && conn->number < first->number))
			first = conn;
	}
	return first;
}

bool conn_step(struct sim *sim)
{
	struct conn *conn;
	bool any = false;

	while ((conn = first_due(sim))) {
		any = true;
		if (!conn->is_ready)
			connected(sim, conn);
		else if (!conn->load)
			hang_up(sim, conn); /* kept long enough */
		else if (conn->at_ms <= sim->now.boot_ms)
			answered(sim, conn);
		else
			offer_ahead(sim, conn);
	}
	return any;
}

int64_t conn_deadline(const struct sim *sim)
{
	int64_t at = INT64_MAX;

	for (int i = 0; i < CONNS; i++)
		if (sim->conns[i].lane)
			at = moment_min(at, moment_min(sim->conns[i].at_ms, sim->conns[i].half_ms));
	return at;
}

/* ---------------------------------------------------------------- the end */

void conn_cut_all(struct sim *sim)
{
	for (int i = 0; i < CONNS; i++) {
		struct conn *conn = &sim->conns[i];
		struct load *load = conn->load, *next = conn->next;

		if (!conn->lane)
			continue;
		if (load) {
			lose(sim, conn, chance_below(&conn->host->dice, 3) == 0);
			conn->load = conn->next = NULL;
			settle_close(&sim->agent.settle, load, sim->now);
			if (next)
				settle_close(&sim->agent.settle, next, sim->now);
		}
		hang_up(sim, conn);
	}
}

/* What a server had in hand it may have taken. */
static void lose_unheard(struct sim *sim, struct conn *conn)
{
	for (size_t i = 0; conn->load && i < conn->load->count; i++)
		if (chance_below(&conn->host->dice, 3) == 0) {
			excuse(sim, conn->load, i);
			took(sim, conn->load, i);
		}
}

void conn_drop_all(struct sim *sim)
{
	for (int i = 0; i < CONNS; i++) {
		struct conn *conn = &sim->conns[i];

		if (!conn->lane)
			continue;
		lose_unheard(sim, conn);
		load_free(conn->load);
		load_free(conn->next);
		mirror_gone(sim, conn);
		*conn = (struct conn){ .lane = NULL };
	}
}

bool conn_is_busy(const struct sim *sim, const struct host *host)
{
	for (int i = 0; i < CONNS; i++)
		if (sim->conns[i].lane && sim->conns[i].host == host && sim->conns[i].place != CONN_IDLE)
			return true;
	return false;
}

size_t conn_loads(const struct sim *sim)
{
	size_t count = 0;

	for (int i = 0; i < CONNS; i++) {
		count += sim->conns[i].lane && sim->conns[i].load ? sim->conns[i].load->count : 0;
		count += sim->conns[i].lane && sim->conns[i].next ? sim->conns[i].next->count : 0;
	}
	return count;
}

bool conn_is_probing(const struct sim *sim)
{
	for (int i = 0; i < CONNS; i++)
		if (sim->conns[i].lane && sim->conns[i].is_probe && !sim->conns[i].is_ready)
			return true;
	return false;
}
