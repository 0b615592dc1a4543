/* Clocks and dates. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static void in_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void clocks_go_forward(void **state)
{
	int64_t boot = clock_boot_ms(), wall = clock_wall_ms();

	(void)state;
	usleep(5000);
	assert_true(clock_boot_ms() >= boot + 4);
	assert_in_range(clock_wall_ms() - wall, 0, 60000);
	assert_in_range(wall / 1000, time(NULL) - 5, time(NULL) + 5);
}

static void dates_have_the_form_of_rfc_5322(void **state)
{
	static const struct {
		const char *zone;
		int64_t wall_ms;
		const char *date, *stamp;
	} rows[] = {
		{ "UTC", 0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00+00:00" },
		{ "UTC", 1795498200999, "Tue, 24 Nov 2026 05:30:00 +0000", "2026-11-24T05:30:00+00:00" },
		{ "XXX-5:30", 1795498200000, "Tue, 24 Nov 2026 11:00:00 +0530", "2026-11-24T11:00:00+05:30" },
		{ "XXX+3:30", 1795498200000, "Tue, 24 Nov 2026 02:00:00 -0330", "2026-11-24T02:00:00-03:30" },
		{ "XXX+0:30", 1795498200000, "Tue, 24 Nov 2026 05:00:00 -0030", "2026-11-24T05:00:00-00:30" },
		{ "UTC", 1709164800000, "Thu, 29 Feb 2024 00:00:00 +0000", "2024-02-29T00:00:00+00:00" },
		{ "UTC", 253402300799000, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59+00:00" },
	};
	char out[CLOCK_DATE_SIZE];

	(void)state;
	setlocale(LC_ALL, "de_DE.UTF-8");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		in_zone(rows[i].zone);
		assert_string_equal(clock_date(rows[i].wall_ms, out), rows[i].date);
		assert_string_equal(clock_stamp(rows[i].wall_ms, out), rows[i].stamp);
		/* The same second once more comes from memory. */
		assert_string_equal(clock_date(rows[i].wall_ms / 1000 * 1000, out), rows[i].date);
		assert_string_equal(clock_stamp(rows[i].wall_ms / 1000 * 1000 + 999, out), rows[i].stamp);
	}
}

static void senseless_times_have_a_date_too(void **state)
{
	char out[CLOCK_DATE_SIZE];

	(void)state;
	in_zone("UTC");
	assert_string_equal(clock_date(INT64_MAX, out), "Sun, 17 Aug 292278994 07:12:55 +0000");
	assert_string_equal(clock_stamp(INT64_MIN, out), "-292275055-05-16T16:47:05+00:00");
	assert_string_equal(clock_stamp(-1, out), "1970-01-01T00:00:00+00:00");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_go_forward),
		cmocka_unit_test(dates_have_the_form_of_rfc_5322),
		cmocka_unit_test(senseless_times_have_a_date_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
