/* The loop: what it promises about timers, tasks, descriptors and signals. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "tests/unit/support/pump.h"

static struct loop *loop;
static char story[64]; /* what happened, a letter each */
static size_t told;

static void note(char c)
{
	assert_true(told < sizeof(story) - 1);
	story[told++] = c;
	story[told] = '\0';
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	told = 0;
	story[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

struct marked_timer {
	struct loop_timer timer;
	char mark;
	int64_t fired_ms;
	struct loop_timer *victim;
};

static void on_marked(struct loop_timer *timer)
{
	struct marked_timer *m = LIST_ENTRY(timer, struct marked_timer, timer);

	note(m->mark);
	m->fired_ms = loop_now_ms(loop);
	if (m->victim)
		loop_timer_stop(m->victim);
}

static void a_timer_fires_once_and_not_before_its_time(void **state)
{
	struct marked_timer t = { .mark = 't' };
	int64_t due;

	(void)state;
	loop_timer_init(&t.timer, loop, on_marked);
	loop_timer_in(&t.timer, 30);
	due = t.timer.at_ms;
	assert_true(PUMP(loop, told, 2000));
	assert_in_range(t.fired_ms, due, due + 1500);
	PUMP_IDLE(loop, 60);
	assert_string_equal(story, "t");
	assert_true(t.timer.at_ms == INT64_MAX);
}

static void a_timer_in_the_past_fires_in_the_next_turn(void **state)
{
	struct marked_timer t = { .mark = 't' };

	(void)state;
	loop_timer_init(&t.timer, loop, on_marked);
	loop_timer_at(&t.timer, clock_boot_ms() - 100000);
	loop_turn(loop, 1000);
	assert_string_equal(story, "t");
}

static void a_timer_moved_back_fires_only_at_the_later_time(void **state)
{
	struct marked_timer t = { .mark = 't' };
	int64_t due;

	(void)state;
	loop_timer_init(&t.timer, loop, on_marked);
	loop_timer_in(&t.timer, 20);
	loop_timer_in(&t.timer, 120);
	due = t.timer.at_ms;
	assert_true(PUMP(loop, told, 2000));
	assert_true(t.fired_ms >= due);
}

static void a_timer_moved_forward_fires_at_the_earlier_time(void **state)
{
	struct marked_timer t = { .mark = 't' };

	(void)state;
	loop_timer_init(&t.timer, loop, on_marked);
	loop_timer_in(&t.timer, 60000);
	loop_timer_in(&t.timer, 10);
	assert_true(PUMP(loop, told, 2000));
}

static void a_timer_without_end_is_a_stopped_one(void **state)
{
	struct marked_timer t = { .mark = 't' };

	(void)state;
	loop_timer_init(&t.timer, loop, on_marked);
	loop_timer_in(&t.timer, 1);
	loop_timer_at(&t.timer, INT64_MAX);
	PUMP_IDLE(loop, 30);
	loop_timer_in(&t.timer, INT64_MAX);
	PUMP_IDLE(loop, 10);
	assert_string_equal(story, "");
}

static void an_object_stopped_in_this_turn_is_not_called_although_its_event_was_found(void **state)
{
	struct marked_timer a = { .mark = 'a' }, b = { .mark = 'b' };

	(void)state;
	loop_timer_init(&a.timer, loop, on_marked);
	loop_timer_init(&b.timer, loop, on_marked);
	a.victim = &b.timer;
	b.victim = &a.timer;
	loop_timer_at(&a.timer, clock_boot_ms() - 1);
	loop_timer_at(&b.timer, clock_boot_ms() - 1);
	assert_true(PUMP(loop, told, 2000));
	PUMP_IDLE(loop, 30);
	assert_int_equal(told, 1);
}

struct marked_task {
	struct loop_task task;
	char mark;
	struct loop_task *next; /* posted by this one */
	int again;              /* how often it posts itself */
};

static void on_task(struct loop_task *task)
{
	struct marked_task *m = LIST_ENTRY(task, struct marked_task, task);

	note(m->mark);
	if (m->next)
		loop_task_post(m->next);
	if (m->again && m->again--)
		loop_task_post(task);
}

static void on_end(void *arg)
{
	(void)arg;
	note('.');
}

static void tasks_run_once_at_the_end_of_the_turn_and_before_its_end_is_told(void **state)
{
	struct marked_task a = { .mark = 'a' }, b = { .mark = 'b' };
	struct marked_timer t = { .mark = 't' };

	(void)state;
	loop_task_init(&a.task, loop, on_task);
	loop_task_init(&b.task, loop, on_task);
	a.next = &b.task;
	loop_task_post(&a.task);
	loop_task_post(&a.task);
	loop_timer_init(&t.timer, loop, on_marked);
	loop_on_turn_end(loop, on_end, NULL);
	loop_turn(loop, 0);
	assert_memory_equal(story, "ab.", 3);
}

static void a_stopped_task_does_not_run(void **state)
{
	struct marked_task a = { .mark = 'a' };

	(void)state;
	loop_task_init(&a.task, loop, on_task);
	loop_task_post(&a.task);
	loop_task_stop(&a.task);
	loop_turn(loop, 0);
	assert_string_equal(story, "");
}

static void a_task_that_never_rests_does_not_keep_others_from_their_turn(void **state)
{
	struct marked_task a = { .mark = 'a', .again = 40 };
	struct marked_timer t = { .mark = 't' };
	int before;

	(void)state;
	loop_task_init(&a.task, loop, on_task);
	loop_timer_init(&t.timer, loop, on_marked);
	loop_timer_in(&t.timer, 0);
	loop_task_post(&a.task);
	loop_turn(loop, 1000);
	before = a.again;
	assert_true(before > 0);
	assert_non_null(memchr(story, 't', told));
	loop_task_stop(&a.task);
}

struct marked_io {
	struct loop_io io;
	int events;
	unsigned calls;
};

static void on_io(struct loop_io *io, int events)
{
	struct marked_io *m = LIST_ENTRY(io, struct marked_io, io);

	m->events |= events;
	m->calls++;
}

static void a_descriptor_tells_only_what_it_was_asked_for(void **state)
{
	struct marked_io m = { .calls = 0 };
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	loop_io_init(&m.io, loop, fds[0], on_io);
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop_turn(loop, 20);
	assert_int_equal(m.calls, 0);
	loop_io_set(&m.io, LOOP_READ);
	loop_turn(loop, 1000);
	assert_int_equal(m.events, LOOP_READ);
	m.events = 0;
	loop_io_set(&m.io, LOOP_READ | LOOP_WRITE);
	loop_turn(loop, 1000);
	assert_int_equal(m.events, LOOP_READ | LOOP_WRITE);
	m.calls = 0;
	loop_io_set(&m.io, 0);
	loop_turn(loop, 20);
	assert_int_equal(m.calls, 0);
	loop_io_set(&m.io, LOOP_WRITE);
	loop_io_stop(&m.io);
	loop_turn(loop, 20);
	assert_int_equal(m.calls, 0);
	close(fds[0]);
	close(fds[1]);
}

static void a_new_descriptor_with_an_old_number_is_watched(void **state)
{
	struct marked_io a = { .calls = 0 }, b = { .calls = 0 };
	int first[2], second[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, first), 0);
	loop_io_init(&a.io, loop, first[0], on_io);
	loop_io_set(&a.io, LOOP_READ);
	loop_turn(loop, 1);
	loop_io_stop(&a.io);
	close(first[0]);
	close(first[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, second), 0);
	assert_int_equal(second[0], first[0]);
	loop_io_init(&b.io, loop, second[0], on_io);
	loop_io_set(&b.io, LOOP_READ);
	assert_int_equal(write(second[1], "x", 1), 1);
	loop_turn(loop, 1000);
	assert_int_equal(b.calls, 1);
	assert_int_equal(a.calls, 0);
	loop_io_stop(&b.io);
	close(second[0]);
	close(second[1]);
}

static void on_signal(struct loop_signal *sig)
{
	(void)sig;
	note('s');
	loop_stop(loop);
}

static void a_signal_is_told_inside_the_loop_and_may_stop_it(void **state)
{
	struct loop_signal sig;

	(void)state;
	loop_signal_init(&sig, loop, SIGUSR1, on_signal);
	kill(getpid(), SIGUSR1);
	loop_run(loop);
	assert_string_equal(story, "s");
	loop_signal_stop(&sig);
}

static void a_turn_waits_no_longer_than_it_may(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	loop_turn(loop, 30);
	assert_in_range(clock_boot_ms() - before, 25, 3000);
	before = clock_boot_ms();
	loop_turn(loop, 0);
	assert_in_range(clock_boot_ms() - before, 0, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_timer_fires_once_and_not_before_its_time),
		TEST(a_timer_in_the_past_fires_in_the_next_turn),
		TEST(a_timer_moved_back_fires_only_at_the_later_time),
		TEST(a_timer_moved_forward_fires_at_the_earlier_time),
		TEST(a_timer_without_end_is_a_stopped_one),
		TEST(an_object_stopped_in_this_turn_is_not_called_although_its_event_was_found),
		TEST(tasks_run_once_at_the_end_of_the_turn_and_before_its_end_is_told),
		TEST(a_stopped_task_does_not_run),
		TEST(a_task_that_never_rests_does_not_keep_others_from_their_turn),
		TEST(a_descriptor_tells_only_what_it_was_asked_for),
		TEST(a_new_descriptor_with_an_old_number_is_watched),
		TEST(a_signal_is_told_inside_the_loop_and_may_stop_it),
		TEST(a_turn_waits_no_longer_than_it_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
