#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/instant.h"
#include "base/mem.h"

/* The text lies in a block of its own size: an over-read shows. */
static bool parse(const char *text, size_t len, int64_t *out)
{
	char *copy = mem_dup(text, len);
	bool good = instant_parse(span_of(copy, len), out);

	mem_free(copy);
	return good;
}

static void dates_of_rfc_3339_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01t00:00:00z", 0 },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T23:59:59Z", -1000 },
		{ "1985-04-12T23:20:50.52Z", 482196050520 },
		{ "1985-04-12T23:20:50.5299999999999999999Z", 482196050529 },
		{ "1996-12-19T16:39:57-08:00", 851042397000 },
		{ "1937-01-01T12:00:27.87+00:20", -1041337172130 },
		{ "2000-02-29T00:00:00Z", 951782400000 },
		{ "2026-11-24T08:40:00Z", 1795509600000 },
		{ "2026-11-24T08:40:00-00:00", 1795509600000 },
		{ "9999-12-31T23:59:59Z", 253402300799000 },
		{ "0000-01-01T00:00:00Z", -62167219200000 },
		{ "1990-12-31T23:59:60Z", 662688000000 },
		{ "1990-12-31T15:59:60-08:00", 662688000000 },
		{ "2026-11-24T08:40:00+23:59", 1795423260000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t got = -7;

		if (!parse(rows[i].text, strlen(rows[i].text), &got) || got != rows[i].ms)
			fail_msg("%s: %lld", rows[i].text, (long long)got);
		for (size_t n = 0; n < strlen(rows[i].text); n++)
			if (parse(rows[i].text, n, &got))
				fail_msg("%.*s", (int)n, rows[i].text);
	}
}

static void anything_else_is_refused(void **state)
{
	static const char *const rows[] = {
		"2026-11-24",
		"2026-11-24 08:40:00Z",
		"2026-11-24T08:40:00",
		"2026-11-24T08:40Z",
		"2026-11-24T08:40:00Zx",
		"2026-11-24T08:40:00.Z",
		"2026-11-24T08:40:00,5Z",
		"2026-11-24T08:40:00+0100",
		"2026-11-24T08:40:00+24:00",
		"2026-11-24T08:40:00+01:60",
		"2026-11-24T24:00:00Z",
		"2026-11-24T08:60:00Z",
		"2026-11-24T08:40:61Z",
		"2026-11-24T08:40:60Z",
		"2026-12-30T23:59:60Z",
		"2026-12-31T23:58:60Z",
		"2026-00-24T08:40:00Z",
		"2026-13-24T08:40:00Z",
		"2026-11-00T08:40:00Z",
		"2026-11-31T08:40:00Z",
		"2026-02-29T08:40:00Z",
		"2100-02-29T08:40:00Z",
		"26-11-24T08:40:00Z",
		"02026-11-24T08:40:00Z",
		"-026-11-24T08:40:00Z",
		"+026-11-24T08:40:00Z",
		"2026-1-24T08:40:00Z",
		" 2026-11-24T08:40:00Z",
		"2026-11-24T08:40:00Z ",
		"2026-W48-2T08:40:00Z",
		"",
	};
	int64_t got = -7;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parse(rows[i], strlen(rows[i]), &got) || got != -7)
			fail_msg("'%s'", rows[i]);
}

static void what_is_written_is_what_the_library_would_write(void **state)
{
	(void)state;
	for (int64_t seconds = -62135596800; seconds < 253402300800; seconds += 86400 * 13 + 3607) {
		char got[INSTANT_SIZE], want[64];
		time_t at = (time_t)seconds;
		struct tm tm;
		int64_t back;

		gmtime_r(&at, &tm);
		snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		assert_string_equal(instant_print(seconds * 1000, got), want);
		assert_string_equal(instant_print(seconds * 1000 + 999, got), want);
		assert_true(parse(got, strlen(got), &back));
		assert_int_equal(back, seconds * 1000);
	}
}

static void what_lies_beyond_the_calendar_is_its_end(void **state)
{
	char got[INSTANT_SIZE];

	(void)state;
	assert_string_equal(instant_print(INT64_MAX, got), "9999-12-31T23:59:59Z");
	assert_string_equal(instant_print(INT64_MIN, got), "0001-01-01T00:00:00Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_of_rfc_3339_are_read),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(what_is_written_is_what_the_library_would_write),
		cmocka_unit_test(what_lies_beyond_the_calendar_is_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
