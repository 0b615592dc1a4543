/* More flows than memory shall hold: who is in the window, who finds it again, and what it costs. */
#include "delivery_rig.h"

#include <malloc.h>
#include <time.h>

#include "delivery/lineup.h"
#include "delivery/rest.h"
#include "delivery/room.h"

static const char CONF[] = "mx { tls = none connections = 4 }\n"
			   "route \"all\" { via = {\"mx\"} }\n";

/* Without the watcher: as mail that was there before the agent was started. */
static void fill(struct rig *rig, int from, int count, const char *submitter, uint8_t band)
{
	queue_set_watcher(rig->queue, NULL, NULL);
	for (int i = from; i < from + count; i++) {
		char target[64];

		snprintf(target, sizeof target, "mx:d%06d.example", i);
		rig_hand_in(rig, (struct rig_mail){ .target = target, .submitter = submitter, .band = band });
		if (i % 1000 == 999)
			queue_wait(rig->queue);
	}
	queue_wait(rig->queue);
	queue_view_end(rig->queue);
	queue_set_watcher(rig->queue, rig_watch, rig);
}

/* One turn of delivery.c: no more timers than this. */
static void timers(struct rig *rig, int max)
{
	struct queue_timer timer;

	calendar_news(&rig->calendar, rig->scheduler->rested_wall_ms);
	rig->scheduler->rested_wall_ms = INT64_MAX;
	for (int i = 0; i < max && calendar_next(&rig->calendar, rig->now.wall_ms, &timer); i++)
		if (timer.kind == QUEUE_TIMER_FLOW)
			scheduler_timer(rig->scheduler, &timer, rig->now);
}

static void answers(struct rig *rig)
{
	queue_wait(rig->queue);
	queue_view_end(rig->queue);
}

static bool deliver_one(struct rig *rig, char name[ROUTE_LANE_SIZE])
{
	struct scheduler_action action;
	struct load *load;

	if (!rig_step(rig, &action))
		return false;
	snprintf(name, ROUTE_LANE_SIZE, "%s", action.lane->name);
	scheduler_ready(rig->scheduler, action.lane, rig->now);
	load = rig_take(rig, action.lane);
	assert_non_null(load);
	scheduler_spoke(rig->scheduler, action.lane, rig->now);
	settle_rcpt(&rig->settle, load, 0, SETTLE_DELIVERED, "250 ok", "", rig->now);
	settle_close(&rig->settle, load, rig->now);
	scheduler_gone(rig->scheduler, action.lane, true, rig->now);
	return true;
}

static void a_line_takes_half_of_the_window_and_leaves_room_for_others(void **state)
{
	struct window w = { 0 };
	unsigned a = window_line(1, "uid:1"), b = window_line(1, "uid:2"), urgent = window_line(0, "uid:1");

	(void)state;
	assert_true(a != b && a != urgent);
	while (window_has_room(&w, a))
		window_enter(&w, a);
	assert_int_equal(w.lines[a].count, WINDOW_FLOWS / 2);
	while (window_has_room(&w, b))
		window_enter(&w, b);
	assert_true(window_has_room(&w, urgent));
	while (w.lines[a].count && !window_has_room(&w, a))
		window_leave(&w, a);
	assert_in_range(w.lines[a].count, WINDOW_FLOWS / 4, WINDOW_FLOWS / 2);
	for (unsigned line = 0; line < WINDOW_LINES; line++)
		while (window_has_room(&w, line))
			window_enter(&w, line);
	assert_in_range(w.count, 0, WINDOW_FLOWS);
}

static void who_was_turned_away_earlier_is_not_forgotten(void **state)
{
	struct window w = { 0 };
	unsigned line = window_line(1, "uid:1");

	(void)state;
	window_turn_away(&w, line, 5000);
	assert_int_equal(w.lines[line].at.when_ms, 4999);
	window_turn_away(&w, line, 9000);
	assert_int_equal(w.lines[line].at.when_ms, 4999);
	w.lines[line].at = (struct queue_timer){ 7000, QUEUE_TIMER_FLOW, 3 }; /* the cursor has passed it */
	window_turn_away(&w, line, 7000);
	assert_int_equal(w.lines[line].at.when_ms, 6999);
	assert_int_equal(w.shorts, 1);
}

static double cpu_ms(void)
{
	struct timespec at;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
	return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

/* What is resident and not of a mapped file: kB. */
static long resident_kb(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[128];
	long kb = 0;

	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, "RssAnon:", 8) == 0)
			kb = atol(line + 8);
	if (file)
		fclose(file);
	return kb;
}

/* DEPTH_FLOWS=1000000 in the environment: as the round's figures are measured. */
static void more_flows_than_the_window_holds_are_all_delivered(void **state)
{
	const char *wanted = getenv("DEPTH_FLOWS");
	int many = wanted ? atoi(wanted) : 30000;
	struct rig rig;
	char name[ROUTE_LANE_SIZE];
	int delivered = 0, idle = 0;
	size_t most = 0;
	long before_kb, most_kb = 0;
	double from_ms;

	(void)state;
	rig_open(&rig, CONF);
	fill(&rig, 0, many, "uid:1", 1);
	malloc_trim(0);
	before_kb = resident_kb();
	from_ms = cpu_ms();
	while (delivered < many && idle < 100) {
		bool any = false;

		timers(&rig, 256);
		for (int i = 0; i < 100 && deliver_one(&rig, name); i++) {
			delivered++;
			any = true;
		}
		most = rig.scheduler->flows.count > most ? rig.scheduler->flows.count : most;
		if (delivered % (many / 10) < 100) {
			most_kb = resident_kb() > most_kb ? resident_kb() : most_kb;
			if (wanted)
				print_message("%d: %.1f us of this thread's CPU each, %ld kB more\n", delivered,
					      1e3 * (cpu_ms() - from_ms) / (delivered + 1), most_kb - before_kb);
		}
		assert_int_equal(rig.scheduler->flows.count, rig.scheduler->window.count);
		answers(&rig);
		rig_pass(&rig, 10);
		idle = any ? 0 : idle + 1;
	}
	assert_int_equal(delivered, many);
	assert_int_equal(rig_messages(&rig), 0);
	assert_in_range(most, 100, WINDOW_FLOWS / 2);
	print_message("%.1f us for each of %d flows, %zu in memory at most, %ld kB\n",
		      1e3 * (cpu_ms() - from_ms) / many, many, most, most_kb - before_kb);
	for (int i = 0; i < 400; i++) {
		rig_nothing(&rig);
		answers(&rig);
		rig_pass(&rig, 100);
	}
	assert_int_equal(rig.scheduler->flows.count, 0);
	assert_int_equal(rig.scheduler->window.count, 0);
	assert_int_equal(rig.scheduler->window.shorts, 0);
	struct queue_flow flow;
	uint32_t id;

	assert_int_equal(queue_view_flow_next(queue_view(rig.queue), 0, &id, &flow), QUEUE_NOT_FOUND);
	queue_view_end(rig.queue);
	rig_close(&rig);
}

static void a_bulk_submitter_keeps_nobody_else_out(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *bulk = NULL;
	int opened = 0;
	bool others = false;

	(void)state;
	rig_open(&rig, CONF);
	fill(&rig, 0, 25000, "uid:1", 1);
	fill(&rig, 500000, 1, "uid:2", 1);
	/* At the start: its connections are all taken before the other's mail is seen. */
	while (rig.calendar.next_wall_ms <= rig.now.wall_ms) {
		timers(&rig, 256);
		while (rig_step(&rig, &action)) {
			assert_int_equal(action.kind, SCHEDULER_CONNECT);
			others |= strcmp(action.lane->name, "mx:d500000.example") == 0;
			bulk = others ? bulk : action.lane;
			opened++;
		}
	}
	assert_int_equal(rig.scheduler->window.shorts, 1);
	assert_int_equal(rig.scheduler->flows.count, WINDOW_FLOWS / 2 + 1);
	for (int i = 0; i < 3 && !others; i++) {
		scheduler_gone(rig.scheduler, bulk, false, rig.now);
		assert_true(rig_step(&rig, &action));
		others |= strcmp(action.lane->name, "mx:d500000.example") == 0;
		bulk = others ? bulk : action.lane;
	}
	assert_true(others);
	/* News of a third goes straight in. */
	rig_mail(&rig, (struct rig_mail){ .target = "mx:new.example", .submitter = "uid:3" });
	assert_non_null(lanes_find(&rig.scheduler->lanes, SPAN("mx:new.example")));
	rig_close(&rig);
}

/* Everything that is on disk about flows that were parked: their wake times, in the future though their mail is due. */
static int parked(struct rig *rig)
{
	struct queue_timer timer = { .when_ms = rig->now.wall_ms };
	int count = 0;

	while (queue_view_timer(queue_view(rig->queue), timer, &timer) == QUEUE_OK)
		count += timer.kind == QUEUE_TIMER_FLOW;
	queue_view_end(rig->queue);
	return count;
}

static void refuse_for(struct rig *rig, int64_t ms, uint8_t *tried, int many)
{
	struct scheduler_action action;
	int at;

	for (int64_t until_ms = rig->now.boot_ms + ms; rig->now.boot_ms < until_ms; rig_pass(rig, 50)) {
		timers(rig, 256);
		while (rig_step(rig, &action)) {
			assert_int_equal(sscanf(action.lane->name, "mx:d%d.example", &at), 1);
			assert_in_range(at, 0, many - 1);
			tried[at]++;
			rig_refuse(rig, action.lane, TRAFFIC_LANE, false);
		}
		answers(rig);
		assert_in_range(rig->scheduler->flows.count, 0, WINDOW_FLOWS / 2 + 1);
	}
}

static void dead_domains_give_way_and_come_back_when_their_time_has_come(void **state)
{
	enum { MANY = 12000 };
	static uint8_t tried[MANY];
	struct rig rig;
	char name[ROUTE_LANE_SIZE];
	int delivered = 0;

	(void)state;
	rig_open(&rig, "reconnect { first = 60s factor = 2 max = 15m }\n"
		       "mx { tls = none connections = 4 }\n"
		       "route \"all\" { via = {\"mx\"} }\n");
	memset(tried, 0, sizeof tried);
	fill(&rig, 0, MANY, "uid:1", 1);
	refuse_for(&rig, 20 * 1000, tried, MANY);
	for (int i = 0; i < MANY; i++)
		if (tried[i] != 1)
			fail_msg("domain %d was tried %d times", i, tried[i]);
	assert_int_equal(rig.scheduler->window.shorts, 0);
	assert_true(parked(&rig) >= MANY - WINDOW_FLOWS / 2);
	refuse_for(&rig, 75 * 1000, tried, MANY);
	for (int i = 0; i < MANY; i++)
		if (tried[i] != 2)
			fail_msg("domain %d was tried %d times after its backoff", i, tried[i]);
	/* A word to all lanes reaches those that are parked, too. */
	assert_true(parked(&rig) > 0);
	assert_true(scheduler_resume(rig.scheduler, NULL, rig.now));
	for (int idle = 0; idle < 100; rig_pass(&rig, 10)) {
		idle++;
		timers(&rig, 256);
		for (int i = 0; i < 100 && deliver_one(&rig, name); i++, delivered++)
			idle = 0;
		answers(&rig);
	}
	assert_int_equal(delivered, MANY);
	rig_close(&rig);
}

static void a_flow_that_is_called_while_it_is_put_to_rest_stays(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, CONF);
	rig_mail(&rig, (struct rig_mail){ .target = "mx:a.example" });
	lane = rig_connect(&rig, "mx:a.example");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_null(rig_take(&rig, lane));
	rig_pass(&rig, SCHEDULER_REST_MS);
	pthread_mutex_lock(&rig.disk);
	rig_nothing(&rig); /* it is being put to rest, … */
	scheduler_flow_due(rig.scheduler, 1, rig.now);
	pthread_mutex_unlock(&rig.disk);
	answers(&rig);
	assert_int_equal(rig.scheduler->flows.count, 1); /* … and is needed again before that is written */
	rig_nothing(&rig);
	rig_pass(&rig, SCHEDULER_REST_MS);
	rig_nothing(&rig);
	answers(&rig);
	assert_null(rig_take(&rig, lane));
	rig_pass(&rig, SCHEDULER_REST_MS);
	rig_nothing(&rig);
	answers(&rig);
	assert_int_equal(rig.scheduler->flows.count, 0);
	rig_close(&rig);
}

static void a_clock_that_went_back_leaves_nobody_parked_for_a_year(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct queue_op *op;
	int64_t year_ms = 365LL * RIG_DAY;

	(void)state;
	rig_open(&rig, CONF);
	fill(&rig, 0, 1, "uid:1", 1);
	op = queue_op_new(rig.queue);
	queue_op_flow_park(op, 1, rig.now.wall_ms + year_ms + 60000);
	queue_op_submit(op, NULL, NULL);
	answers(&rig);
	rig.now.wall_ms += year_ms;
	scheduler_woke(rig.scheduler, rig.now);
	rig_turn(&rig);
	rig_nothing(&rig);
	rig.now.wall_ms -= year_ms;
	scheduler_woke(rig.scheduler, rig.now);
	rig_nothing(&rig); /* looks for them */
	rig_turn(&rig);
	assert_true(rig_step(&rig, &action));
	rig_close(&rig);
}

static const char WORK[] = "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none connections = 3 "
			   "recipients_per_message = 100 rate = \"600000/min\" }\n"
			   "route \"all\" { via = {\"work\"} }\n";

static void recipients_and_messages_cost_one_look_each(void **state)
{
	enum { MESSAGES = 20000 };
	struct rig rig;
	struct lane *lane;
	struct flow *flow;
	int taken = 0;

	(void)state;
	rig_open(&rig, WORK);
	rig_mail(&rig, (struct rig_mail){ .count = 1000, .submitter = "uid:7" });
	lane = rig_connect(&rig, "work");
	for (; rig_messages(&rig); taken++) {
		struct load *load = rig_take(&rig, lane);

		assert_int_equal(load->count, 100);
		rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	}
	assert_int_equal(taken, 10);
	flow = flow_table_find(&rig.scheduler->flows, 1);
	assert_in_range(flow->reads, 1000, 1000 + 3 * 10);
	for (int i = 0; i < MESSAGES; i++) {
		rig_hand_in(&rig, (struct rig_mail){ .submitter = "uid:8" });
		if (i % 1000 == 999)
			queue_wait(rig.queue);
	}
	answers(&rig);
	for (int i = 0; i < MESSAGES / 2; i++) {
		struct load *load = rig_take(&rig, lane);

		assert_non_null(load);
		settle_rcpt(&rig.settle, load, 0, SETTLE_DELIVERED, "250 ok", "", rig.now);
		settle_close(&rig.settle, load, rig.now);
	}
	flow = flow_table_find(&rig.scheduler->flows, 2);
	print_message("%.2f entries were read for each message\n", (double)flow->reads / (MESSAGES / 2.0));
	assert_in_range(flow->reads, MESSAGES / 2, 3 * MESSAGES / 2);
	rig_close(&rig);
}

static void an_interactive_user_waits_for_one_turn_of_a_flood(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;
	uint64_t id;
	int turns = 0;

	(void)state;
	rig_open(&rig, WORK);
	for (int i = 0; i < 20000; i++) {
		rig_hand_in(&rig, (struct rig_mail){ .submitter = "uid:1" });
		if (i % 1000 == 999)
			queue_wait(rig.queue);
	}
	answers(&rig);
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	load = rig_take(&rig, lane);
	id = rig_mail(&rig, (struct rig_mail){ .submitter = "uid:2" });
	for (; rig_has(&rig, id); turns++) {
		rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
		load = rig_take(&rig, lane);
	}
	assert_in_range(turns, 1, 2); /* what is under way, and its own */
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	rig_close(&rig);
}

static void restart(struct rig *rig, int64_t boot_ms, int64_t wall_ms)
{
	scheduler_stop(rig->scheduler, rig->now);
	rig_turn(rig);
	rig_crash(rig);
	rig->now.boot_ms += boot_ms;
	rig->now.wall_ms += wall_ms;
	rig_start(rig);
	rig_turn(rig);
}

static int send_all(struct rig *rig)
{
	struct lane *lane = rig_lane(rig, "work");
	struct load *load;
	int sent = 0;

	for (; (load = rig_take(rig, lane)); sent++)
		rig_settle(rig, load, SETTLE_DELIVERED, "250 ok");
	return sent;
}

static void a_restart_neither_gives_nor_takes_tokens_whatever_the_clock_does(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none rate = \"60/h\" }\n"
		       "route \"all\" { via = {\"work\"} }\n");
	for (int i = 0; i < 200; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	assert_int_equal(send_all(&rig), 60);
	restart(&rig, 0, 0);
	assert_int_equal(send_all(&rig), 0); /* no second burst */
	restart(&rig, 10 * 60 * 1000, 10 * 60 * 1000);
	assert_int_equal(send_all(&rig), 10); /* what flowed in meanwhile */
	rig_pass(&rig, 5 * 60 * 1000);
	restart(&rig, 0, 0);
	assert_int_equal(send_all(&rig), 5); /* nothing is lost */
	restart(&rig, 1000, -2LL * RIG_DAY);
	assert_int_equal(send_all(&rig), 0); /* set back: as if no time had passed */
	rig_pass(&rig, 60 * 1000 + 1);
	assert_int_equal(send_all(&rig), 1);
	/* While it runs the clock does not count at all. */
	rig.now.wall_ms += 100LL * RIG_DAY;
	scheduler_woke(rig.scheduler, rig.now);
	assert_int_equal(send_all(&rig), 0);
	restart(&rig, 0, 0);
	assert_int_equal(send_all(&rig), 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_takes_half_of_the_window_and_leaves_room_for_others),
		cmocka_unit_test(who_was_turned_away_earlier_is_not_forgotten),
		cmocka_unit_test(more_flows_than_the_window_holds_are_all_delivered),
		cmocka_unit_test(a_bulk_submitter_keeps_nobody_else_out),
		cmocka_unit_test(dead_domains_give_way_and_come_back_when_their_time_has_come),
		cmocka_unit_test(a_flow_that_is_called_while_it_is_put_to_rest_stays),
		cmocka_unit_test(a_clock_that_went_back_leaves_nobody_parked_for_a_year),
		cmocka_unit_test(recipients_and_messages_cost_one_look_each),
		cmocka_unit_test(an_interactive_user_waits_for_one_turn_of_a_flood),
		cmocka_unit_test(a_restart_neither_gives_nor_takes_tokens_whatever_the_clock_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
