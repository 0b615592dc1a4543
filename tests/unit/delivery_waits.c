/* Mail that would have waited for nothing: each of these was first seen in the simulation (tests/sim). */
#include "delivery_rig.h"

#include "delivery/tidy.h"
#include "delivery/upkeep.h"

static const char TWO[] = "smarthost \"named\" { host = \"a.example\" port = 25 tls = none auth = none }\n"
			  "smarthost \"literal\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
			  "smarthost \"local\" { host = \"127.0.0.1\" port = 26 tls = none auth = none }\n"
			  "mx { tls = none }\n"
			  "route \"l\" { to = {\"*@l.example\"} via = {\"literal\"} }\n"
			  "route \"o\" { to = {\"*@o.example\"} via = {\"mx\"} }\n"
			  "route \"all\" { via = {\"named\"} }\n";

static void nothing_until(struct rig *rig, int64_t boot_ms)
{
	struct scheduler_action action;

	while (rig->now.boot_ms < boot_ms) {
		rig_turn(rig);
		assert_false(scheduler_step(rig->scheduler, rig->now, &action));
		rig_pass(rig, 1000);
	}
}

static void pass_until_due(struct rig *rig, uint64_t id)
{
	rig_pass(rig, rig_rcpt(rig, id, 0).due_ms - rig->now.wall_ms);
	queue_view_end(rig->queue);
	rig_turn(rig);
}

static void a_flow_is_not_forgotten_while_its_only_mail_is_on_its_way(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;
	uint64_t id;

	(void)state;
	rig_open(&rig, TWO);
	id = rig_mail(&rig, (struct rig_mail){ .target = "named" });
	lane = rig_connect(&rig, "named");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
	scheduler_gone(rig.scheduler, lane, true, rig.now);
	nothing_until(&rig, rig.now.boot_ms + 60 * 1000); /* the flow rests, until its timer brings it */
	pass_until_due(&rig, id);
	lane = rig_connect(&rig, "named");
	load = rig_take(&rig, lane);
	assert_null(rig_take(&rig, lane));                /* which leaves the flow with nothing to do */
	nothing_until(&rig, rig.now.boot_ms + 60 * 1000); /* a slow server */
	rig_settle(&rig, load, SETTLE_TEMPORARY, "450 4.2.0 later");
	scheduler_gone(rig.scheduler, lane, true, rig.now);
	rig_turn(&rig);
	nothing_until(&rig, rig.now.boot_ms + 60 * 1000);
	pass_until_due(&rig, id);
	rig_connect(&rig, "named");
	rig_close(&rig);
}

static void once_only_the_resolver_is_silent_literal_addresses_are_used_at_once(void **state)
{
	struct scheduler_action action;
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, TWO);
	rig_mail(&rig, (struct rig_mail){ .target = "named" });
	assert_true(rig_step(&rig, &action));
	lane = action.lane;
	assert_true(scheduler_offline(rig.scheduler, lane, false, "network is unreachable", rig.now));
	scheduler_gone(rig.scheduler, lane, false, rig.now);
	rig_mail(&rig, (struct rig_mail){ .target = "literal", .rcpt = "x@l.example" });
	rig_nothing(&rig);
	rig_pass(&rig, 10 * 1000);
	assert_true(rig_step(&rig, &action));
	lane = action.lane;
	assert_true(scheduler_offline(rig.scheduler, lane, true, "no resolver answers", rig.now) ||
		    lane == rig_lane(&rig, "literal"));
	scheduler_gone(rig.scheduler, lane, false, rig.now);
	rig_connect(&rig, "literal");
	rig_close(&rig);
}

static void once_literal_addresses_fail_too_a_local_lane_behind_them_is_used_at_once(void **state)
{
	struct scheduler_action action;
	struct rig rig;
	struct lane *named, *literal;

	(void)state;
	rig_open(&rig, TWO);
	rig_mail(&rig, (struct rig_mail){ .target = "named" });
	assert_true(rig_step(&rig, &action));
	named = action.lane;
	scheduler_offline(rig.scheduler, named, true, "no resolver answers", rig.now);
	scheduler_gone(rig.scheduler, named, false, rig.now);
	rig_mail(&rig, (struct rig_mail){ .target = "literal,mx:x.example,local", .rcpt = "x@l.example" });
	assert_true(rig_step(&rig, &action));
	literal = action.lane;
	assert_string_equal(literal->name, "literal");
	rig_nothing(&rig);
	assert_true(scheduler_offline(rig.scheduler, literal, false, "network is unreachable", rig.now));
	scheduler_gone(rig.scheduler, literal, false, rig.now);
	rig_connect(&rig, "local");
	rig_close(&rig);
}

static void a_probe_that_has_trouble_of_its_own_lets_others_look(void **state)
{
	struct scheduler_action action;
	struct rig rig;
	struct lane *lane, *literal;

	(void)state;
	rig_open(&rig, TWO);
	rig_mail(&rig, (struct rig_mail){ .target = "named" });
	assert_true(rig_step(&rig, &action));
	lane = action.lane;
	scheduler_offline(rig.scheduler, lane, true, "no resolver answers", rig.now);
	scheduler_gone(rig.scheduler, lane, false, rig.now);
	rig_mail(&rig, (struct rig_mail){ .target = "literal", .rcpt = "x@l.example" });
	literal = rig_connect(&rig, "literal"); /* and stays open: so there is a network */
	rig_mail(&rig, (struct rig_mail){ .target = "mx:o.example", .rcpt = "x@o.example" });
	rig_nothing(&rig);
	rig_pass(&rig, 10 * 1000);
	assert_true(rig_step(&rig, &action));
	rig_nothing(&rig);
	assert_false(scheduler_offline(rig.scheduler, action.lane, true, "no resolver answers", rig.now) &&
		     rig.scheduler->network.failures > 1);
	lane = action.lane;
	scheduler_gone(rig.scheduler, lane, false, rig.now);
	assert_true(rig_step(&rig, &action));
	assert_true(action.lane != lane && action.lane != literal);
	rig_close(&rig);
}

static void a_clock_put_back_makes_no_lane_wait_longer_than_its_longest_wait(void **state)
{
	struct scheduler_action action;
	struct queue_op *op;
	struct rig rig;

	(void)state;
	rig_open(&rig, TWO);
	op = queue_op_new(rig.queue);
	queue_op_lane(
		op, &(struct queue_lane){ .name = "mx:d.example",
					  .failures = 3,
					  .since_ms = rig.now.wall_ms,
					  .retry_ms = rig.now.wall_ms + 10 * RIG_HOUR, /* by a clock that went ahead */
					  .trouble = TRAFFIC_LANE,
					  .error = "refused",
					  .paused_by = "" });
	queue_op_submit(op, NULL, NULL);
	rig_turn(&rig);
	rig_mail(&rig, (struct rig_mail){ .target = "mx:d.example", .rcpt = "x@d.example" });
	rig_nothing(&rig);
	rig_pass(&rig, 17 * 60 * 1000); /* 15 minutes, and an eighth */
	rig_turn(&rig);
	assert_true(rig_step(&rig, &action));
	assert_string_equal(action.lane->name, "mx:d.example");
	rig_close(&rig);
}

static void a_record_is_not_old_because_its_first_failure_lies_in_the_future(void **state)
{
	struct queue_lane record;
	struct queue_op *op;
	struct tidy tidy;
	struct rig rig;

	(void)state;
	rig_open(&rig, TWO);
	op = queue_op_new(rig.queue);
	queue_op_lane(op, &(struct queue_lane){ .name = "mx:d.example",
						.failures = 3,
						.since_ms = rig.now.wall_ms +
							    6LL * RIG_DAY, /* before the clock was put back */
						.retry_ms = rig.now.wall_ms + RIG_HOUR,
						.trouble = TRAFFIC_ACCOUNT,
						.error = "too much",
						.paused_by = "" });
	queue_op_submit(op, NULL, NULL);
	rig_turn(&rig);
	tidy_init(&tidy, rig.queue, rig.scheduler, rig.now);
	tidy_step(&tidy, rig.now);
	rig_turn(&rig);
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:d.example", &record), QUEUE_OK);
	queue_view_end(rig.queue);
	rig_close(&rig);
}

static void a_new_network_counts_for_a_lane_that_leaves_memory(void **state)
{
	struct scheduler_action action;
	struct queue_op *op;
	struct rig rig;
	uint64_t id;

	(void)state;
	rig_open(&rig, TWO);
	id = rig_mail(&rig, (struct rig_mail){ .target = "mx:o.example", .rcpt = "x@o.example" });
	for (int i = 0; i < 5; i++) {
		assert_true(rig_step(&rig, &action));
		rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
		rig_turn(&rig);
		if (i < 4)
			rig_pass(&rig, action.lane->retry_boot_ms - rig.now.boot_ms);
	}
	assert_true(action.lane->retry_boot_ms > rig.now.boot_ms + 60 * 1000);
	rig_nothing(&rig); /* writes the record */
	rig_turn(&rig);
	op = queue_op_new(rig.queue);
	queue_op_remove(op, id, QUEUE_ALL, "root", rig.now.wall_ms);
	queue_op_submit(op, NULL, NULL);
	rig_turn(&rig);
	scheduler_network_changed(rig.scheduler, rig.now);
	for (int i = 0; i < 20; i++) {
		rig_nothing(&rig);
		rig_turn(&rig);
		rig_pass(&rig, 1000);
	}
	assert_int_equal(rig.scheduler->lanes.mx_count, 0);
	rig_mail(&rig, (struct rig_mail){ .target = "mx:o.example", .rcpt = "y@o.example" });
	assert_true(rig_step(&rig, &action));
	assert_string_equal(action.lane->name, "mx:o.example");
	rig_close(&rig);
}

static void upkeep_is_not_due_while_the_disk_still_works_for_it(void **state)
{
	struct upkeep upkeep;
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, TWO);
	rig_mail(&rig, (struct rig_mail){ .target = "named" });
	lane = rig_connect(&rig, "named");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	upkeep_init(&upkeep, rig.queue, rig.scheduler, rig.now);
	rig_pass(&rig, 60 * 1000);
	pthread_mutex_lock(&rig.disk); /* it hangs */
	upkeep_step(&upkeep, 1, rig.now);
	rig_pass(&rig, 2 * RIG_HOUR);
	assert_true(upkeep_deadline(&upkeep, 1) == INT64_MAX);
	pthread_mutex_unlock(&rig.disk);
	queue_wait(rig.queue);
	assert_true(upkeep_deadline(&upkeep, 1) <= rig.now.boot_ms);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_is_not_forgotten_while_its_only_mail_is_on_its_way),
		cmocka_unit_test(once_only_the_resolver_is_silent_literal_addresses_are_used_at_once),
		cmocka_unit_test(once_literal_addresses_fail_too_a_local_lane_behind_them_is_used_at_once),
		cmocka_unit_test(a_probe_that_has_trouble_of_its_own_lets_others_look),
		cmocka_unit_test(a_clock_put_back_makes_no_lane_wait_longer_than_its_longest_wait),
		cmocka_unit_test(a_record_is_not_old_because_its_first_failure_lies_in_the_future),
		cmocka_unit_test(a_new_network_counts_for_a_lane_that_leaves_memory),
		cmocka_unit_test(upkeep_is_not_due_while_the_disk_still_works_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
