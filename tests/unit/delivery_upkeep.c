#include "delivery_rig.h"

#include "delivery/upkeep.h"

enum { MANY = 4500 };

static int open_rig(void **state)
{
	struct rig *rig = mem_calloc(1, sizeof *rig);

	rig_open(rig, "smarthost \"work\" { host = \"127.0.0.1\" tls = none }\nroute \"all\" { via = {\"work\"} }\n");
	*state = rig;
	return 0;
}

static int close_rig(void **state)
{
	rig_close(*state);
	mem_free(*state);
	return 0;
}

/* Records of `count` messages that were delivered now. */
static void deliver(struct rig *rig, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct queue_outcome outcome = { .kind = QUEUE_DELIVERED,
						 .at_ms = rig->now.wall_ms,
						 .reply = "",
						 .host = "",
						 .lane = "",
						 .tls = "",
						 .address = "" };
		struct queue_op *op;

		rig_hand_in(rig, (struct rig_mail){ .lifetime_ms = RIG_HOUR });
		queue_wait(rig->queue);
		op = queue_op_new(rig->queue);
		outcome.id = rig->accepted;
		queue_op_settle(op, rig->accepted, &outcome, 1);
		queue_op_submit(op, NULL, NULL);
	}
	queue_wait(rig->queue);
}

static uint64_t records(struct rig *rig)
{
	struct queue_stats stats;

	queue_stats(rig->queue, &stats);
	return stats.history_records;
}

/* Steps at one moment until nothing is written any more; how many operations there were. */
static size_t tend(struct rig *rig, struct upkeep *u, uint64_t finished)
{
	size_t count = 0;

	for (int quiet = 0; quiet < 2; quiet++) {
		upkeep_step(u, finished, rig->now);
		if (!u->is_writing)
			continue;
		count++;
		quiet = 0;
		queue_wait(rig->queue);
	}
	return count;
}

static void all_old_history_goes_in_small_operations(void **state)
{
	struct rig *rig = *state;
	struct upkeep u;

	deliver(rig, MANY);
	assert_int_equal(records(rig), MANY);
	upkeep_init(&u, rig->queue, rig->scheduler, rig->now);
	rig_pass(rig, 31LL * RIG_DAY);
	assert_in_range(tend(rig, &u, 1), MANY / UPKEEP_BATCH, MANY / UPKEEP_BATCH + 2);
	assert_int_equal(records(rig), 0);
}

static void young_history_stays(void **state)
{
	struct rig *rig = *state;
	struct upkeep u;

	deliver(rig, 20);
	upkeep_init(&u, rig->queue, rig->scheduler, rig->now);
	assert_int_equal(tend(rig, &u, 20), 0); /* not before its time */
	rig_pass(rig, RIG_DAY);
	assert_int_equal(tend(rig, &u, 20), 1);
	assert_int_equal(records(rig), 20);
	assert_int_equal(tend(rig, &u, 20), 0);
}

static void a_disk_that_fails_is_not_pressed(void **state)
{
	struct rig *rig = *state;
	struct upkeep u;

	deliver(rig, 20);
	upkeep_init(&u, rig->queue, rig->scheduler, rig->now);
	rig_pass(rig, 31LL * RIG_DAY);
	rig->is_failing = true;
	assert_int_equal(tend(rig, &u, 20), 1);
	rig->is_failing = false;
	assert_int_equal(records(rig), 20);
	rig_pass(rig, RIG_DAY);
	assert_int_equal(tend(rig, &u, 20), 1);
	assert_int_equal(records(rig), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_old_history_goes_in_small_operations, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(young_history_stays, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(a_disk_that_fails_is_not_pressed, open_rig, close_rig),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
