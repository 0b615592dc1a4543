/*
 * A simulated week: senders, servers that fail in all ways, an unsteady network, crashes and a clock that jumps, around
 * the real scheduler and the real queue in virtual time.
 *
 * Properties, on every seed: each accepted recipient ends as delivered or bounced, none is lost; none is delivered twice
 * unless an answer was lost; a failing host is not hammered; a refused account is left alone; nothing stays in memory.
 * DELIVERY_SEED=n runs one seed alone.
 */
#include "delivery_rig.h"

enum { LANES = 5, CONNS = 32, MAILS = 120, RCPTS = 4, SEEDS = 25 };

static const char CONF[] =
	"smarthost \"a\" { host = \"a.example\" port = 25 tls = none auth = none connections = 3 }\n"
	"smarthost \"b\" { host = \"192.0.2.2\" port = 25 tls = none auth = none connections = 2 recipients_per_message = 2 }\n"
	"smarthost \"c\" { host = \"c.example\" port = 25 tls = none auth = none rate = \"20/min\" }\n"
	"mx { tls = none connections = 2 }\n"
	"route \"c\" { to = {\"*@c.example\"} via = {\"c\"} }\n"
	"route \"direct\" { to = {\"*@d.example\", \"*@e.example\"} via = {\"mx\"} }\n"
	"route \"all\" { via = {\"a\", \"b\"} }\n";
static const char CONF_TURNED[] =
	"smarthost \"a\" { host = \"a.example\" port = 25 tls = none auth = none connections = 3 }\n"
	"smarthost \"b\" { host = \"192.0.2.2\" port = 25 tls = none auth = none connections = 2 recipients_per_message = 2 }\n"
	"smarthost \"c\" { host = \"c.example\" port = 25 tls = none auth = none rate = \"20/min\" }\n"
	"mx { tls = none connections = 2 }\n"
	"route \"c\" { to = {\"*@c.example\"} via = {\"c\", \"b\"} }\n"
	"route \"direct\" { to = {\"*@d.example\", \"*@e.example\"} via = {\"mx=2\", \"b=1\"} }\n"
	"route \"all\" { via = {\"b=1\", \"a=3\"} }\n";

enum weather { UP, DOWN, REFUSES, DROPS, ANGRY, WEATHERS }; /* of a host */

struct link {
	struct lane *lane; /* NULL: free */
	bool is_ready;
	int64_t at_ms; /* boot time of what happens next; INT64_MAX: idle */
	struct load *load;
};

struct fate {
	uint64_t id;
	int delivered[RCPTS], count;
	bool excused[RCPTS]; /* an answer was lost, or a crash came before the commit */
};

struct sim {
	struct rig rig;
	struct chance chance;
	enum weather weather[LANES];
	int64_t failed_ms[LANES]; /* boot time of the last connection in vain; 0: something has changed since */
	bool is_online, is_turned, is_calm;
	struct link links[CONNS];
	struct fate fates[MAILS];
	int mails, next_mail;
	uint64_t doubts, crashes, connects;
};

static uint64_t roll(struct sim *sim, uint64_t below)
{
	return chance_below(&sim->chance, below);
}

static int lane_number(const struct lane *lane)
{
	return (lane->domain ? lane->domain[0] : lane->name[0]) - 'a';
}

static struct fate *fate_of(struct sim *sim, uint64_t id)
{
	for (int i = 0; i < sim->mails; i++)
		if (sim->fates[i].id == id)
			return &sim->fates[i];
	return NULL; /* a report */
}

/* ---------------------------------------------------------------- connections */

static void hang_up(struct sim *sim, struct link *link)
{
	struct lane *lane = link->lane;

	if (link->at_ms == INT64_MAX)
		lane->idle--;
	link->lane = NULL;
	scheduler_gone(sim->rig.scheduler, lane, link->is_ready, sim->rig.now);
}

static void feed(struct sim *sim, struct link *link)
{
	struct load *load = rig_take(&sim->rig, link->lane);

	if (!load) {
		if (link->at_ms != INT64_MAX)
			link->lane->idle++;
		link->at_ms = INT64_MAX;
		return;
	}
	if (link->at_ms == INT64_MAX)
		link->lane->idle--;
	link->load = load;
	link->at_ms = sim->rig.now.boot_ms + 5 + (int64_t)roll(sim, 3000);
}

static void connect_to(struct sim *sim, struct lane *lane)
{
	sim->connects++;
	for (int i = 0; i < CONNS; i++)
		if (!sim->links[i].lane) {
			sim->links[i] = (struct link){ .lane = lane,
						       .at_ms = sim->rig.now.boot_ms + 1 + (int64_t)roll(sim, 500) };
			return;
		}
	fail_msg("more than %d connections", CONNS);
}

/* Nobody is hammered: not a host, not an account, not the network. */
static void note_vain(struct sim *sim, const struct lane *lane, bool is_refused)
{
	int64_t *failed_ms = &sim->failed_ms[lane_number(lane)], now_ms = sim->rig.now.boot_ms;
	int64_t least_ms = is_refused ? 50 * 60 * 1000 : 4000;

	if (*failed_ms && now_ms - *failed_ms < least_ms)
		fail_msg("%s was tried again in vain after %lld ms", lane->name, (long long)(now_ms - *failed_ms));
	*failed_ms = now_ms;
}

static void connected(struct sim *sim, struct link *link)
{
	struct lane *lane = link->lane;
	struct rig *rig = &sim->rig;
	enum weather weather = sim->weather[lane_number(lane)];
	struct lane_failure failure = { .trouble = TRAFFIC_LANE, .text = "refused" };

	if (!sim->is_online) {
		note_vain(sim, lane, false);
		scheduler_offline(rig->scheduler, lane, lane->needs_dns, "no network", rig->now);
		hang_up(sim, link);
		return;
	}
	scheduler_reached(rig->scheduler, lane, true, rig->now);
	scheduler_reached(rig->scheduler, lane, false, rig->now);
	if (weather == DOWN || weather == REFUSES) {
		failure.trouble = weather == REFUSES ? TRAFFIC_ACCOUNT : TRAFFIC_LANE;
		failure.is_parked = weather == REFUSES;
		note_vain(sim, lane, weather == REFUSES);
		scheduler_failed(rig->scheduler, lane, &failure, false, rig->now);
		hang_up(sim, link);
		return;
	}
	link->is_ready = true;
	scheduler_ready(rig->scheduler, lane, rig->now);
	feed(sim, link);
}

/* The server has taken recipient i, whether we hear of it or not. */
static void take_in(struct sim *sim, const struct load *load, size_t i)
{
	struct fate *fate = fate_of(sim, load->job->id);

	if (fate)
		fate->delivered[load->rcpts[i].n]++;
}

static void excuse(struct sim *sim, const struct load *load, size_t i)
{
	struct fate *fate = fate_of(sim, load->job->id);

	if (fate)
		fate->excused[load->rcpts[i].n] = true;
}

static void answer_rcpt(struct sim *sim, struct load *load, size_t i)
{
	struct rig *rig = &sim->rig;
	uint64_t luck = sim->is_calm ? 99 : roll(sim, 100);

	if (luck < 15) {
		settle_rcpt(&rig->settle, load, i, SETTLE_TEMPORARY, "450 4.2.0 greylisted", "mx", rig->now);
	} else if (luck < 20 && fate_of(sim, load->job->id)) { /* a report that is refused would be kept for ever */
		settle_rcpt(&rig->settle, load, i, SETTLE_PERMANENT, "550 5.1.1 no such user", "mx", rig->now);
	} else {
		take_in(sim, load, i);
		settle_rcpt(&rig->settle, load, i, SETTLE_DELIVERED, "250 ok", "mx", rig->now);
	}
}

/* The message on the wire comes to its end: well, or with the connection. */
static void answered(struct sim *sim, struct link *link)
{
	struct load *load = link->load;
	struct lane *lane = link->lane;
	struct rig *rig = &sim->rig;
	enum weather weather = sim->weather[lane_number(lane)];
	struct lane_failure failure = { .trouble = TRAFFIC_LANE, .text = "connection lost" };
	bool is_lost = weather == DOWN || !sim->is_online || (weather == DROPS && roll(sim, 2));
	bool after_dot = is_lost && roll(sim, 3) == 0;

	link->load = NULL;
	link->at_ms = 0;
	if (!is_lost)
		scheduler_spoke(rig->scheduler, lane, rig->now);
	for (size_t i = 0; i < load->count; i++) {
		if (!is_lost) {
			answer_rcpt(sim, load, i);
		} else if (after_dot) {
			if (roll(sim, 2))
				take_in(sim, load, i);
			excuse(sim, load, i);
			settle_rcpt(&rig->settle, load, i, SETTLE_DOUBTFUL, "connection lost", "", rig->now);
			sim->doubts++;
		} else if (scheduler_suspect(rig->scheduler, load->job->id)) {
			settle_rcpt(&rig->settle, load, i, SETTLE_TEMPORARY, "connection lost", "", rig->now);
		}
	}
	settle_close(&rig->settle, load, rig->now);
	if (is_lost) {
		scheduler_failed(rig->scheduler, lane, &failure, true, rig->now);
		hang_up(sim, link);
		return;
	}
	scheduler_delivered(rig->scheduler, lane, rig->now);
	feed(sim, link);
}

/* ---------------------------------------------------------------- the world turns */

static void change_something(struct sim *sim)
{
	struct rig *rig = &sim->rig;
	int n = (int)roll(sim, LANES);

	memset(sim->failed_ms, 0, sizeof sim->failed_ms);
	switch (roll(sim, 6)) {
	case 0:
		sim->is_online = !sim->is_online;
		if (sim->is_online)
			scheduler_network_changed(rig->scheduler, rig->now);
		break;
	case 1:
		rig->now.wall_ms += (int64_t)roll(sim, 2 * RIG_HOUR) - RIG_HOUR;
		if (roll(sim, 2)) {
			scheduler_woke(rig->scheduler, rig->now);
			calendar_rewind(&rig->calendar);
			sweep_start(&rig->sweep, false, rig->now);
		}
		break;
	case 2:
		if (roll(sim, 4) == 0)
			scheduler_pause(rig->scheduler, NULL, "root", rig->now);
		else
			scheduler_resume(rig->scheduler, NULL, rig->now);
		break;
	default: sim->weather[n] = (enum weather)roll(sim, WEATHERS); break;
	}
}

static void turn_routes(struct sim *sim)
{
	struct config *next;

	memset(sim->failed_ms, 0, sizeof sim->failed_ms);
	sim->is_turned = !sim->is_turned;
	next = rig_config(&sim->rig, sim->is_turned ? CONF_TURNED : CONF);
	scheduler_configure(sim->rig.scheduler, next, NULL, NULL, sim->rig.now);
	sweep_start(&sim->rig.sweep, true, sim->rig.now);
	config_unref(sim->rig.config);
	sim->rig.config = next;
}

static void crash(struct sim *sim)
{
	sim->crashes++;
	for (int i = 0; i < CONNS; i++) {
		struct link *link = &sim->links[i];

		if (link->load)
			for (size_t r = 0; r < link->load->count; r++)
				if (roll(sim, 3) == 0) {
					take_in(sim, link->load, r);
					excuse(sim, link->load, r);
				}
		load_free(link->load);
		*link = (struct link){ .lane = NULL };
	}
	rig_crash(&sim->rig);
	rig_pass(&sim->rig, (int64_t)roll(sim, RIG_HOUR));
	rig_start(&sim->rig);
	memset(sim->failed_ms, 0, sizeof sim->failed_ms);
}

static void arrive(struct sim *sim)
{
	static const char *const submitters[] = { "uid:1", "uid:2", "user:bob" };
	static const struct {
		const char *rcpt, *target;
	} ways[] = { { NULL, "a,b" },
		     { NULL, "a,b" },
		     { "x@c.example", "c" },
		     { "x@d.example", "mx:d.example" },
		     { "x@e.example", "mx:e.example" } };
	uint64_t way = roll(sim, 5);
	struct fate *fate = &sim->fates[sim->mails];

	fate->count = ways[way].rcpt ? 1 : 1 + (int)roll(sim, RCPTS);
	fate->id = rig_mail(&sim->rig, (struct rig_mail){
					       .count = (size_t)fate->count,
					       .rcpt = ways[way].rcpt,
					       .target = ways[way].target,
					       .submitter = submitters[roll(sim, 3)],
					       .lifetime_ms = RIG_HOUR + (int64_t)roll(sim, 3 * RIG_DAY),
					       .warn_ms = 4 * RIG_HOUR,
				       });
	sim->mails++;
}

static int64_t next_moment(struct sim *sim)
{
	struct rig *rig = &sim->rig;
	int64_t at = scheduler_deadline(rig->scheduler);

	at = moment_min(at, settle_deadline(&rig->settle));
	at = moment_min(at, rig->bounce.again_boot_ms);
	if (rig->calendar.next_wall_ms != INT64_MAX)
		at = moment_min(at, moment_boot(rig->now, rig->calendar.next_wall_ms));
	for (int i = 0; i < CONNS; i++)
		if (sim->links[i].lane)
			at = moment_min(at, sim->links[i].at_ms);
	return at;
}

static void step(struct sim *sim)
{
	struct scheduler_action action;

	rig_turn(&sim->rig);
	for (int i = 0; i < CONNS; i++) {
		struct link *link = &sim->links[i];

		if (!link->lane || link->at_ms > sim->rig.now.boot_ms)
			continue;
		if (!link->is_ready)
			connected(sim, link);
		else if (link->load)
			answered(sim, link);
	}
	/* Connections without work are closed now and then. */
	for (int i = 0; i < CONNS; i++)
		if (sim->links[i].lane && sim->links[i].at_ms == INT64_MAX && roll(sim, 3) == 0)
			hang_up(sim, &sim->links[i]);
	while (scheduler_step(sim->rig.scheduler, sim->rig.now, &action)) {
		if (action.kind == SCHEDULER_CONNECT) {
			connect_to(sim, action.lane);
			continue;
		}
		for (int i = 0; i < CONNS; i++)
			if (sim->links[i].lane == action.lane && sim->links[i].at_ms == INT64_MAX) {
				feed(sim, &sim->links[i]);
				break;
			}
	}
	rig_turn(&sim->rig);
}

/* Until `boot_ms`, from event to event. */
static void run_until(struct sim *sim, int64_t boot_ms)
{
	int idle = 0;

	for (;;) {
		int64_t next;

		step(sim);
		next = next_moment(sim);
		idle = next <= sim->rig.now.boot_ms ? idle + 1 : 0;
		if (idle > 1000)
			fail_msg("the clock does not move on: something is due and nobody does it");
		if (next > boot_ms) {
			rig_pass(&sim->rig, boot_ms - sim->rig.now.boot_ms);
			return;
		}
		if (next > sim->rig.now.boot_ms)
			rig_pass(&sim->rig, next - sim->rig.now.boot_ms);
	}
}

/* Everything works again; in the end nothing may be left. */
static void calm_down(struct sim *sim)
{
	sim->is_online = sim->is_calm = true;
	memset(sim->weather, 0, sizeof sim->weather);
	scheduler_resume(sim->rig.scheduler, NULL, sim->rig.now);
	scheduler_network_changed(sim->rig.scheduler, sim->rig.now);
	run_until(sim, sim->rig.now.boot_ms + 8 * RIG_DAY);
	run_until(sim, sim->rig.now.boot_ms + 60 * 1000);
}

static void check_fates(struct sim *sim)
{
	for (int i = 0; i < sim->mails; i++) {
		struct fate *fate = &sim->fates[i];
		bool ended[RCPTS] = { false };
		struct queue_outcome o;
		uint32_t from = 0;

		while (queue_view_history_of(queue_view(sim->rig.queue), fate->id, &from, &o) == QUEUE_OK) {
			assert_false(ended[o.n]);
			ended[o.n] = true;
			if (o.kind == QUEUE_DELIVERED)
				assert_true(fate->delivered[o.n] > 0);
			else
				assert_true(fate->delivered[o.n] == 0 || fate->excused[o.n]);
		}
		for (int n = 0; n < fate->count; n++) {
			assert_true(ended[n]);
			if (!fate->excused[n])
				assert_true(fate->delivered[n] <= 1);
		}
	}
	queue_view_end(sim->rig.queue);
}

static void check_memory(struct sim *sim)
{
	struct queue_flow flow;
	uint32_t id;

	assert_int_equal(rig_messages(&sim->rig), 0);
	assert_int_equal(sim->rig.scheduler->flight.count, 0);
	assert_int_equal(sim->rig.scheduler->flows.count, 0);
	assert_in_range(sim->rig.scheduler->lanes.mx_count, 0, sim->rig.scheduler->lanes.mx_open);
	assert_int_equal(sim->rig.bounce.count, 0);
	assert_true(settle_is_idle(&sim->rig.settle));
	assert_int_equal(queue_view_flow_next(queue_view(sim->rig.queue), 0, &id, &flow), QUEUE_NOT_FOUND);
	queue_view_end(sim->rig.queue);
}

static void simulate(uint64_t seed)
{
	struct sim *sim = MEM_NEW(struct sim);

	print_message("seed %llu …\n", (unsigned long long)seed);
	rig_open(&sim->rig, CONF);
	sim->chance.state = seed;
	sim->is_online = true;
	while (sim->mails < MAILS) {
		uint64_t luck = roll(sim, 100);

		if (luck < 50)
			arrive(sim);
		else if (luck < 60)
			change_something(sim);
		else if (luck < 63)
			crash(sim);
		else if (luck < 65)
			turn_routes(sim);
		run_until(sim, sim->rig.now.boot_ms + (int64_t)roll(sim, roll(sim, 10) ? 60 * 1000 : 6 * RIG_HOUR));
	}
	calm_down(sim);
	check_fates(sim);
	check_memory(sim);
	print_message("seed %llu: %llu connections, %llu crashes, %llu doubts, %llu expired\n",
		      (unsigned long long)seed, (unsigned long long)sim->connects, (unsigned long long)sim->crashes,
		      (unsigned long long)sim->doubts, (unsigned long long)sim->rig.bounce.expired);
	for (int i = 0; i < CONNS; i++)
		if (sim->links[i].lane)
			hang_up(sim, &sim->links[i]);
	rig_close(&sim->rig);
	mem_free(sim);
}

static void nothing_is_lost_and_nothing_delivered_twice_without_a_reason(void **state)
{
	const char *given = getenv("DELIVERY_SEED");

	(void)state;
	if (given)
		simulate(strtoull(given, NULL, 10));
	else
		for (uint64_t seed = 1; seed <= SEEDS; seed++)
			simulate(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_and_nothing_delivered_twice_without_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
