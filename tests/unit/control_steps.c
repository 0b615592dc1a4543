/* `sendoff test` at the control socket, over a walk that only plays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "control/client.h"
#include "control/steps.h"

enum { DEADLINE_MS = 20000 };

static const struct permit admin = { .uid = 0, .all = true }, alice = { .uid = 1000 };

/* What the walk was asked for, and what it will say. */
static struct rig {
	struct client_room room;
	struct traffic traffic;
	struct traffic_walk_setup asked;
	char what[300], from[300], to[300];
	bool has_from, has_to;
	struct loop_timer timer;
	size_t steps, told;
	enum traffic_step_end end;
	bool is_refused;
	int walks, cancelled;
} rig;

static void tell(struct loop_timer *timer)
{
	struct traffic_step step = {
		.what = "TCP", .host = "mx.example.org", .text = "connected", .advice = "", .took_ms = 3
	};

	step.is_last = ++rig.told == rig.steps;
	step.end = step.is_last ? rig.end : TRAFFIC_STEP_WELL;
	rig.asked.step(rig.asked.arg, &step);
	if (!step.is_last)
		loop_timer_in(timer, 0);
}

static struct traffic_walk *walk(void *self, const struct traffic_walk_setup *setup, char *why, size_t why_size)
{
	(void)self;
	rig.asked = *setup;
	rig.has_from = setup->from;
	rig.has_to = setup->to;
	snprintf(rig.what, sizeof rig.what, "%s", setup->what);
	snprintf(rig.from, sizeof rig.from, "%s", setup->from ? setup->from : "");
	snprintf(rig.to, sizeof rig.to, "%s", setup->to ? setup->to : "");
	if (rig.is_refused) {
		snprintf(why, why_size, "there is no smarthost \"wrok\"");
		return NULL;
	}
	rig.walks++;
	loop_timer_in(&rig.timer, 0);
	return (struct traffic_walk *)&rig;
}

static void walk_cancel(void *self, struct traffic_walk *walk)
{
	(void)self, (void)walk;
	rig.cancelled++;
	loop_timer_stop(&rig.timer);
}

static void on_work(struct loop_timer *timer)
{
	client_work(LIST_ENTRY(timer, struct client_room, work));
}

static int setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof rig);
	rig.room.loop = loop_new();
	rig.traffic = (struct traffic){ .walk = walk, .walk_cancel = walk_cancel };
	rig.room.traffic = &rig.traffic;
	rig.steps = 1;
	list_init(&rig.room.clients);
	list_init(&rig.room.busy);
	loop_timer_init(&rig.room.work, rig.room.loop, on_work);
	loop_timer_init(&rig.timer, rig.room.loop, tell);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (!list_is_empty(&rig.room.clients))
		client_close(LIST_ENTRY(list_first(&rig.room.clients), struct client, node));
	loop_timer_stop(&rig.room.work);
	loop_timer_stop(&rig.timer);
	for (int i = 0; i < 5; i++)
		loop_turn(rig.room.loop, 10);
	loop_free(rig.room.loop);
	return 0;
}

static int ask_as(struct permit permit, const char *request)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	client_open(&rig.room, pair[0], permit);
	assert_int_equal(write(pair[1], request, strlen(request)), (ssize_t)strlen(request));
	return pair[1];
}

static json_t *next_line(int fd, struct buf *in)
{
	int64_t deadline_ms = clock_boot_ms() + DEADLINE_MS;

	for (;;) {
		struct span held = buf_span(in);
		size_t end = span_find(held, '\n');
		char bytes[4096];
		ssize_t n;

		if (end < held.len) {
			json_t *line = json_loadb(held.data, end, 0, NULL);

			assert_non_null(line);
			buf_consume(in, end + 1);
			return line;
		}
		n = read(fd, bytes, sizeof bytes);
		if (n > 0)
			assert_true(buf_append(in, bytes, (size_t)n));
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			fail_msg("the agent has closed");
		else
			loop_turn(rig.room.loop, 20);
		if (clock_boot_ms() > deadline_ms)
			fail_msg("no answer in time");
	}
}

/* All lines of the answer. */
static json_t *answer(struct permit permit, const char *request)
{
	int fd = ask_as(permit, request);
	json_t *lines = json_array(), *line;
	struct buf in;

	buf_init(&in, 4 * 1024 * 1024);
	do {
		line = next_line(fd, &in);
		json_array_append_new(lines, line);
	} while (!json_is_true(json_object_get(line, "done")));
	buf_fini(&in);
	close(fd);
	return lines;
}

static const char *text_of(const json_t *line, const char *key)
{
	const char *text = json_string_value(json_object_get(line, key));

	return text ? text : "";
}

static const json_t *last(const json_t *lines)
{
	return json_array_get(lines, json_array_size(lines) - 1);
}

#define TEST(rest) "{\"v\":1,\"verb\":\"test\",\"lane\":\"work\"" rest "}\n"

static void every_step_is_told_and_the_last_decides(void **state)
{
	json_t *lines;

	(void)state;
	rig.steps = 3;
	lines = answer(admin, TEST(",\"from\":\"\",\"to\":\"a@example.org\""));
	assert_int_equal(json_array_size(lines), 4);
	assert_string_equal(text_of(json_array_get(lines, 0), "type"), "step");
	assert_string_equal(text_of(json_array_get(lines, 0), "what"), "TCP");
	assert_string_equal(text_of(json_array_get(lines, 0), "host"), "mx.example.org");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, 0), "took_ms")), 3);
	assert_true(json_is_true(json_object_get(last(lines), "well")));
	assert_string_equal(rig.what, "work");
	assert_string_equal(rig.to, "a@example.org");
	assert_true(rig.has_from);
	assert_int_equal(rig.cancelled, 0);
	json_decref(lines);
	rig.steps = 1;
	rig.told = 0;
	rig.end = TRAFFIC_STEP_FAILED;
	lines = answer(admin, TEST(""));
	assert_false(rig.has_from || rig.has_to);
	assert_true(json_is_false(json_object_get(last(lines), "well")));
	assert_true(json_is_true(json_object_get(last(lines), "ok")));
	json_decref(lines);
}

static void only_an_administrator_may_make_the_agent_call_others(void **state)
{
	json_t *lines;

	(void)state;
	lines = answer(alice, TEST(""));
	assert_int_equal(json_integer_value(json_object_get(last(lines), "exit")), 77);
	assert_int_equal(rig.walks, 0);
	json_decref(lines);
}

static void a_place_that_does_not_exist_is_said(void **state)
{
	json_t *lines;

	(void)state;
	rig.is_refused = true;
	lines = answer(admin, TEST(""));
	assert_int_equal(json_integer_value(json_object_get(last(lines), "exit")), 64);
	assert_string_equal(text_of(last(lines), "text"), "there is no smarthost \"wrok\"");
	json_decref(lines);
}

static void who_hangs_up_ends_the_walk(void **state)
{
	struct buf in;
	int fd;

	(void)state;
	rig.steps = SIZE_MAX;
	buf_init(&in, 1024 * 1024);
	fd = ask_as(admin, TEST(""));
	json_decref(next_line(fd, &in));
	close(fd);
	for (int i = 0; i < 1000 && !rig.cancelled; i++)
		loop_turn(rig.room.loop, 20);
	assert_int_equal(rig.cancelled, 1);
	buf_fini(&in);
}

static void an_endless_walk_does_not_fill_the_memory(void **state)
{
	json_t *lines;

	(void)state;
	rig.steps = 3 * STEPS_MAX;
	lines = answer(admin, TEST(""));
	assert_true(json_array_size(lines) <= STEPS_MAX + 3);
	assert_true(json_is_true(json_object_get(last(lines), "well")));
	json_decref(lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_step_is_told_and_the_last_decides, setup, teardown),
		cmocka_unit_test_setup_teardown(only_an_administrator_may_make_the_agent_call_others, setup, teardown),
		cmocka_unit_test_setup_teardown(a_place_that_does_not_exist_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(who_hangs_up_ends_the_walk, setup, teardown),
		cmocka_unit_test_setup_teardown(an_endless_walk_does_not_fill_the_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
