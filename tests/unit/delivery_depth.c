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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_takes_half_of_the_window_and_leaves_room_for_others),
		cmocka_unit_test(more_flows_than_the_window_holds_are_all_delivered),
		cmocka_unit_test(a_bulk_submitter_keeps_nobody_else_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
