/* Mail of routes that wait for a network. */
#include "delivery_rig.h"

#include "base/cidr.h"
#include "delivery/conditions.h"

static const char CONF[] =
	"smarthost \"work\" { host = \"work.example.org\" connections = 1 }\n"
	"smarthost \"home\" { host = \"home.example.org\" connections = 1 }\n"
	"route \"office\" { to = {\"*@lab\"} via = {\"work\"} when = {\"interface tun*\", \"gateway 10.1.0.1\"} }\n"
	"route \"far\" { to = {\"*@far\"} via = {\"mx\"} when = \"online\" }\n"
	"route \"rest\" { via = {\"work\", \"home\"} }\n";

static struct netfacts nothing(void)
{
	return (struct netfacts){ .is_known = true };
}

static struct netfacts tunnel(void)
{
	struct netfacts facts = nothing();
	struct netfacts_interface tun = { .index = 5, .name = "tun0" };

	netfacts_add_interface(&facts, &tun);
	return facts;
}

static struct netfacts online(void)
{
	struct netfacts facts = nothing();
	struct netfacts_gateway gateway = { .interface = 2, .has_address = true };

	assert_true(cidr_address(SPAN("192.0.2.1"), gateway.address));
	netfacts_add_gateway(&facts, &gateway);
	return facts;
}

static bool become(struct rig *rig, struct netfacts facts)
{
	return scheduler_network_facts(rig->scheduler, &facts, rig->now);
}

static struct rig rig;

static int set_up(void **state)
{
	(void)state;
	rig_open(&rig, CONF);
	become(&rig, nothing());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&rig);
	return 0;
}

static uint64_t office_mail(void)
{
	return rig_mail(&rig, (struct rig_mail){ .target = "work?office", .rcpt = "you@lab", .warn_ms = 4 * RIG_HOUR });
}

/* ---------------------------------------------------------------- waiting and leaving */

static void mail_waits_for_its_network_and_leaves_when_it_is_there(void **state)
{
	struct load *load;
	uint64_t id = office_mail();

	(void)state;
	rig_nothing(&rig);
	rig_pass(&rig, RIG_HOUR);
	rig_nothing(&rig);
	assert_int_equal(rig_lane(&rig, "work")->failures, 0);
	assert_true(become(&rig, tunnel()));
	assert_true(scheduler_deadline(rig.scheduler) <= rig.now.boot_ms);
	load = rig_take(&rig, rig_connect(&rig, "work"));
	assert_non_null(load);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	assert_false(rig_has(&rig, id));
}

static void nothing_is_known_of_the_network_before_it_is_told(void **state)
{
	struct netfacts unknown = { 0 };

	(void)state;
	assert_false(become(&rig, unknown));
	office_mail();
	rig_nothing(&rig);
	assert_true(become(&rig, tunnel()));
	assert_false(become(&rig, tunnel()));
	rig_connect(&rig, "work");
}

static void no_mail_is_taken_once_the_network_has_gone(void **state)
{
	struct lane *lane;
	struct load *load;

	(void)state;
	office_mail();
	office_mail();
	become(&rig, tunnel());
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	assert_non_null(load);
	assert_true(become(&rig, nothing()));
	/* What is under way is not cut off; what it comes to counts. */
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	assert_null(scheduler_take(rig.scheduler, lane, rig.now));
	rig_nothing(&rig);
	assert_int_equal(lane->seats, 0);
	become(&rig, tunnel());
	rig_nothing(&rig); /* the step that lets it go; the connection is there */
	load = rig_take(&rig, lane);
	assert_non_null(load);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
}

static void mail_of_other_routes_takes_the_same_lane_meanwhile(void **state)
{
	struct load *load;
	uint64_t id, other;

	(void)state;
	id = office_mail();
	other = rig_mail(&rig, (struct rig_mail){ .target = "work,home" });
	load = rig_take(&rig, rig_connect(&rig, "work"));
	assert_non_null(load);
	assert_int_equal(load->job->id, other);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	rig_nothing(&rig);
	assert_true(rig_has(&rig, id));
}

static void what_is_returned_after_the_network_has_gone_waits_again(void **state)
{
	struct load *load;

	(void)state;
	office_mail();
	become(&rig, tunnel());
	load = rig_take(&rig, rig_connect(&rig, "work"));
	become(&rig, nothing());
	rig_settle(&rig, load, SETTLE_UNTRIED, "");
	rig_nothing(&rig);
	become(&rig, tunnel());
	rig_nothing(&rig);
	load = rig_take(&rig, rig_lane(&rig, "work"));
	assert_non_null(load);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
}

static void a_thousand_domains_are_let_go_in_steps(void **state)
{
	struct scheduler_action action;

	(void)state;
	for (int i = 0; i < 2500; i++) {
		char target[64];

		snprintf(target, sizeof target, "mx:d%d.far?far", i);
		rig_hand_in(&rig, (struct rig_mail){ .target = target, .rcpt = "you@far" });
	}
	queue_wait(rig.queue);
	queue_view_end(rig.queue);
	rig_nothing(&rig);
	assert_int_equal(rig.scheduler->held_count, 2500);
	assert_int_equal(rig.scheduler->lanes.mx_ready, 0);
	become(&rig, tunnel());
	rig_nothing(&rig);
	become(&rig, online());
	assert_true(rig_step(&rig, &action));
	assert_int_equal(rig.scheduler->held_count, 1500);
	assert_true(scheduler_deadline(rig.scheduler) <= rig.now.boot_ms);
	for (int i = 0; i < 2; i++)
		rig_step(&rig, &action);
	assert_int_equal(rig.scheduler->held_count, 0);
}

static void a_lane_that_failed_without_its_network_is_tried_when_it_is_back(void **state)
{
	struct scheduler_action action;
	struct lane *lane = rig_lane(&rig, "work");

	(void)state;
	office_mail();
	become(&rig, tunnel());
	for (int i = 0; i < 6; i++) {
		while (!rig_step(&rig, &action))
			rig_pass(&rig, scheduler_deadline(rig.scheduler) - rig.now.boot_ms);
		rig_refuse(&rig, lane, TRAFFIC_LANE, false);
	}
	become(&rig, nothing());
	rig_nothing(&rig);
	rig_pass(&rig, 10 * 1000);
	assert_true(lane->retry_boot_ms > rig.now.boot_ms);
	rig_nothing(&rig);
	become(&rig, tunnel());
	assert_true(rig_step(&rig, &action));
	assert_int_equal(action.kind, SCHEDULER_CONNECT);
	/* One that comes and goes all the time is no reason to try all the time. */
	rig_refuse(&rig, lane, TRAFFIC_LANE, false);
	become(&rig, nothing());
	rig_nothing(&rig);
	rig_pass(&rig, 100);
	become(&rig, tunnel());
	rig_nothing(&rig);
}

/* ---------------------------------------------------------------- reloads */

static void reload(const char *text)
{
	struct config *config = rig_config(&rig, text);

	scheduler_configure(rig.scheduler, config, NULL, NULL, rig.now);
	config_unref(rig.config);
	rig.config = config;
	sweep_start(&rig.sweep, true, rig.now);
	rig_turn(&rig);
}

static void a_reload_that_takes_the_condition_away_lets_the_mail_go(void **state)
{
	uint64_t id = office_mail();

	(void)state;
	rig_nothing(&rig);
	reload("smarthost \"work\" { host = \"work.example.org\" }\nroute \"office\" { to = {\"*@lab\"} via = {\"work\"} }\n");
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "work");
	queue_view_end(rig.queue);
	rig_connect(&rig, "work");
}

static void a_reload_that_brings_a_condition_holds_the_mail_back(void **state)
{
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .target = "work,home", .rcpt = "you@else" });

	(void)state;
	reload("smarthost \"work\" { host = \"work.example.org\" }\nroute \"all\" { via = {\"work\"} when = \"online\" }\n");
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "work?all");
	queue_view_end(rig.queue);
	rig_nothing(&rig);
	become(&rig, online());
	rig_connect(&rig, "work");
}

static void a_reload_keeps_the_time_since_when(void **state)
{
	int64_t since_ms = rig.now.wall_ms;

	(void)state;
	rig_pass(&rig, RIG_HOUR);
	reload(CONF);
	assert_int_equal(conditions_of(&rig.scheduler->conditions, "work?office")->since_wall_ms, since_ms);
	become(&rig, tunnel());
	assert_int_equal(conditions_of(&rig.scheduler->conditions, "work?office")->since_wall_ms, rig.now.wall_ms);
	assert_int_equal(conditions_of(&rig.scheduler->conditions, "mx:a?far")->since_wall_ms, since_ms);
}

/* ---------------------------------------------------------------- growing old */

static void mail_is_not_given_up_before_an_attempt_in_its_network(void **state)
{
	struct scheduler_action action;
	uint64_t id = office_mail();

	(void)state;
	rig_pass(&rig, 6 * (int64_t)RIG_DAY);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id));
	become(&rig, tunnel());
	rig_turn(&rig);
	assert_true(rig_has(&rig, id));
	assert_true(rig_step(&rig, &action));
	rig_refuse(&rig, rig_lane(&rig, "work"), TRAFFIC_LANE, false);
	rig_turn(&rig);
	rig_pass(&rig, 60 * 1000);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	assert_int_equal(rig_messages(&rig), 1); /* the report */
}

static void its_sender_is_told_what_it_waits_for(void **state)
{
	struct queue_rcpt rcpt;
	uint64_t id = office_mail();

	(void)state;
	rcpt = rig_rcpt(&rig, id, 0);
	assert_string_equal(bounce_obstacle(rig.scheduler, &rcpt),
			    "it waits for the network of route \"office\": interface tun*, or gateway 10.1.0.1");
	queue_view_end(rig.queue);
	assert_int_equal(rig_messages(&rig), 1);
	rig_pass(&rig, 5 * RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 2); /* the warning */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define RIGGED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		RIGGED(mail_waits_for_its_network_and_leaves_when_it_is_there),
		RIGGED(nothing_is_known_of_the_network_before_it_is_told),
		RIGGED(no_mail_is_taken_once_the_network_has_gone),
		RIGGED(mail_of_other_routes_takes_the_same_lane_meanwhile),
		RIGGED(what_is_returned_after_the_network_has_gone_waits_again),
		RIGGED(a_thousand_domains_are_let_go_in_steps),
		RIGGED(a_lane_that_failed_without_its_network_is_tried_when_it_is_back),
		RIGGED(a_reload_that_takes_the_condition_away_lets_the_mail_go),
		RIGGED(a_reload_that_brings_a_condition_holds_the_mail_back),
		RIGGED(a_reload_keeps_the_time_since_when),
		RIGGED(mail_is_not_given_up_before_an_attempt_in_its_network),
		RIGGED(its_sender_is_told_what_it_waits_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
