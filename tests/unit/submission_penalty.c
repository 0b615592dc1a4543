/* Failed logins: later and later answers, a limit, and a table that cannot grow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "submission/penalty.h"

static void answers_come_later_with_each_failure(void **state)
{
	static const int64_t delays[] = { 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000 };
	struct penalty *penalty = penalty_new();
	int64_t now = 1000000;

	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		assert_int_equal(penalty_add(penalty, "192.0.2.7", now), delays[i]);
		now += 40000;
	}
	assert_int_equal(penalty_add(penalty, "192.0.2.8", now), 1000); /* others are others */
	penalty_succeed(penalty, "192.0.2.7");
	assert_int_equal(penalty_add(penalty, "192.0.2.7", now), 1000);
	assert_int_equal(penalty_add(penalty, "192.0.2.7", now + 1000), 2000);
	/* Ten quiet minutes, and all is forgotten. */
	assert_int_equal(penalty_add(penalty, "192.0.2.7", now + 1000 + PENALTY_WINDOW_MS), 1000);
	penalty_succeed(penalty, "nobody");
	penalty_free(penalty);
	penalty_free(NULL);
}

static void twenty_failures_keep_out_until_one_is_paid_off(void **state)
{
	struct penalty *penalty = penalty_new();
	int64_t now = 1000000;

	(void)state;
	for (int i = 0; i < PENALTY_FAILURES; i++) {
		assert_int_equal(penalty_wait(penalty, "a", now), 0);
		penalty_add(penalty, "a", now);
	}
	assert_int_equal(penalty_wait(penalty, "a", now), 30000);
	assert_int_equal(penalty_wait(penalty, "b", now), 0);
	/* A login of one's own does not wash it away. */
	penalty_succeed(penalty, "a");
	assert_int_equal(penalty_wait(penalty, "a", now + 1), 29999);
	/* Those under way together do not keep out for hours. */
	for (int i = 0; i < 1000; i++)
		penalty_add(penalty, "a", now);
	assert_int_equal(penalty_wait(penalty, "a", now), 30000);
	assert_int_equal(penalty_wait(penalty, "a", now + 30000), 0);
	penalty_add(penalty, "a", now + 30000);
	assert_int_equal(penalty_wait(penalty, "a", now + 30000), 30000);
	penalty_free(penalty);
}

static void the_table_has_room_for_so_many_and_the_quietest_go(void **state)
{
	struct penalty *penalty = penalty_new();
	char who[32];

	(void)state;
	for (int i = 0; i < PENALTY_FAILURES; i++)
		penalty_add(penalty, "first", 1000);
	for (int i = 0; i < PENALTY_FAILURES; i++)
		penalty_add(penalty, "second", 1000);
	for (int i = 0; i < PENALTY_MAX - 2; i++) {
		snprintf(who, sizeof(who), "%d", i);
		penalty_add(penalty, who, 1001);
	}
	assert_true(penalty_wait(penalty, "first", 1001) > 0);
	penalty_add(penalty, "first", 1002); /* is no longer the quietest */
	penalty_add(penalty, "one more", 1002);
	assert_true(penalty_wait(penalty, "first", 1002) > 0);
	assert_int_equal(penalty_wait(penalty, "second", 1002), 0);
	penalty_free(penalty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_later_with_each_failure),
		cmocka_unit_test(twenty_failures_keep_out_until_one_is_paid_off),
		cmocka_unit_test(the_table_has_room_for_so_many_and_the_quietest_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
