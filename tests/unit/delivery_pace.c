/* How many connections a lane may have: the table of pace.h, row by row, and what the scheduler makes of it. */
#include "delivery_rig.h"

#include "delivery/pace.h"

static const struct config_backoff BACKOFF = { .first_ms = 5000, .factor = 2, .max_ms = 15 * 60 * 1000 };
enum { MAX = 20 };

enum event { DELIVERED, REFUSED, LOST, CROWDED, TAKEN, WAITED };

static struct moment now;

static void tell(struct pace *pace, enum event event)
{
	struct chance chance = { 1 };
	uint32_t others = pace->limit > 1 ? pace->limit - 1 : 1;

	switch (event) {
	case DELIVERED: pace_delivered(pace, MAX, now); break;
	case REFUSED: pace_failed(pace, others, false, "connection refused", &BACKOFF, &chance, now); break;
	case LOST: pace_failed(pace, others, true, "421 4.4.2 timeout", &BACKOFF, &chance, now); break;
	case CROWDED: pace_failed(pace, others, true, "421 Too many Connections", &BACKOFF, &chance, now); break;
	case TAKEN: pace_opened(pace, 1, pace->limit, MAX, now); break;
	case WAITED: now.boot_ms += 6000; break;
	}
}

static void limits_follow_the_table(void **state)
{
	static const struct {
		const char *name;
		struct {
			enum event event;
			uint32_t times, limit;
		} steps[8];
	} rows[] = {
		{ "it doubles with each round", { { DELIVERED, 1, 2 }, { DELIVERED, 2, 4 }, { DELIVERED, 4, 8 } } },
		{ "never more than configured", { { DELIVERED, 100, MAX } } },
		{ "a refusal is a ceiling, tried again later",
		  { { DELIVERED, 9, 10 },
		    { REFUSED, 1, 9 },
		    { DELIVERED, 100, 9 },
		    { WAITED, 1, 9 },
		    { DELIVERED, 9, 10 },
		    { DELIVERED, 100, 10 },
		    { TAKEN, 1, 10 },
		    { DELIVERED, 10, 11 } } },
		{ "refused again it waits twice as long",
		  { { DELIVERED, 9, 10 },
		    { REFUSED, 1, 9 },
		    { WAITED, 1, 9 },
		    { DELIVERED, 9, 10 },
		    { REFUSED, 1, 9 },
		    { WAITED, 1, 9 },
		    { DELIVERED, 100, 9 } } },
		{ "a lost connection halves it, and it rises by one a round",
		  { { DELIVERED, 15, 16 },
		    { LOST, 1, 8 },
		    { DELIVERED, 7, 8 },
		    { DELIVERED, 1, 9 },
		    { DELIVERED, 9, 10 } } },
		{ "the server's words about connections are a ceiling",
		  { { DELIVERED, 9, 10 }, { CROWDED, 1, 9 }, { DELIVERED, 100, 9 } } },
		{ "it never falls to none", { { LOST, 5, 1 }, { DELIVERED, 1, 2 } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct pace pace;

		pace_init(&pace);
		for (size_t j = 0; j < 8 && rows[i].steps[j].times; j++) {
			for (uint32_t k = 0; k < rows[i].steps[j].times; k++)
				tell(&pace, rows[i].steps[j].event);
			if (pace.limit != rows[i].steps[j].limit)
				fail_msg("%s, step %zu: %u instead of %u", rows[i].name, j, pace.limit,
					 rows[i].steps[j].limit);
		}
	}
}

static void a_server_that_gets_slow_for_all_gets_fewer(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace);
	for (int i = 0; i < 15; i++)
		pace_delivered(&pace, MAX, now);
	for (int i = 0; i < 32; i++)
		pace_took(&pace, 100);
	for (int i = 0; i < 32; i++)
		pace_took(&pace, i % 3 ? 60000 : 120); /* some large messages */
	assert_int_equal(pace.limit, 16);
	for (int i = 0; i < 32; i++)
		pace_took(&pace, 3000);
	assert_int_equal(pace.limit, 8);
	/* And as it stays so, that is how it is. */
	for (int i = 0; i < 2000; i++)
		pace_took(&pace, 3000);
	pace_restart(&pace);
	assert_int_equal(pace.limit, 1);
}

static const char TEN[] =
	"smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none connections = 10 }\n"
	"route \"all\" { via = {\"work\"} }\n";

static void deliver(struct rig *rig, struct lane *lane, int64_t ms)
{
	struct load *load = rig_take(rig, lane);

	assert_non_null(load);
	rig_pass(rig, ms);
	scheduler_delivered(rig->scheduler, lane, rig->now);
	rig_settle(rig, load, SETTLE_DELIVERED, "250 ok");
}

static void a_burst_opens_all_connections_in_a_few_rounds(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;
	int rounds = 0;

	(void)state;
	rig_open(&rig, TEN);
	for (int i = 0; i < 100; i++)
		rig_hand_in(&rig, (struct rig_mail){ 0 });
	rig_turn(&rig);
	assert_true(rig_step(&rig, &action));
	lane = action.lane;
	rig_pass(&rig, 20);
	scheduler_ready(rig.scheduler, lane, rig.now);
	for (; lane->ready < 10; rounds++) {
		struct load *loads[10];
		uint32_t count = lane->ready, opened = 0;

		assert_in_range(rounds, 0, 6);
		for (uint32_t i = 0; i < count; i++)
			assert_non_null(loads[i] = rig_take(&rig, lane));
		rig_pass(&rig, 5);
		for (uint32_t i = 0; i < count; i++) {
			scheduler_delivered(rig.scheduler, lane, rig.now);
			rig_settle(&rig, loads[i], SETTLE_DELIVERED, "250 ok");
		}
		while (rig_step(&rig, &action)) {
			assert_int_equal(action.kind, SCHEDULER_CONNECT);
			opened++;
		}
		rig_pass(&rig, 20);
		while (opened--)
			scheduler_ready(rig.scheduler, lane, rig.now);
	}
	assert_in_range(rounds, 3, 6);
	rig_close(&rig);
}

static void one_message_waits_for_a_busy_connection_and_no_longer_than_that_should_take(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, TEN);
	rig_mail(&rig, (struct rig_mail){ 0 });
	assert_true(rig_step(&rig, &action));
	lane = action.lane;
	rig_pass(&rig, 200); /* a connection takes 200 ms, a message 50 */
	scheduler_ready(rig.scheduler, lane, rig.now);
	deliver(&rig, lane, 50);
	lane->pace.turn_ms = 50;
	for (int i = 0; i < 2; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	load = rig_take(&rig, lane);
	rig_nothing(&rig); /* the other one: soon its turn */
	assert_true(scheduler_deadline(rig.scheduler) <= rig.now.boot_ms + 50);
	rig_pass(&rig, 49);
	rig_nothing(&rig);
	rig_pass(&rig, 1);
	assert_true(rig_step(&rig, &action)); /* it did not come */
	assert_int_equal(action.kind, SCHEDULER_CONNECT);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	scheduler_gone(rig.scheduler, lane, false, rig.now);
	for (int i = 0; i < 6; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	load = rig_take(&rig, lane);
	assert_true(rig_step(&rig, &action)); /* five more are worth one */
	assert_int_equal(action.kind, SCHEDULER_CONNECT);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	rig_close(&rig);
}

static void too_many_connections_is_no_reason_to_stop(void **state)
{
	struct rig rig;
	struct lane_failure failure = { .trouble = TRAFFIC_ACCOUNT,
					.is_throttled = true,
					.text = "421 4.7.0 Too many connections from your host" };
	struct lane *lane;

	(void)state;
	rig_open(&rig, TEN);
	for (int i = 0; i < 10; i++)
		rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	lane->pace.limit = 4;
	rig_connect(&rig, "work");
	assert_false(scheduler_failed(rig.scheduler, lane, &failure, false, rig.now));
	assert_int_equal(lane->trouble, TRAFFIC_WELL);
	assert_int_equal(lane->pace.ceiling, 2);
	failure.text = "421 4.7.0 Too many messages today";
	assert_true(scheduler_failed(rig.scheduler, lane, &failure, false, rig.now));
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_follow_the_table),
		cmocka_unit_test(a_server_that_gets_slow_for_all_gets_fewer),
		cmocka_unit_test(a_burst_opens_all_connections_in_a_few_rounds),
		cmocka_unit_test(one_message_waits_for_a_busy_connection_and_no_longer_than_that_should_take),
		cmocka_unit_test(too_many_connections_is_no_reason_to_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
