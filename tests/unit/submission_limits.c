#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "submission/limits.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_raised_rate_does_not_keep_the_old_debt),
		cmocka_unit_test(a_client_gets_as_many_connections_as_allowed),
		cmocka_unit_test(a_rate_allows_a_burst_of_one_period_and_then_the_rate),
		cmocka_unit_test(a_runaway_submitter_uses_up_only_its_own_rate),
		cmocka_unit_test(rate_zero_is_no_limit),
		cmocka_unit_test(endless_new_clients_are_refused_and_forgotten_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
