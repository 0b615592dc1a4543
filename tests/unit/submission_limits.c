#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/mem.h"
#include "submission/limits.h"
#include "tests/unit/queue_kit.h"

static void a_client_gets_as_many_connections_as_allowed(void **state)
{
	struct limits *limits = limits_new();

	(void)state;
	assert_true(limits_open(limits, "a", 2, 0));
	assert_true(limits_open(limits, "a", 2, 0));
	assert_false(limits_open(limits, "a", 2, 0));
	assert_true(limits_open(limits, "b", 2, 0));
	limits_close(limits, "a");
	assert_true(limits_open(limits, "a", 2, 0));
	assert_true(limits_open(limits, "a", 0, 0));
	limits_free(limits);
}

static void a_rate_allows_a_burst_of_one_period_and_then_the_rate(void **state)
{
	struct limits *limits = limits_new();
	struct config_rate rate = { 10, 60000 };

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(limits_take(limits, "uid:1", rate, 1000), 0);
	assert_int_equal(limits_take(limits, "uid:1", rate, 1000), 6000);
	assert_int_equal(limits_take(limits, "uid:1", rate, 6000), 1000);
	assert_int_equal(limits_take(limits, "uid:1", rate, 7000), 0);
	assert_int_equal(limits_take(limits, "uid:1", rate, 7000), 6000);
	limits_free(limits);
}

static void a_runaway_submitter_uses_up_only_its_own_rate(void **state)
{
	struct limits *limits = limits_new();
	struct config_rate rate = { 2, 60000 };

	(void)state;
	for (int i = 0; i < 100; i++)
		limits_take(limits, "uid:1", rate, 0);
	assert_true(limits_take(limits, "uid:1", rate, 0) > 0);
	assert_int_equal(limits_take(limits, "uid:2", rate, 0), 0);
	limits_free(limits);
}

static void rate_zero_is_no_limit(void **state)
{
	struct limits *limits = limits_new();

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(limits_take(limits, "uid:1", (struct config_rate){ 0, 1000 }, 0), 0);
	limits_free(limits);
}

static void endless_new_clients_are_refused_and_forgotten_in_time(void **state)
{
	struct limits *limits = limits_new();
	char name[32];

	(void)state;
	for (int i = 0; i < LIMITS_MAX; i++) {
		snprintf(name, sizeof(name), "net:%d", i);
		assert_true(limits_open(limits, name, 1, 0));
	}
	assert_false(limits_open(limits, "one-more", 1, 0));
	assert_int_equal(limits_take(limits, "one-more", (struct config_rate){ 5, 60000 }, 0), 60000);
	limits_close(limits, "net:17");
	assert_true(limits_open(limits, "one-more", 1, 1));
	limits_free(limits);
}

static void a_raised_rate_does_not_keep_the_old_debt(void **state)
{
	struct limits *limits = limits_new();
	struct config_rate day = { 10, 86400000 }, minute = { 60, 60000 };

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(limits_take(limits, "uid:1", day, 1000), 0);
	assert_int_equal(limits_take(limits, "uid:1", minute, 1000), 1000);
	assert_int_equal(limits_take(limits, "uid:1", minute, 2000), 0);
	limits_free(limits);
}

/* ---------------------------------------------------------------- quotas */

static const struct config_rate daily = { 10, 86400000 };

enum { DAY = 86400000, NOW = 5000 };

static void a_quota_is_used_up_and_comes_back_by_and_by(void **state)
{
	struct limits *limits = limits_new();

	(void)state;
	assert_int_equal(limits_spend(limits, "uid:1", daily, 4, NOW), 0);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 6, NOW), 0);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, NOW), DAY / 10);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 10, NOW), DAY);
	assert_int_equal(limits_spend(limits, "uid:2", daily, 10, NOW), 0);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, NOW + DAY / 10), 0);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, NOW + DAY / 10), DAY / 10);
	limits_free(limits);
}

static void more_than_the_whole_quota_never_fits(void **state)
{
	struct limits *limits = limits_new();

	(void)state;
	assert_true(limits_spend(limits, "uid:1", daily, 11, NOW) == INT64_MAX);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 10, NOW), 0);
	assert_int_equal(limits_spend(limits, "uid:1", (struct config_rate){ 0 }, 11, NOW), 0);
	limits_free(limits);
}

static void what_was_not_queued_is_given_back(void **state)
{
	struct limits *limits = limits_new();

	(void)state;
	assert_int_equal(limits_spend(limits, "uid:1", daily, 10, NOW), 0);
	limits_give_back(limits, "uid:1", daily, 3);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 3, NOW), 0);
	assert_int_not_equal(limits_spend(limits, "uid:1", daily, 1, NOW), 0);
	limits_give_back(limits, "nobody", daily, 3);
	limits_free(limits);
}

static void a_large_quota_is_exact(void **state)
{
	struct limits *limits = limits_new();
	struct config_rate million = { 999999, 86400000 };
	uint32_t taken = 0;

	(void)state;
	while (limits_spend(limits, "uid:1", million, 1, NOW) == 0)
		taken++;
	assert_int_equal(taken, 999999);
	limits_free(limits);
}

static void rate_and_quota_of_one_submitter_do_not_touch(void **state)
{
	struct limits *limits = limits_new();

	(void)state;
	assert_int_equal(limits_spend(limits, "uid:1", daily, 10, NOW), 0);
	assert_int_equal(limits_take(limits, "uid:1", (struct config_rate){ 1, 60000 }, NOW), 0);
	assert_int_equal(limits_take(limits, "uid:1", (struct config_rate){ 1, 60000 }, NOW), 60000);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, NOW), DAY / 10);
	limits_free(limits);
}

/* Spends, writes it with an operation, and reads it into the limits of the next start. */
static struct limits *restart(struct kit *k, struct limits *limits, const char *submitter, int64_t wall_ms,
			      int64_t next_ms, int64_t next_wall_ms)
{
	struct queue_op *op = queue_op_new(k->q);
	struct limits *next = limits_new();

	limits_keep(limits, submitter, op, NOW, wall_ms);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	limits_free(limits);
	limits_restore(next, queue_view(k->q), next_ms, next_wall_ms);
	queue_view_end(k->q);
	return next;
}

static size_t kept(struct kit *k)
{
	char name[QUEUE_STATE_NAME_SIZE] = "";
	struct queue_bytes value;
	size_t n = 0;

	while (queue_view_state_next(queue_view(k->q), name, name, &value) == QUEUE_OK)
		n++;
	queue_view_end(k->q);
	return n;
}

static const int64_t wall = INT64_C(1764000000000);

static void a_quota_outlives_a_restart(void **state)
{
	struct kit *k = *state;
	struct limits *limits = limits_new();

	assert_int_equal(limits_spend(limits, "user:alice", daily, 10, NOW), 0);
	/* Ten minutes later by the wall, on a machine that has just booted. */
	limits = restart(k, limits, "user:alice", wall, 100, wall + 600000);
	assert_int_equal(limits_spend(limits, "user:alice", daily, 1, 100), DAY / 10 - 600000);
	assert_int_equal(limits_spend(limits, "user:bob", daily, 10, 100), 0);
	limits_free(limits);
}

static void a_wall_clock_that_jumps_back_costs_one_period_at_most(void **state)
{
	struct kit *k = *state;
	struct limits *limits = limits_new();

	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, NOW), 0);
	limits = restart(k, limits, "uid:1", wall, 100, wall - 40 * (int64_t)DAY);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, 100), DAY / 10);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, 100 + DAY / 10), 0);
	limits_free(limits);
}

static void a_wall_clock_that_jumps_ahead_frees_and_no_more(void **state)
{
	struct kit *k = *state;
	struct limits *limits = limits_new();

	assert_int_equal(limits_spend(limits, "uid:1", daily, 10, NOW), 0);
	limits = restart(k, limits, "uid:1", wall, 100, wall + 400 * (int64_t)DAY);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 10, 100), 0);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 1, 100), DAY / 10);
	limits_free(limits);
}

static void quotas_that_are_full_again_leave_the_disk(void **state)
{
	struct kit *k = *state;
	struct limits *limits = limits_new();
	struct queue_op *op;
	char name[32];

	for (int i = 0; i < 20; i++) {
		op = queue_op_new(k->q);
		snprintf(name, sizeof(name), "uid:%d", i);
		assert_int_equal(limits_spend(limits, name, daily, 1, NOW), 0);
		limits_keep(limits, name, op, NOW, wall);
		assert_int_equal(kit_run(k, op), QUEUE_OK);
	}
	assert_int_equal(kept(k), 20);
	for (int i = 0; i < 200; i++) {
		op = queue_op_new(k->q);
		limits_spend(limits, "uid:99", daily, 1, NOW + DAY);
		limits_keep(limits, "uid:99", op, NOW + DAY, wall + DAY);
		assert_int_equal(kit_run(k, op), QUEUE_OK);
	}
	assert_int_equal(kept(k), 1);
	limits_free(limits);
}

static void the_number_of_quotas_on_disk_is_bounded(void **state)
{
	struct kit *k = *state;
	struct limits *limits = limits_new();
	char name[32];

	for (int i = 0; i < LIMITS_KEPT_MAX + 10;) {
		struct queue_op *op = queue_op_new(k->q);

		for (int n = 0; n < 500; n++, i++) {
			snprintf(name, sizeof(name), "net:%d", i);
			assert_int_equal(limits_spend(limits, name, daily, 1, NOW), 0);
			limits_keep(limits, name, op, NOW, wall);
		}
		assert_int_equal(kit_run(k, op), QUEUE_OK);
	}
	assert_int_equal(kept(k), LIMITS_KEPT_MAX);
	limits = restart(k, limits, "net:0", wall, NOW, wall);
	assert_int_equal(limits_spend(limits, "net:0", daily, 10, NOW), DAY / 10);
	limits_free(limits);
}

static void values_of_others_and_damaged_ones_are_passed_over(void **state)
{
	struct kit *k = *state;
	struct queue_op *op = queue_op_new(k->q);
	struct limits *limits = limits_new();

	queue_op_state(op, "quota/uid:1", (struct queue_bytes){ "short", 5 });
	queue_op_state(op, "quota/uid:2", (struct queue_bytes){ "\xff\xff\xff\xff\xff\xff\xff\xff", 8 });
	queue_op_state(op, "quotient", (struct queue_bytes){ "12345678", 8 });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	limits_restore(limits, queue_view(k->q), NOW, wall);
	queue_view_end(k->q);
	assert_int_equal(limits_spend(limits, "uid:1", daily, 10, NOW), 0);
	assert_int_equal(limits_spend(limits, "uid:2", daily, 1, NOW), DAY / 10);
	limits_free(limits);
}

static int set_up_queue(void **state)
{
	struct kit *k = MEM_NEW(struct kit);

	*state = k;
	kit_init(k);
	assert_int_equal(kit_open(k), QUEUE_OK);
	return 0;
}

static int tear_down_queue(void **state)
{
	kit_fini(*state);
	mem_free(*state);
	return 0;
}

#define WITH_QUEUE(test) cmocka_unit_test_setup_teardown(test, set_up_queue, tear_down_queue)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_raised_rate_does_not_keep_the_old_debt),
		cmocka_unit_test(a_client_gets_as_many_connections_as_allowed),
		cmocka_unit_test(a_rate_allows_a_burst_of_one_period_and_then_the_rate),
		cmocka_unit_test(a_runaway_submitter_uses_up_only_its_own_rate),
		cmocka_unit_test(rate_zero_is_no_limit),
		cmocka_unit_test(a_quota_is_used_up_and_comes_back_by_and_by),
		cmocka_unit_test(more_than_the_whole_quota_never_fits),
		cmocka_unit_test(what_was_not_queued_is_given_back),
		cmocka_unit_test(a_large_quota_is_exact),
		cmocka_unit_test(rate_and_quota_of_one_submitter_do_not_touch),
		WITH_QUEUE(a_quota_outlives_a_restart),
		WITH_QUEUE(a_wall_clock_that_jumps_back_costs_one_period_at_most),
		WITH_QUEUE(a_wall_clock_that_jumps_ahead_frees_and_no_more),
		WITH_QUEUE(quotas_that_are_full_again_leave_the_disk),
		WITH_QUEUE(the_number_of_quotas_on_disk_is_bounded),
		WITH_QUEUE(values_of_others_and_damaged_ones_are_passed_over),
		cmocka_unit_test(endless_new_clients_are_refused_and_forgotten_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
