/* One dropped file on its way into a real queue. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bodyhash.h"
#include "log.h"
#include "submission/dropmark.h"
#include "submission/droptake.h"

static struct session_shared shared;
static char folder[64];
static _Atomic bool queue_fails; /* the writer asks */

static struct {
	bool has_ended;
	enum droptake_end end;
	char why[500];
	uint32_t done;
	bool is_whole;
	unsigned accepted;
	struct droptake *take;
} result;

static bool fail_commits(void *arg, const char *what)
{
	(void)arg;
	return queue_fails && strcmp(what, "commit") == 0;
}

static int set_up(void **state)
{
	struct queue_config queue = {
		.directory = folder, .max_message_bytes = 1024 * 1024, .hash = bodyhash_sha256, .fail = fail_commits
	};
	struct buf errors, warnings;
	char why[300] = "";

	(void)state;
	log_open("stderr", "error");
	snprintf(folder, sizeof(folder), "/tmp/droptake-XXXXXX");
	if (!mkdtemp(folder) || queue_open(&queue, &shared.queue, why, sizeof(why)) != QUEUE_OK)
		return -1;
	buf_init(&errors, 65536);
	buf_init(&warnings, 65536);
	shared.loop = loop_new();
	shared.config = config_load(NULL, &errors, &warnings);
	shared.limits = limits_new();
	shared.names = names_new();
	list_init(&shared.sessions);
	shared.config->trust.max_rate.count = 0;
	shared.config->limits.recipients = 3;
	shared.accepted = 0;
	queue_fails = false;
	buf_fini(&errors);
	buf_fini(&warnings);
	return 0;
}

static int tear_down(void **state)
{
	char command[100];

	(void)state;
	queue_view_end(shared.queue);
	queue_close(shared.queue);
	config_unref(shared.config);
	limits_free(shared.limits);
	names_free(shared.names);
	loop_free(shared.loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct queue_bytes mark(void *arg, uint32_t done, bool is_whole)
{
	static char text[20];

	(void)arg;
	snprintf(text, sizeof(text), "%u%s", done, is_whole ? "!" : "");
	return (struct queue_bytes){ text, strlen(text) };
}

static void on_accepted(void *arg, uint32_t done, bool is_whole)
{
	(void)arg;
	assert_true(done > result.done && !result.is_whole);
	result.done = done;
	result.is_whole = is_whole;
	result.accepted++;
}

static void on_ended(void *arg, enum droptake_end end, const char *why)
{
	(void)arg;
	assert_false(result.has_ended);
	result.has_ended = true;
	result.end = end;
	snprintf(result.why, sizeof(result.why), "%s", why);
	droptake_free(result.take);
}

static void begin(const char *text, size_t len, uint32_t done, bool may_split)
{
	int fd = memfd_create("drop", MFD_CLOEXEC);

	assert_true(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	memset(&result, 0, sizeof(result));
	result.done = done;
	result.take = droptake_new(&(struct droptake_setup){ .shared = &shared,
							     .fd = fd,
							     .file_bytes = len,
							     .uid = 1000,
							     .state = DROPMARK_STATE,
							     .done = done,
							     .may_split = may_split,
							     .mark = mark,
							     .accepted = on_accepted,
							     .ended = on_ended });
	assert_false(result.has_ended); /* never from inside the call */
}

static void take(const char *text, uint32_t done, bool may_split)
{
	begin(text, strlen(text), done, may_split);
	for (int turns = 0; !result.has_ended; turns++) {
		assert_true(turns < 10000);
		loop_turn(shared.loop, 0);
		queue_wait(shared.queue);
	}
}

static void state_is(const char *expect)
{
	struct queue_bytes value = { "", 0 };

	queue_view_end(shared.queue);
	queue_view_state(queue_view(shared.queue), DROPMARK_STATE, &value);
	assert_int_equal(value.len, strlen(expect));
	assert_memory_equal(value.data, expect, value.len);
}

/* Every recipient in the queue, in the order of acceptance, each with a blank behind it. */
static void queue_has(const char *expect)
{
	char all[400] = "";
	uint64_t id = 0;

	queue_view_end(shared.queue);
	while (queue_view_next(queue_view(shared.queue), id, &id) == QUEUE_OK) {
		struct queue_rcpt rcpt;

		for (uint32_t n = 0; queue_view_rcpt(queue_view(shared.queue), id, n, &rcpt) == QUEUE_OK; n++)
			strcat(strncat(all, rcpt.address, 1), " ");
	}
	assert_string_equal(all, expect);
}

#define BODY           "BDAT 17 LAST\r\nSubject: s\r\n\r\nx\r\n"
#define TO(who)        "RCPT TO:<" who "@x.example>\r\n"
#define FILE_OF(rcpts) "SENDOFF-DROP 1\r\nMAIL FROM:<me@x.example>\r\n" rcpts BODY

static const char five[] = FILE_OF(TO("a") TO("b") TO("c") TO("d") TO("e"));

static void a_message_is_taken_whole_with_its_mark(void **state)
{
	(void)state;
	take(FILE_OF(TO("a") TO("b")), 0, true);
	assert_int_equal(result.end, DROPTAKE_DONE);
	assert_true(result.is_whole && result.done == 2 && result.accepted == 1 && shared.accepted == 1);
	state_is("2!");
	queue_has("a b ");
}

static void many_recipients_are_taken_in_parts(void **state)
{
	(void)state;
	take(five, 0, true);
	assert_int_equal(result.end, DROPTAKE_DONE);
	assert_int_equal(result.accepted, 2);
	state_is("5!");
	queue_has("a b c d e ");
}

static void what_was_taken_in_part_goes_on_behind_it(void **state)
{
	(void)state;
	take(five, 3, true);
	assert_int_equal(result.end, DROPTAKE_DONE);
	queue_has("d e ");
	take(five, 5, true);
	assert_int_equal(result.end, DROPTAKE_DONE);
	assert_int_equal(result.accepted, 0);
	queue_has("d e ");
}

static void without_room_for_a_mark_nothing_is_taken_in_part(void **state)
{
	(void)state;
	take(five, 0, false);
	assert_int_equal(result.end, DROPTAKE_LATER);
	queue_has("");
	state_is("");
	take(FILE_OF(TO("a") TO("b") TO("c")), 0, false);
	assert_int_equal(result.end, DROPTAKE_DONE);
	queue_has("a b c ");
}

static void a_commit_that_fails_is_no_acceptance(void **state)
{
	(void)state;
	queue_fails = true;
	take(five, 0, true);
	queue_fails = false;
	assert_int_equal(result.end, DROPTAKE_LATER);
	assert_int_equal(result.accepted, 0);
	queue_has("");
	state_is("");
}

static void a_rate_is_a_reason_to_wait_and_a_bad_address_none(void **state)
{
	(void)state;
	shared.config->trust.max_rate = (struct config_rate){ .count = 1, .per_ms = 3600000 };
	take(five, 0, true);
	assert_int_equal(result.end, DROPTAKE_LATER);
	assert_int_equal(result.done, 3);
	assert_false(result.is_whole);
	assert_non_null(strstr(result.why, "451"));
	state_is("3");
	queue_has("a b c ");
	shared.config->trust.max_rate.count = 0;
	take(FILE_OF(TO("a") "RCPT TO:<b c>\r\n"), 0, true);
	assert_int_equal(result.end, DROPTAKE_REFUSED);
	assert_non_null(strstr(result.why, "501"));
	queue_has("a b c ");
}

static void whom_trust_does_not_let_in_sends_nothing(void **state)
{
	(void)state;
	shared.config->trust.uids.count = 0;
	shared.config->trust.gids.count = 0;
	take(five, 0, true);
	assert_int_equal(result.end, DROPTAKE_REFUSED);
	assert_non_null(strstr(result.why, "1000"));
	queue_has("");
}

static void where_only_who_logs_in_may_send_nothing_is_taken(void **state)
{
	struct config *config = shared.config;

	(void)state;
	for (size_t i = 0; i < config->listener_count; i++)
		config->listeners[i].trust = !config->listeners[i].socket;
	take(five, 0, true);
	assert_int_equal(result.end, DROPTAKE_REFUSED);
	assert_non_null(strstr(result.why, "logs in"));
	/* Without a socket it is as if sendmail had come by any other. */
	for (size_t i = 0; i < config->listener_count; i++)
		config->listeners[i].socket = NULL;
	take(five, 0, true);
	assert_int_equal(result.end, DROPTAKE_DONE);
	for (size_t i = 0; i < config->listener_count; i++)
		config->listeners[i].trust = false;
	take(FILE_OF(TO("f")), 0, true);
	assert_int_equal(result.end, DROPTAKE_REFUSED);
	queue_has("a b c d e ");
}

static void one_that_is_cut_is_refused_before_anything_is_said(void **state)
{
	char text[sizeof(five)];

	(void)state;
	for (size_t len = 0; len < strlen(five); len += 7) {
		memcpy(text, five, len);
		text[len] = '\0';
		take(text, 0, true);
		assert_int_equal(result.end, DROPTAKE_REFUSED);
	}
	assert_int_equal(shared.accepted, 0);
	queue_has("");
}

static void it_can_be_given_up_at_any_time(void **state)
{
	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		begin(five, strlen(five), 0, true);
		for (int i = 0; i < turns && !result.has_ended; i++) {
			loop_turn(shared.loop, 0);
			if (turns % 2)
				queue_wait(shared.queue);
		}
		if (!result.has_ended)
			droptake_free(result.take);
		queue_wait(shared.queue);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_message_is_taken_whole_with_its_mark, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_recipients_are_taken_in_parts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_taken_in_part_goes_on_behind_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_room_for_a_mark_nothing_is_taken_in_part, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_commit_that_fails_is_no_acceptance, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_rate_is_a_reason_to_wait_and_a_bad_address_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(whom_trust_does_not_let_in_sends_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(where_only_who_logs_in_may_send_nothing_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_cut_is_refused_before_anything_is_said, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_can_be_given_up_at_any_time, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
