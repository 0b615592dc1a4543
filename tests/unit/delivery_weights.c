/* Lanes with weights: who gets how much of a flow's mail, and what a lane that cannot take its share costs the others. */
#include "delivery_rig.h"

#include "delivery/lineup.h"

static const char CONF[] =
	"smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none connections = 1 }\n"
	"smarthost \"home\" { host = \"192.0.2.2\" port = 25 tls = none auth = none connections = 1 }\n"
	"smarthost \"backup\" { host = \"192.0.2.3\" port = 25 tls = none auth = none connections = 1 }\n"
	"route \"all\" { via = {\"work=3\", \"home=1\", \"backup\"} }\n";
static const char TARGET[] = "work=3,home=1,backup";

/* What the driver does: connections come up at once, and who may take a message takes it. */
struct counts {
	int work, home, backup;
};

static void count(struct counts *counts, const struct lane *lane, int n)
{
	if (strcmp(lane->name, "work") == 0)
		counts->work += n;
	else if (strcmp(lane->name, "home") == 0)
		counts->home += n;
	else
		counts->backup += n;
}

static void fill(struct rig *rig, int mails, const char *submitter)
{
	for (int i = 0; i < mails; i++)
		rig_mail(rig, (struct rig_mail){ .target = TARGET, .submitter = submitter });
}

/* Everything that can go now goes; `busy` (may be NULL) never takes a message. */
static struct counts deliver(struct rig *rig, const struct lane *busy)
{
	struct scheduler_action action;
	struct counts counts = { 0 };

	while (rig_step(rig, &action)) {
		struct load *load;

		if (action.kind == SCHEDULER_CONNECT) {
			scheduler_ready(rig->scheduler, action.lane, rig->now);
			action.lane->idle += action.lane != busy;
			continue;
		}
		action.lane->idle--;
		load = rig_take(rig, action.lane);
		action.lane->idle++;
		if (!load)
			continue;
		rig_settle(rig, load, SETTLE_DELIVERED, "250 ok");
		count(&counts, action.lane, 1);
	}
	return counts;
}

static void three_to_one_is_three_to_one(void **state)
{
	struct counts counts;
	struct rig rig;

	(void)state;
	rig_open(&rig, CONF);
	fill(&rig, 400, "uid:1");
	counts = deliver(&rig, NULL);
	assert_int_equal(counts.work, 300);
	assert_int_equal(counts.home, 100);
	assert_int_equal(counts.backup, 0);
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void single_messages_of_many_submitters_share_like_one_flow(void **state)
{
	struct counts counts = { 0 };
	struct rig rig;

	(void)state;
	rig_open(&rig, CONF);
	for (int i = 0; i < 400; i++) {
		char submitter[32];

		snprintf(submitter, sizeof submitter, "uid:%d", i);
		fill(&rig, 1, submitter);
		struct counts one = deliver(&rig, NULL);

		counts.work += one.work;
		counts.home += one.home;
	}
	assert_int_equal(counts.work + counts.home, 400);
	assert_in_range(counts.home, 70, 130);
	rig_close(&rig);
}

static void the_share_of_a_failing_lane_goes_to_the_others_and_comes_back(void **state)
{
	struct counts counts;
	struct rig rig;
	struct lane *work;
	struct lane_failure failure = { .trouble = TRAFFIC_LANE, .text = "refused" };

	(void)state;
	rig_open(&rig, CONF);
	fill(&rig, 40, "uid:1");
	work = rig_lane(&rig, "work");
	lane_failed(work, &failure, 0, &rig.scheduler->chance, rig.now);
	counts = deliver(&rig, NULL);
	assert_int_equal(counts.home, 40);
	assert_int_equal(counts.work + counts.backup, 0);
	/* Its probe is a message of the flow; well again, it has its share. */
	rig_pass(&rig, 6000);
	fill(&rig, 41, "uid:1");
	counts = deliver(&rig, NULL);
	assert_int_equal(work->trouble, TRAFFIC_WELL);
	assert_int_equal(counts.work + counts.home, 41);
	assert_in_range(counts.work, 28, 32);
	rig_close(&rig);
}

static void a_paused_lane_is_passed_over(void **state)
{
	struct counts counts;
	struct rig rig;

	(void)state;
	rig_open(&rig, CONF);
	scheduler_pause(rig.scheduler, "home", "root", rig.now);
	fill(&rig, 20, "uid:1");
	counts = deliver(&rig, NULL);
	assert_int_equal(counts.work, 20);
	/* Those without a weight come after all that have one. */
	scheduler_pause(rig.scheduler, "work", "root", rig.now);
	fill(&rig, 20, "uid:1");
	counts = deliver(&rig, NULL);
	assert_int_equal(counts.backup, 20);
	rig_close(&rig);
}

/* "work" is full from the first moment on: its turn is kept for LINEUP_HOLD_MS once, not once for each message. */
static void a_full_lane_keeps_its_turn_for_a_second_and_then_costs_the_others_nothing(void **state)
{
	struct counts counts;
	struct rig rig;
	struct lane *work;

	(void)state;
	rig_open(&rig, CONF);
	work = rig_lane(&rig, "work");
	fill(&rig, 40, "uid:1");
	counts = deliver(&rig, work);
	assert_int_equal(counts.work, 0);
	assert_in_range(counts.home, 0, 1);
	int first = counts.home;

	assert_true(scheduler_deadline(rig.scheduler) <= rig.now.boot_ms + LINEUP_HOLD_MS);
	rig_pass(&rig, LINEUP_HOLD_MS - 1);
	counts = deliver(&rig, work);
	assert_int_equal(counts.home, 0);
	rig_pass(&rig, 1);
	counts = deliver(&rig, work);
	assert_int_equal(counts.home, 40 - first);
	assert_int_equal(rig_messages(&rig), 0);
	/* When it can take a message it is back in the round, without a claim to what it missed. */
	work->idle++;
	fill(&rig, 40, "uid:1");
	counts = deliver(&rig, NULL);
	assert_in_range(counts.work, 29, 31);
	assert_int_equal(counts.work + counts.home, 40);
	rig_close(&rig);
}

static void a_used_up_rate_gives_its_share_away_until_there_is_a_token(void **state)
{
	struct counts counts;
	struct rig rig;

	(void)state;
	rig_open(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none rate = \"6/min\" }\n"
		       "smarthost \"home\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
		       "route \"all\" { via = {\"work=3\", \"home=1\"} }\n");
	for (int i = 0; i < 60; i++)
		rig_mail(&rig, (struct rig_mail){ .target = "work=3,home=1" });
	counts = deliver(&rig, NULL);
	assert_int_equal(counts.work, 6);
	assert_in_range(counts.home, 2, 3);
	rig_pass(&rig, LINEUP_HOLD_MS);
	counts = deliver(&rig, NULL);
	assert_int_equal(counts.work, 0);
	assert_int_equal(rig_messages(&rig), 0);
	/* A token each ten seconds: one message more. */
	rig_pass(&rig, 10 * 1000);
	for (int i = 0; i < 8; i++)
		rig_mail(&rig, (struct rig_mail){ .target = "work=3,home=1" });
	for (int i = 0; i < 3; i++) {
		struct counts more = deliver(&rig, NULL);

		counts.work += more.work;
		rig_pass(&rig, LINEUP_HOLD_MS);
	}
	assert_int_equal(counts.work, 1);
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void weights_of_a_new_configuration_count_for_mail_that_waits(void **state)
{
	struct counts counts;
	struct config *next;
	struct rig rig;

	(void)state;
	rig_open(&rig, CONF);
	scheduler_pause(rig.scheduler, NULL, "root", rig.now);
	fill(&rig, 40, "uid:1");
	next = rig_config(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n"
				"smarthost \"home\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
				"route \"all\" { via = {\"work=1\", \"home=1\"} }\n");
	scheduler_configure(rig.scheduler, next, NULL, NULL, rig.now);
	sweep_start(&rig.sweep, true, rig.now);
	config_unref(rig.config);
	rig.config = next;
	rig_turn(&rig);
	assert_int_equal(rig.sweep.messages, 40);
	scheduler_resume(rig.scheduler, NULL, rig.now);
	counts = deliver(&rig, NULL);
	assert_int_equal(counts.work, 20);
	assert_int_equal(counts.home, 20);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_to_one_is_three_to_one),
		cmocka_unit_test(single_messages_of_many_submitters_share_like_one_flow),
		cmocka_unit_test(the_share_of_a_failing_lane_goes_to_the_others_and_comes_back),
		cmocka_unit_test(a_paused_lane_is_passed_over),
		cmocka_unit_test(a_full_lane_keeps_its_turn_for_a_second_and_then_costs_the_others_nothing),
		cmocka_unit_test(a_used_up_rate_gives_its_share_away_until_there_is_a_token),
		cmocka_unit_test(weights_of_a_new_configuration_count_for_mail_that_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
