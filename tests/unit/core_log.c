#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "traffic.h"

/* stderr goes to a file while a record is written. */
static int kept, captured;

static void capture(void)
{
	char path[] = "/tmp/sendoff-log-XXXXXX";

	captured = mkstemp(path);
	assert_true(captured >= 0);
	unlink(path);
	kept = dup(STDERR_FILENO);
	assert_int_equal(dup2(captured, STDERR_FILENO), STDERR_FILENO);
}

static const char *release(void)
{
	static char text[16384];
	ssize_t len;

	dup2(kept, STDERR_FILENO);
	close(kept);
	len = pread(captured, text, sizeof(text) - 1, 0);
	close(captured);
	assert_true(len >= 0);
	text[len] = '\0';
	return text;
}

/* Without the time, after checking that it is one. */
static const char *behind_time(const char *line)
{
	int year, month, day, hour, minute, second, used = 0;
	char zone[8];

	assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d%6[+-0123456789:] %n", &year, &month, &day, &hour,
				&minute, &second, zone, &used),
			 7);
	assert_true(year >= 2024 && used == 26);
	return line + used;
}

static void a_record_is_time_level_event_and_fields_with_the_id_first(void **state)
{
	(void)state;
	assert_true(log_open("stderr", "info"));
	capture();
	log_event(LOG_LEVEL_NOTICE, "accepted", LOG_ID(1), LOG_TEXT("from", "<a@example.org>"), LOG_NUM("size", 1024));
	assert_string_equal(behind_time(release()),
			    "notice accepted id=0000000000001 from=<a@example.org> size=1024\n");
}

static void values_are_quoted_where_readers_would_stumble(void **state)
{
	static const struct {
		const char *value, *printed;
	} rows[] = {
		{ "plain", "plain" },
		{ "", "\"\"" },
		{ "two words", "\"two words\"" },
		{ "a=b", "\"a=b\"" },
		{ "say \"x\"", "\"say \\\"x\\\"\"" },
		{ "back\\slash", "\"back\\\\slash\"" },
		{ "line\r\n2026-11-24T05:30:00+00:00 notice delivered id=1",
		  "\"line 2026-11-24T05:30:00+00:00 notice delivered id=1\"" },
		{ "\x1b[31mred", "?[31mred" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "bad\xff", "bad?" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char expected[256];

		capture();
		log_event(LOG_LEVEL_INFO, "x", LOG_TEXT("v", rows[i].value));
		snprintf(expected, sizeof(expected), "info x v=%s\n", rows[i].printed);
		assert_string_equal(behind_time(release()), expected);
	}
}

static void an_endless_value_is_cut_and_the_record_stays_one_line(void **state)
{
	char *endless = malloc(1 << 20);
	const char *line;

	(void)state;
	memset(endless, 'a', (1 << 20) - 1);
	endless[(1 << 20) - 1] = '\0';
	capture();
	log_event(LOG_LEVEL_INFO, "x", LOG_TEXT("a", endless), LOG_TEXT("b", endless), LOG_TEXT("c", endless),
		  LOG_TEXT("d", endless), LOG_TEXT("e", endless), LOG_TEXT("f", "end"));
	line = release();
	free(endless);
	assert_true(strlen(line) < 4200);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	assert_non_null(strstr(line, " c=aaa"));
	assert_null(strstr(line, " d="));
}

static void levels_above_the_chosen_one_are_silent(void **state)
{
	(void)state;
	assert_true(log_open("stderr", "warning"));
	capture();
	log_event(LOG_LEVEL_NOTICE, "quiet");
	log_event(LOG_LEVEL_WARNING, "loud");
	assert_string_equal(behind_time(release()), "warning loud\n");
	assert_false(log_is_on(LOG_LEVEL_NOTICE));
	assert_true(log_is_on(LOG_LEVEL_ERROR));
}

static unsigned heard_count;
static void hear(void *arg, enum log_level level, const char *event, const struct log_field *fields, int64_t wall_ms)
{
	assert_string_equal(arg, "me");
	assert_int_equal(level, LOG_LEVEL_INFO);
	assert_string_equal(event, "seen");
	assert_string_equal(fields[0].key, "k");
	assert_null(fields[1].key);
	assert_true(wall_ms > 0);
	heard_count++;
}

static void a_listener_hears_everything_up_to_info(void **state)
{
	static char me[] = "me";

	(void)state;
	assert_true(log_open("stderr", "error"));
	log_listen(hear, me);
	capture();
	log_event(LOG_LEVEL_INFO, "seen", LOG_NUM("k", -1));
	log_event(LOG_LEVEL_DEBUG, "unseen");
	assert_string_equal(release(), "");
	assert_int_equal(heard_count, 1);
	log_listen(NULL, NULL);
}

static int asked;
static void flush_soon(void *arg)
{
	assert_string_equal(arg, "me");
	asked++;
}

static void gathered_lines_leave_together_when_they_are_flushed(void **state)
{
	static char me[] = "me";
	const char *text;

	(void)state;
	assert_true(log_open("stderr", "info"));
	asked = 0;
	log_gather(flush_soon, me);
	capture();
	log_event(LOG_LEVEL_INFO, "one", LOG_NUM("n", 0));
	log_event(LOG_LEVEL_NOTICE, "two", LOG_NUM("n", INT64_MIN));
	assert_int_equal(asked, 1);
	assert_string_equal(release(), "");
	capture();
	log_flush();
	text = release();
	assert_string_equal(behind_time(strchr(text, '\n') + 1), "notice two n=-9223372036854775808\n");
	*strchr(text, '\n') = '\0';
	assert_string_equal(behind_time(text), "info one n=0");
	log_gather(NULL, NULL);
}

static void trouble_does_not_wait_and_takes_along_what_came_before(void **state)
{
	static char me[] = "me";
	const char *text;

	(void)state;
	assert_true(log_open("stderr", "info"));
	log_gather(flush_soon, me);
	capture();
	log_event(LOG_LEVEL_INFO, "before");
	log_event(LOG_LEVEL_WARNING, "trouble");
	text = release();
	assert_non_null(strstr(text, "info before\n"));
	assert_non_null(strstr(strstr(text, "before"), "warning trouble\n"));
	log_gather(NULL, NULL);
}

static void no_gathered_line_is_lost_when_there_are_many(void **state)
{
	static char me[] = "me";
	char value[1000];
	const char *text;
	int lines = 0;

	(void)state;
	assert_true(log_open("stderr", "info"));
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	asked = 0;
	log_gather(flush_soon, me);
	capture();
	for (int i = 0; i < 10; i++)
		log_event(LOG_LEVEL_INFO, "x", LOG_NUM("n", i), LOG_TEXT("v", value));
	log_gather(NULL, NULL);
	log_event(LOG_LEVEL_INFO, "x", LOG_NUM("n", 10));
	for (text = release(); *text; text = strchr(text, '\n') + 1) {
		char expected[32];

		snprintf(expected, sizeof(expected), "info x n=%d", lines++);
		assert_memory_equal(behind_time(text), expected, strlen(expected));
	}
	assert_int_equal(lines, 11);
	assert_in_range(asked, 2, 10);
}

static void unknown_targets_and_levels_are_refused(void **state)
{
	(void)state;
	assert_false(log_open("file", "info"));
	assert_false(log_open("stderr", "loud"));
	assert_true(log_open("auto", "debug"));
	assert_true(log_is_on(LOG_LEVEL_DEBUG));
}

static void every_gate_has_a_name(void **state)
{
	(void)state;
	for (int gate = TRAFFIC_GATE_NONE; gate <= TRAFFIC_GATE_REPORT; gate++)
		for (int other = TRAFFIC_GATE_NONE; other < gate; other++)
			assert_string_not_equal(traffic_gate_name((enum traffic_gate)gate),
						traffic_gate_name((enum traffic_gate)other));
	assert_string_equal(traffic_gate_name(TRAFFIC_GATE_HELD), "held");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_time_level_event_and_fields_with_the_id_first),
		cmocka_unit_test(values_are_quoted_where_readers_would_stumble),
		cmocka_unit_test(an_endless_value_is_cut_and_the_record_stays_one_line),
		cmocka_unit_test(levels_above_the_chosen_one_are_silent),
		cmocka_unit_test(a_listener_hears_everything_up_to_info),
		cmocka_unit_test(gathered_lines_leave_together_when_they_are_flushed),
		cmocka_unit_test(trouble_does_not_wait_and_takes_along_what_came_before),
		cmocka_unit_test(no_gathered_line_is_lost_when_there_are_many),
		cmocka_unit_test(unknown_targets_and_levels_are_refused),
		cmocka_unit_test(every_gate_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
