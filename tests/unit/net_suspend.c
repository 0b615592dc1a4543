/* The loop after a suspend: boot time has gone on, monotonic time has not. This test brings its own base/clock. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "base/clock.h"
#include "net/loop.h"

static int64_t slept_ms;

static int64_t read_clock(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_boot_ms(void)
{
	return read_clock(CLOCK_MONOTONIC) + slept_ms;
}

int64_t clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME) + slept_ms;
}

static unsigned fired;

static void on_timer(struct loop_timer *timer)
{
	(void)timer;
	fired++;
}

static void a_timer_that_passed_during_a_suspend_fires_at_once_after_it(void **state)
{
	struct loop *loop = loop_new();
	struct loop_timer due, later;

	(void)state;
	loop_timer_init(&due, loop, on_timer);
	loop_timer_init(&later, loop, on_timer);
	loop_timer_in(&due, 3600 * 1000);
	loop_timer_in(&later, 3 * 3600 * 1000);
	loop_turn(loop, 1);
	assert_int_equal(fired, 0);
	slept_ms = 2 * 3600 * 1000;
	loop_turn(loop, 1); /* wakes and sees the jump */
	loop_turn(loop, 1);
	assert_int_equal(fired, 1);
	assert_true(due.at_ms == INT64_MAX);
	assert_true(later.at_ms > loop_now_ms(loop) + 3599 * 1000);
	loop_timer_stop(&later);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_that_passed_during_a_suspend_fires_at_once_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
