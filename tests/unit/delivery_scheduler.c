#include "delivery_rig.h"

static const char ONE[] = "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none connections = 3 "
			  "recipients_per_message = 10 }\n"
			  "route \"all\" { via = {\"work\"} }\n";
static const char TWO[] =
	"smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none connections = 3 }\n"
	"smarthost \"backup\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
	"route \"all\" { via = {\"work\", \"backup\"} }\n";

static void mail_is_picked_only_when_a_connection_is_ready(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	rig_nothing(&rig);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	assert_non_null(load);
	assert_true(load->job->id == id);
	assert_null(rig_take(&rig, lane));
	rig_nothing(&rig);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	assert_false(rig_has(&rig, id));
	assert_int_equal(rig.scheduler->flight.count, 0);
	rig_close(&rig);
}

static void recipients_of_one_message_share_a_transaction_up_to_the_limit(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ .count = 25 });
	lane = rig_connect(&rig, "work");
	for (size_t left = 25; left;) {
		struct load *load = rig_take(&rig, lane);

		assert_non_null(load);
		assert_int_equal(load->count, left < 10 ? left : 10);
		left -= load->count;
		rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	}
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void a_runaway_submitter_delays_only_itself(void **state)
{
	struct rig rig;
	struct lane *lane;
	int turns = 0;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < 50; i++)
		rig_mail(&rig, (struct rig_mail){ .submitter = "uid:1" });
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .submitter = "uid:2" });
	lane = rig_connect(&rig, "work");
	for (; rig_has(&rig, id); turns++)
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_in_range(turns, 1, 2);
	rig_close(&rig);
}

static void looking_for_work_does_not_cost_a_flow_its_turn(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;
	int one = 0;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < 10; i++) {
		rig_mail(&rig, (struct rig_mail){ .submitter = "uid:1" });
		rig_mail(&rig, (struct rig_mail){ .submitter = "uid:2" });
	}
	lane = rig_connect(&rig, "work");
	for (int i = 0; i < 6; i++) {
		struct load *load = rig_take(&rig, lane);

		one += strcmp(load->submitter, "uid:1") == 0;
		while (rig_step(&rig, &action))
			assert_int_equal(action.kind, SCHEDULER_CONNECT);
		rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	}
	assert_int_equal(one, 3);
	rig_close(&rig);
}

static void the_urgent_band_goes_first(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < 5; i++)
		rig_mail(&rig, (struct rig_mail){ .band = 2 });
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .band = 1, .submitter = "uid:2" });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	assert_true(load->job->id == id);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	rig_close(&rig);
}

static void a_failing_lane_passes_its_mail_to_the_next(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;

	(void)state;
	rig_open(&rig, TWO);
	rig_mail(&rig, (struct rig_mail){ .target = "work,backup" });
	assert_true(rig_step(&rig, &action));
	assert_string_equal(action.lane->name, "work");
	rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	lane = rig_connect(&rig, "backup");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void a_recovered_lane_gets_its_mail_back(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *work, *backup;

	(void)state;
	rig_open(&rig, TWO);
	for (int i = 0; i < 10; i++)
		rig_mail(&rig, (struct rig_mail){ .target = "work,backup" });
	assert_true(rig_step(&rig, &action));
	rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	backup = rig_connect(&rig, "backup");
	rig_settle(&rig, rig_take(&rig, backup), SETTLE_DELIVERED, "250 ok");
	rig_pass(&rig, 6000);
	do
		assert_true(rig_step(&rig, &action));
	while (strcmp(action.lane->name, "work") != 0);
	work = action.lane;
	scheduler_ready(rig.scheduler, work, rig.now);
	rig_settle(&rig, rig_take(&rig, work), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(work->trouble, TRAFFIC_WELL);
	assert_null(rig_take(&rig, backup));
	assert_non_null(scheduler_choice(rig.scheduler, "work,backup"));
	assert_string_equal(scheduler_choice(rig.scheduler, "work,backup")->name, "work");
	rig_close(&rig);
}

static void a_lanes_backoff_doubles_and_a_success_ends_it(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;
	int64_t expected = 5000;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < 5; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_lane(&rig, "work");
	for (int i = 0; i < 14; i++) {
		assert_true(rig_step(&rig, &action));
		assert_int_equal(action.kind, SCHEDULER_CONNECT);
		rig_refuse(&rig, lane, TRAFFIC_LANE, false);
		rig_turn(&rig);
		rig_nothing(&rig);
		int64_t wait = lane->retry_boot_ms - rig.now.boot_ms;

		assert_in_range(wait, expected - expected / 8, expected + expected / 8);
		rig_pass(&rig, wait - 1);
		rig_nothing(&rig);
		assert_true(scheduler_deadline(rig.scheduler) <= lane->retry_boot_ms);
		rig_pass(&rig, 1);
		expected = expected * 2 > 15 * 60 * 1000 ? 15 * 60 * 1000 : expected * 2;
	}
	rig_connect(&rig, "work");
	rig_nothing(&rig); /* one probe, one connection */
	load = rig_take(&rig, lane);
	assert_null(rig_take(&rig, lane)); /* and one message */
	rig_settle(&rig, load, SETTLE_TEMPORARY, "450 4.2.0 later");
	assert_int_equal(lane->trouble, TRAFFIC_WELL);
	assert_int_equal(lane->failures, 0);
	/* All that the lane's backoff held goes at once. */
	for (int i = 0; i < 4; i++)
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(&rig), 1);
	rig_close(&rig);
}

static void an_outage_writes_one_record_and_nothing_about_messages(void **state)
{
	struct rig rig;
	struct queue_stats before, after;
	struct scheduler_action action;
	struct queue_lane record;
	struct queue_due due;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < 20; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	rig_turn(&rig);
	queue_stats(rig.queue, &before);
	assert_true(rig_step(&rig, &action));
	rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	rig_nothing(&rig);
	rig_turn(&rig);
	queue_stats(rig.queue, &after);
	assert_int_equal(after.operations - before.operations, 1);
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "work", &record), QUEUE_OK);
	assert_int_equal(record.failures, 1);
	assert_int_equal(record.trouble, TRAFFIC_LANE);
	assert_int_equal(queue_view_due(queue_view(rig.queue), 1, (struct queue_due){ 0 }, &due), QUEUE_OK);
	assert_true(due.due_ms == rig.now.wall_ms);
	rig_close(&rig);
}

static void concurrency_rises_on_success_and_falls_on_failure(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane_failure failure = { .trouble = TRAFFIC_LANE, .text = "421 too many connections" };
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < 30; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	rig_nothing(&rig); /* one to begin with */
	for (int i = 0; i < 5; i++) {
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
		scheduler_delivered(rig.scheduler, lane, rig.now);
		while (rig_step(&rig, &action))
			scheduler_ready(rig.scheduler, lane, rig.now);
	}
	assert_int_equal(lane->ready, 3);
	/* One of three is lost: the lane stays well, with two. */
	scheduler_failed(rig.scheduler, lane, &failure, true, rig.now);
	scheduler_gone(rig.scheduler, lane, true, rig.now);
	assert_int_equal(lane->trouble, TRAFFIC_WELL);
	assert_int_equal(lane->pace.limit, 2);
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	scheduler_delivered(rig.scheduler, lane, rig.now);
	rig_nothing(&rig); /* no third for a while */
	rig_pass(&rig, 6000);
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	scheduler_delivered(rig.scheduler, lane, rig.now);
	assert_true(rig_step(&rig, &action));
	rig_close(&rig);
}

static void a_parked_account_is_left_alone_for_an_hour_and_released_by_hand(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ 0 });
	assert_true(rig_step(&rig, &action));
	lane = action.lane;
	rig_refuse(&rig, lane, TRAFFIC_ACCOUNT, true);
	for (int i = 0; i < 50; i++) {
		rig_pass(&rig, 60 * 1000);
		rig_mail(&rig, (struct rig_mail){ 0 });
		rig_turn(&rig);
		rig_nothing(&rig);
	}
	rig_pass(&rig, 20 * 60 * 1000);
	assert_true(rig_step(&rig, &action)); /* the one try after a long pause */
	rig_refuse(&rig, lane, TRAFFIC_ACCOUNT, true);
	rig_nothing(&rig);
	assert_int_equal(lane->failures, 2);
	assert_true(scheduler_resume(rig.scheduler, "work", rig.now));
	assert_true(rig_step(&rig, &action));
	assert_false(scheduler_resume(rig.scheduler, "nowhere", rig.now));
	rig_close(&rig);
}

static void what_is_paused_stays_paused_over_a_restart(void **state)
{
	struct rig rig;
	struct scheduler_action action;

	(void)state;
	rig_open(&rig, TWO);
	rig_mail(&rig, (struct rig_mail){ .target = "work" });
	assert_true(scheduler_pause(rig.scheduler, "work", "root", rig.now));
	rig_nothing(&rig);
	rig_turn(&rig);
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	rig_nothing(&rig);
	assert_string_equal(rig_lane(&rig, "work")->paused_by, "root");
	/* Mail with another way takes it. */
	rig_mail(&rig, (struct rig_mail){ .target = "work,backup", .submitter = "uid:2" });
	rig_connect(&rig, "backup");
	assert_true(scheduler_pause(rig.scheduler, NULL, "alice", rig.now));
	rig_nothing(&rig);
	rig_turn(&rig);
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	rig_nothing(&rig);
	assert_string_equal(rig.scheduler->paused_by, "alice");
	assert_true(scheduler_resume(rig.scheduler, NULL, rig.now));
	assert_true(rig_step(&rig, &action));
	rig_turn(&rig);
	rig_nothing(&rig);
	rig_turn(&rig);
	rig_crash(&rig);
	rig_start(&rig);
	assert_null(rig.scheduler->paused_by);
	assert_null(rig_lane(&rig, "work")->paused_by);
	rig_close(&rig);
}

static void a_failing_lane_waits_on_over_a_restart(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	int64_t left;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ 0 });
	for (int i = 0; i < 6; i++) {
		assert_true(rig_step(&rig, &action));
		rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
		left = action.lane->retry_boot_ms - rig.now.boot_ms;
		rig_nothing(&rig);
		rig_turn(&rig);
		if (i < 5)
			rig_pass(&rig, left);
	}
	rig_crash(&rig);
	rig_pass(&rig, 1000);
	rig_start(&rig);
	rig_turn(&rig);
	rig_nothing(&rig);
	assert_int_equal(rig_lane(&rig, "work")->failures, 6);
	assert_int_equal(rig_lane(&rig, "work")->retry_boot_ms - rig.now.boot_ms, left - 1000);
	rig_pass(&rig, left);
	assert_true(rig_step(&rig, &action));
	rig_close(&rig);
}

static void a_retry_time_of_a_wrong_clock_is_cut_short(void **state)
{
	struct rig rig;
	struct scheduler_action action;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ 0 });
	rig_turn(&rig);
	rig.now.wall_ms += 1000LL * RIG_DAY; /* the clock is wrong … */
	assert_true(rig_step(&rig, &action));
	rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	rig_nothing(&rig);
	rig_turn(&rig);
	rig_crash(&rig);
	rig.now.wall_ms -= 1000LL * RIG_DAY; /* … and is put right */
	rig_start(&rig);
	rig_turn(&rig);
	rig_pass(&rig, 5 * RIG_HOUR);
	assert_true(rig_step(&rig, &action));
	rig_close(&rig);
}

static void a_due_time_of_a_wrong_clock_counts_as_due(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	rig.now.wall_ms += 1000LL * RIG_DAY;
	uint64_t id = rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_crash(&rig);
	rig.now.wall_ms -= 1000LL * RIG_DAY;
	rig_start(&rig);
	rig_turn(&rig); /* newest mail is from the future: a sweep puts the times right */
	assert_true(rig_rcpt(&rig, id, 0).due_ms <= rig.now.wall_ms);
	rig_connect(&rig, "work");
	rig_close(&rig);
}

static void a_rate_limit_holds_and_is_kept_over_a_restart(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;
	struct load *load;
	int sent = 0;

	(void)state;
	rig_open(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none rate = \"6/min\" }\n"
		       "route \"all\" { via = {\"work\"} }\n");
	for (int i = 0; i < 30; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	while ((load = rig_take(&rig, lane)))
		rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok"), sent++;
	assert_int_equal(sent, 6);
	rig_nothing(&rig);
	rig_pass(&rig, 10 * 1000);
	load = rig_take(&rig, lane);
	assert_non_null(load);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	assert_null(rig_take(&rig, lane));
	assert_true(scheduler_deadline(rig.scheduler) <= rig.now.boot_ms + 10001);
	rig_nothing(&rig);
	rig_pass(&rig, 1000);
	rig_nothing(&rig);
	scheduler_stop(rig.scheduler, rig.now);
	rig_turn(&rig);
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	rig_nothing(&rig);
	rig_pass(&rig, 10 * 1000);
	assert_true(rig_step(&rig, &action));
	rig_close(&rig);
}

static void offline_all_lanes_wait_and_no_attempt_is_counted(void **state)
{
	struct rig rig;
	struct scheduler_action action;

	(void)state;
	rig_open(&rig, "smarthost \"work\" { host = \"work.example\" port = 25 tls = none auth = none }\n"
		       "smarthost \"other\" { host = \"other.example\" port = 25 tls = none auth = none }\n"
		       "smarthost \"here\" { host = \"127.0.0.1\" port = 25 tls = none auth = none }\n"
		       "route \"all\" { via = {\"work\"} }\n");
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .target = "work" });
	assert_true(rig_step(&rig, &action));
	assert_true(scheduler_offline(rig.scheduler, action.lane, false, "network is unreachable", rig.now));
	scheduler_gone(rig.scheduler, action.lane, false, rig.now);
	assert_int_equal(action.lane->trouble, TRAFFIC_WELL);
	rig_mail(&rig, (struct rig_mail){ .target = "other", .submitter = "uid:2" });
	rig_nothing(&rig);
	rig_mail(&rig, (struct rig_mail){ .target = "other,here", .submitter = "uid:3" });
	rig_connect(&rig, "here"); /* loopback needs no network */
	rig_pass(&rig, 6000);
	assert_true(rig_step(&rig, &action)); /* one lane looks, not all */
	assert_true(action.lane != rig_lane(&rig, "here"));
	rig_nothing(&rig);
	assert_false(scheduler_offline(rig.scheduler, action.lane, false, "network is unreachable", rig.now));
	scheduler_gone(rig.scheduler, action.lane, false, rig.now);
	rig_nothing(&rig);
	assert_int_equal(rig_rcpt(&rig, id, 0).attempts, 0);
	/* The cable is back: soon, with jitter. */
	scheduler_network_changed(rig.scheduler, rig.now);
	rig_pass(&rig, 2100);
	assert_true(rig_step(&rig, &action));
	assert_true(scheduler_reached(rig.scheduler, action.lane, false, rig.now));
	assert_true(rig_step(&rig, &action));
	rig_close(&rig);
}

static void a_silent_resolver_does_not_stop_literal_addresses(void **state)
{
	struct rig rig;
	struct scheduler_action action;

	(void)state;
	rig_open(&rig, "smarthost \"named\" { host = \"work.example\" port = 25 tls = none auth = none }\n"
		       "smarthost \"literal\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n"
		       "route \"all\" { via = {\"named\"} }\n");
	rig_mail(&rig, (struct rig_mail){ .target = "named" });
	assert_true(rig_step(&rig, &action));
	scheduler_offline(rig.scheduler, action.lane, true, "no resolver answers", rig.now);
	scheduler_gone(rig.scheduler, action.lane, false, rig.now);
	rig_nothing(&rig);
	rig_mail(&rig, (struct rig_mail){ .target = "literal", .submitter = "uid:2" });
	assert_false(scheduler_reached(rig.scheduler, rig_connect(&rig, "literal"), true, rig.now));
	assert_true(rig.scheduler->network.is_offline);
	rig_close(&rig);
}

static void an_untried_message_is_due_at_once_and_not_counted(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .count = 3 });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	settle_rcpt(&rig.settle, load, 1, SETTLE_DELIVERED, "250 ok", "", rig.now);
	settle_close(&rig.settle, load, rig.now);
	rig_turn(&rig);
	load = rig_take(&rig, lane);
	assert_int_equal(load->count, 2);
	assert_int_equal(load->rcpts[0].n, 0);
	assert_int_equal(load->rcpts[1].n, 2);
	assert_int_equal(load->rcpts[0].attempts, 0);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	assert_false(rig_has(&rig, id));
	rig_close(&rig);
}

static void what_is_in_flight_is_passed_over(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *first, *second;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ 0 });
	rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	first = rig_take(&rig, lane);
	second = rig_take(&rig, lane);
	rig_settle(&rig, first, SETTLE_UNTRIED, "");
	first = rig_take(&rig, lane);
	assert_true(first->job->id == id);
	assert_null(rig_take(&rig, lane));
	rig_settle(&rig, second, SETTLE_DELIVERED, "250 ok");
	rig_settle(&rig, first, SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void a_message_that_breaks_connections_twice_waits_for_itself(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, ONE);
	assert_false(scheduler_suspect(rig.scheduler, 7));
	assert_false(scheduler_suspect(rig.scheduler, 8));
	assert_true(scheduler_suspect(rig.scheduler, 7));
	assert_false(scheduler_suspect(rig.scheduler, 7));
	rig_close(&rig);
}

static void after_a_crash_what_was_in_flight_is_still_due(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .count = 2 });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	assert_int_equal(load->count, 2);
	load_free(load);
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	assert_true(load->job->id == id && load->count == 2);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	rig_close(&rig);
}

static void an_idle_flow_leaves_memory_and_its_timer_brings_it_back(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ 0 });
	rig_turn(&rig);
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
	assert_null(rig_take(&rig, lane));
	assert_int_equal(rig.scheduler->flows.count, 1);
	calendar_rewind(&rig.calendar); /* it looks while the flow's timer is still the old one */
	rig_turn(&rig);
	assert_null(rig_take(&rig, lane));
	rig_pass(&rig, SCHEDULER_REST_MS);
	assert_true(scheduler_deadline(rig.scheduler) <= rig.now.boot_ms);
	rig_nothing(&rig);
	rig_turn(&rig);
	assert_int_equal(rig.scheduler->flows.count, 0);
	rig_pass(&rig, 6 * 60 * 1000);
	rig_turn(&rig);
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(&rig), 0);
	assert_null(rig_take(&rig, lane));
	rig_pass(&rig, SCHEDULER_REST_MS);
	rig_nothing(&rig);
	rig_turn(&rig);
	assert_int_equal(rig.scheduler->flows.count, 0);
	struct queue_flow flow;
	uint32_t flow_id;

	assert_int_equal(queue_view_flow_next(queue_view(rig.queue), 0, &flow_id, &flow), QUEUE_NOT_FOUND);
	rig_close(&rig);
}

static void new_routes_reach_mail_that_waits(void **state)
{
	struct rig rig;
	struct config *next;
	struct lane *lane;

	(void)state;
	rig_open(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n");
	for (int i = 0; i < 1200; i++)
		rig_mail(&rig, (struct rig_mail){ .target = "", .count = i % 100 == 0 ? 7 : 1 });
	rig_turn(&rig);
	rig_nothing(&rig);
	next = rig_config(&rig, ONE);
	scheduler_configure(rig.scheduler, next, NULL, NULL, rig.now);
	sweep_start(&rig.sweep, true, rig.now);
	rig_turn(&rig);
	assert_int_equal(rig.sweep.messages, 1200);
	config_unref(rig.config);
	rig.config = next;
	lane = rig_connect(&rig, "work");
	for (int i = 0; i < 1200; i++)
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(&rig), 0);
	/* The queue knows its routes now: a restart does not walk it. */
	rig_crash(&rig);
	rig_start(&rig);
	assert_false(sweep_is_active(&rig.sweep));
	rig_close(&rig);
}

static const char NEW_ROUTE[] = "smarthost \"new\" { host = \"192.0.2.9\" port = 25 tls = none auth = none }\n"
				"route \"all\" { via = {\"new\"} }\n";

static void use(struct rig *rig, const char *conf)
{
	struct config *next = rig_config(rig, conf);

	scheduler_configure(rig->scheduler, next, NULL, NULL, rig->now);
	sweep_start(&rig->sweep, true, rig->now);
	config_unref(rig->config);
	rig->config = next;
}

static void new_routes_reach_mail_that_was_on_its_way_into_the_queue(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, ONE);
	rig_turn(&rig);
	pthread_mutex_lock(&rig.disk);
	rig_hand_in(&rig, (struct rig_mail){ 0 });
	use(&rig, NEW_ROUTE);
	sweep_step(&rig.sweep, rig.now);
	pthread_mutex_unlock(&rig.disk);
	rig_turn(&rig);
	assert_int_equal(rig.err, QUEUE_OK);
	assert_string_equal(rig_rcpt(&rig, rig.accepted, 0).flow.target, "new");
	rig_close(&rig);
}

static void a_crash_in_a_sweep_back_to_the_old_routes_is_made_good(void **state)
{
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig, ONE);
	id = rig_mail(&rig, (struct rig_mail){ 0 });
	for (int i = 0; i < 600; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	rig_turn(&rig);
	use(&rig, NEW_ROUTE);
	for (int i = 0; i < 2; i++) { /* not to its end */
		sweep_step(&rig.sweep, rig.now);
		queue_wait(rig.queue);
		queue_view_end(rig.queue);
	}
	assert_true(sweep_is_active(&rig.sweep));
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "new");
	use(&rig, ONE);
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "work");
	rig_close(&rig);
}

static void a_sweep_does_not_press_a_disk_that_fails(void **state)
{
	struct rig rig;
	uint64_t id;
	int steps = 0;

	(void)state;
	rig_open(&rig, ONE);
	id = rig_mail(&rig, (struct rig_mail){ 0 });
	rig_turn(&rig);
	use(&rig, NEW_ROUTE);
	sweep_step(&rig.sweep, rig.now);
	queue_wait(rig.queue);
	rig.is_failing = true;
	for (int i = 0; i < 100; i++) {
		steps += sweep_step(&rig.sweep, rig.now);
		queue_wait(rig.queue);
	}
	assert_in_range(steps, 1, 2);
	assert_int_equal(sweep_deadline(&rig.sweep), rig.now.boot_ms + 1000);
	rig.is_failing = false;
	rig_pass(&rig, 1000);
	rig_turn(&rig);
	assert_false(sweep_is_active(&rig.sweep));
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "new");
	rig_close(&rig);
}

static void mail_in_flight_follows_a_new_route_when_it_is_put_off(void **state)
{
	struct rig rig;
	struct config *next;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	next = rig_config(&rig, "smarthost \"new\" { host = \"192.0.2.9\" port = 25 tls = none auth = none }\n"
				"route \"all\" { via = {\"new\"} }\n");
	scheduler_configure(rig.scheduler, next, NULL, NULL, rig.now);
	sweep_start(&rig.sweep, true, rig.now);
	rig_turn(&rig);
	assert_int_equal(rig.sweep.messages, 0);
	rig_settle(&rig, load, SETTLE_TEMPORARY, "450 4.2.0 later");
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "new");
	assert_null(scheduler_lane(rig.scheduler, "work"));
	assert_null(rig_take(&rig, lane));
	config_unref(rig.config);
	rig.config = next;
	rig_pass(&rig, 6 * 60 * 1000);
	rig_turn(&rig);
	rig_connect(&rig, "new");
	rig_close(&rig);
}

static void a_changed_account_is_tried_at_once(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct config *next;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ 0 });
	assert_true(rig_step(&rig, &action));
	rig_refuse(&rig, action.lane, TRAFFIC_ACCOUNT, true);
	rig_nothing(&rig);
	next = rig_config(&rig, ONE);
	scheduler_configure(rig.scheduler, next, NULL, NULL, rig.now);
	config_unref(next);
	rig_nothing(&rig);
	next = rig_config(&rig, "smarthost \"work\" { host = \"192.0.2.3\" port = 25 tls = none auth = none }\n"
				"route \"all\" { via = {\"work\"} }\n");
	scheduler_configure(rig.scheduler, next, NULL, NULL, rig.now);
	config_unref(rig.config);
	rig.config = next;
	rig_connect(&rig, "work");
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_is_picked_only_when_a_connection_is_ready),
		cmocka_unit_test(recipients_of_one_message_share_a_transaction_up_to_the_limit),
		cmocka_unit_test(a_runaway_submitter_delays_only_itself),
		cmocka_unit_test(looking_for_work_does_not_cost_a_flow_its_turn),
		cmocka_unit_test(the_urgent_band_goes_first),
		cmocka_unit_test(a_failing_lane_passes_its_mail_to_the_next),
		cmocka_unit_test(a_recovered_lane_gets_its_mail_back),
		cmocka_unit_test(a_lanes_backoff_doubles_and_a_success_ends_it),
		cmocka_unit_test(an_outage_writes_one_record_and_nothing_about_messages),
		cmocka_unit_test(concurrency_rises_on_success_and_falls_on_failure),
		cmocka_unit_test(a_parked_account_is_left_alone_for_an_hour_and_released_by_hand),
		cmocka_unit_test(what_is_paused_stays_paused_over_a_restart),
		cmocka_unit_test(a_failing_lane_waits_on_over_a_restart),
		cmocka_unit_test(a_retry_time_of_a_wrong_clock_is_cut_short),
		cmocka_unit_test(a_due_time_of_a_wrong_clock_counts_as_due),
		cmocka_unit_test(a_rate_limit_holds_and_is_kept_over_a_restart),
		cmocka_unit_test(offline_all_lanes_wait_and_no_attempt_is_counted),
		cmocka_unit_test(a_silent_resolver_does_not_stop_literal_addresses),
		cmocka_unit_test(an_untried_message_is_due_at_once_and_not_counted),
		cmocka_unit_test(what_is_in_flight_is_passed_over),
		cmocka_unit_test(a_message_that_breaks_connections_twice_waits_for_itself),
		cmocka_unit_test(after_a_crash_what_was_in_flight_is_still_due),
		cmocka_unit_test(an_idle_flow_leaves_memory_and_its_timer_brings_it_back),
		cmocka_unit_test(new_routes_reach_mail_that_waits),
		cmocka_unit_test(new_routes_reach_mail_that_was_on_its_way_into_the_queue),
		cmocka_unit_test(a_crash_in_a_sweep_back_to_the_old_routes_is_made_good),
		cmocka_unit_test(a_sweep_does_not_press_a_disk_that_fails),
		cmocka_unit_test(mail_in_flight_follows_a_new_route_when_it_is_put_off),
		cmocka_unit_test(a_changed_account_is_tried_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
