/* What was picked, or was on its way, while the routes changed. */
#include "delivery_rig.h"

#define OLD "smarthost \"old\" { host = \"192.0.2.1\" port = 25 tls = none auth = none rate = \"3/h\" }\n"
#define NEW "smarthost \"new\" { host = \"192.0.2.9\" port = 25 tls = none auth = none }\n"

static const char BEFORE[] = OLD NEW "route \"all\" { via = {\"old\"} }\n";
static const char AFTER[] = OLD NEW "route \"all\" { via = {\"new\"} }\n";
static const char HALF[] =
	OLD NEW "route \"one\" { to = {\"r1@*\"} via = {\"new\"} }\nroute \"all\" { via = {\"old\"} }\n";
static const struct rig_mail MAIL = { .target = "old" };

static int open_rig(void **state)
{
	struct rig *rig = mem_calloc(1, sizeof *rig);

	rig_open(rig, BEFORE);
	rig_turn(rig);
	*state = rig;
	return 0;
}

static int close_rig(void **state)
{
	rig_close(*state);
	mem_free(*state);
	return 0;
}

/* As a reload does; the sweep has not made a step yet. */
static void use(struct rig *rig, const char *conf)
{
	struct config *next = rig_config(rig, conf);

	scheduler_configure(rig->scheduler, next, NULL, NULL, rig->now);
	sweep_start(&rig->sweep, true, rig->now);
	rig->settle.is_rerouting = true;
	config_unref(rig->config);
	rig->config = next;
}

static void committed(struct rig *rig)
{
	queue_wait(rig->queue);
	queue_view_end(rig->queue);
}

static const char *target_of(struct rig *rig, uint64_t id, uint32_t n)
{
	static char target[64];

	snprintf(target, sizeof target, "%s", rig_rcpt(rig, id, n).flow.target);
	queue_view_end(rig->queue);
	return target;
}

static void what_comes_back_untried_follows_its_new_route(void **state)
{
	struct rig *rig = *state;
	uint64_t id = rig_mail(rig, MAIL);
	struct load *load = rig_take(rig, rig_connect(rig, "old"));

	use(rig, AFTER);
	rig_turn(rig); /* the sweep passes it by: it is in flight */
	assert_string_equal(target_of(rig, id, 0), "old");
	settle_close(&rig->settle, load, rig->now);
	committed(rig);
	assert_string_equal(target_of(rig, id, 0), "new");
	rig_turn(rig);
	load = rig_take(rig, rig_connect(rig, "new"));
	assert_int_equal(load->job->id, id);
	rig_settle(rig, load, SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(rig), 0);
}

static void a_lane_gives_back_what_the_new_routes_do_not_give_it(void **state)
{
	struct rig *rig = *state;
	struct lane *lane;
	struct load *load;
	uint64_t id = rig_mail(rig, MAIL);

	lane = rig_connect(rig, "old");
	use(rig, AFTER);
	for (int i = 0; i < 5; i++) { /* more often than its rate allows to send */
		load = rig_take(rig, lane);
		if (!load)
			break;
		assert_true(settle_is_astray(&rig->settle, load));
		settle_astray(&rig->settle, load, rig->now);
		assert_null(rig_take(rig, lane)); /* not again, while it is being written */
		committed(rig);
		assert_string_equal(target_of(rig, id, 0), "new");
		id = rig_mail(rig, MAIL); /* handed in under the old routes */
	}
	assert_int_equal(lane_token_ms(lane, rig->now), 0);
	assert_int_equal((int)lane->bucket.tokens, 3);
	rig_turn(rig);
	assert_string_equal(target_of(rig, id, 0), "new");
}

static void nothing_is_astray_when_the_sweep_is_over(void **state)
{
	struct rig *rig = *state;
	struct load *load;

	rig_mail(rig, MAIL);
	load = rig_take(rig, rig_connect(rig, "old"));
	assert_false(settle_is_astray(&rig->settle, load));
	use(rig, AFTER);
	assert_true(settle_is_astray(&rig->settle, load));
	assert_true(sweep_is_rerouting(&rig->sweep));
	rig_turn(rig);
	rig->settle.is_rerouting = sweep_is_rerouting(&rig->sweep);
	assert_false(settle_is_astray(&rig->settle, load)); /* it is under way, and may arrive */
	rig_settle(rig, load, SETTLE_DELIVERED, "250 ok");
}

static void what_a_sweep_moves_as_well_is_counted_once(void **state)
{
	struct rig *rig = *state;
	struct load *load;
	struct lane *lane;

	for (int i = 0; i < 3; i++)
		rig_mail(rig, MAIL);
	lane = rig_connect(rig, "old");
	use(rig, AFTER);
	sweep_step(&rig->sweep, rig->now); /* forgets the old routes */
	committed(rig);
	pthread_mutex_lock(&rig->disk);
	sweep_step(&rig->sweep, rig->now);
	rig->settle.swept = sweep_reached(&rig->sweep);
	load = rig_take(rig, lane); /* what the sweep is just writing */
	assert_true(settle_is_astray(&rig->settle, load));
	settle_astray(&rig->settle, load, rig->now);
	pthread_mutex_unlock(&rig->disk);
	rig_turn(rig);
	assert_false(sweep_is_active(&rig->sweep));
	assert_int_equal(rig->sweep.messages + rig->settle.rerouted, 3);
}

static void only_so_many_go_astray_at_a_time(void **state)
{
	struct rig *rig = *state;
	struct load *load;
	struct lane *lane;
	int count = 0;

	for (int i = 0; i < 2 * SCHEDULER_ASTRAY_MAX; i++)
		rig_mail(rig, MAIL);
	lane = rig_connect(rig, "old");
	lane->bucket.tokens = 1000;
	use(rig, AFTER);
	for (; (load = rig_take(rig, lane)); count++)
		settle_astray(&rig->settle, load, rig->now);
	assert_int_equal(count, SCHEDULER_ASTRAY_MAX);
	rig_nothing(rig); /* the lane waits for room */
	committed(rig);
	assert_int_equal(rig->scheduler->astray, 0);
	assert_int_equal(rig->settle.rerouted, SCHEDULER_ASTRAY_MAX);
	lane->bucket.tokens = 1000;
	load = rig_take(rig, lane);
	assert_non_null(load);
	settle_astray(&rig->settle, load, rig->now);
	rig_turn(rig);
	assert_int_equal(rig->sweep.messages + rig->settle.rerouted, 2 * SCHEDULER_ASTRAY_MAX);
}

static void only_recipients_whose_route_changed_go_another_way(void **state)
{
	struct rig *rig = *state;
	struct lane *lane;
	struct load *load;
	uint64_t id = rig_mail(rig, (struct rig_mail){ .target = "old", .count = 3 });

	lane = rig_connect(rig, "old");
	load = rig_take(rig, lane);
	assert_int_equal(load->count, 3);
	use(rig, HALF);
	assert_true(settle_is_astray(&rig->settle, load));
	settle_astray(&rig->settle, load, rig->now);
	load = rig_take(rig, lane);
	assert_int_equal(load->count, 2);
	assert_false(settle_is_astray(&rig->settle, load));
	committed(rig);
	assert_string_equal(target_of(rig, id, 0), "old");
	assert_string_equal(target_of(rig, id, 1), "new");
	assert_string_equal(target_of(rig, id, 2), "old");
	rig_settle(rig, load, SETTLE_DELIVERED, "250 ok");
	rig_turn(rig);
	rig_settle(rig, rig_take(rig, rig_connect(rig, "new")), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(rig), 0);
}

static void a_disk_that_fails_loses_none_that_changes_its_route(void **state)
{
	struct rig *rig = *state;
	struct load *load;
	uint64_t id = rig_mail(rig, MAIL);

	load = rig_take(rig, rig_connect(rig, "old"));
	use(rig, AFTER);
	rig->is_failing = true;
	settle_astray(&rig->settle, load, rig->now);
	committed(rig);
	assert_false(settle_is_idle(&rig->settle));
	rig->is_failing = false;
	rig_pass(rig, RIG_HOUR);
	rig_turn(rig);
	assert_true(settle_is_idle(&rig->settle));
	assert_string_equal(target_of(rig, id, 0), "new");
	rig_settle(rig, rig_take(rig, rig_connect(rig, "new")), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(rig), 0);
}

static struct load *taken_and_passed_by(struct rig *rig)
{
	struct load *load = rig_take(rig, rig_connect(rig, "old"));

	use(rig, AFTER);
	rig_turn(rig); /* the sweep passes it by: it is in flight */
	return load;
}

static void removed(struct rig *rig, uint64_t id, uint32_t n)
{
	struct queue_op *op = queue_op_new(rig->queue);

	queue_op_remove(op, id, n, "root", rig->now.wall_ms);
	queue_op_submit(op, NULL, NULL);
}

static void a_recipient_removed_meanwhile_keeps_no_other_from_its_route(void **state)
{
	struct rig *rig = *state;
	uint64_t id = rig_mail(rig, (struct rig_mail){ .target = "old", .count = 2 });
	struct load *load = taken_and_passed_by(rig);

	removed(rig, id, 0);
	settle_close(&rig->settle, load, rig->now);
	rig_turn(rig);
	assert_true(settle_is_idle(&rig->settle));
	assert_string_equal(target_of(rig, id, 1), "new");
	rig_settle(rig, rig_take(rig, rig_connect(rig, "new")), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(rig), 0);
}

static void a_message_removed_meanwhile_holds_up_nothing(void **state)
{
	struct rig *rig = *state;
	uint64_t id = rig_mail(rig, MAIL);
	struct load *load = taken_and_passed_by(rig);

	removed(rig, id, QUEUE_ALL);
	settle_close(&rig->settle, load, rig->now);
	rig_turn(rig);
	assert_true(settle_is_idle(&rig->settle));
	assert_int_equal(rig_messages(rig), 0);
	assert_int_equal(rig->scheduler->flight.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_comes_back_untried_follows_its_new_route),
		TEST(a_lane_gives_back_what_the_new_routes_do_not_give_it),
		TEST(what_a_sweep_moves_as_well_is_counted_once),
		TEST(only_so_many_go_astray_at_a_time),
		TEST(nothing_is_astray_when_the_sweep_is_over),
		TEST(only_recipients_whose_route_changed_go_another_way),
		TEST(a_disk_that_fails_loses_none_that_changes_its_route),
		TEST(a_recipient_removed_meanwhile_keeps_no_other_from_its_route),
		TEST(a_message_removed_meanwhile_holds_up_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
