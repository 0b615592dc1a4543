#include "base/clock.h"

#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t which)
{
	struct timespec now;

	if (clock_gettime(which, &now) != 0)
		abort();
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_boot_ms(void)
{
#ifdef CLOCK_BOOTTIME
	return read_clock(CLOCK_BOOTTIME);
#else
	return read_clock(CLOCK_MONOTONIC); /* the BSDs' monotonic clock counts suspend itself, or has no such clock */
#endif
}

int64_t clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

static long split(int64_t wall_ms, struct tm *out_tm)
{
	time_t seconds = (time_t)(wall_ms / 1000);

	if (!localtime_r(&seconds, out_tm))
		*out_tm = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
	return out_tm->tm_gmtoff / 60;
}

/* The last one written: a busy second asks for the same text thousands of times. */
struct written {
	bool is_set;
	int64_t second;
	long zone; /* tzset() may have changed it since */
	char text[CLOCK_DATE_SIZE];
};

static bool is_written(struct written *last, int64_t wall_ms)
{
	if (last->is_set && last->second == wall_ms / 1000 && last->zone == timezone)
		return true;
	last->is_set = true;
	last->second = wall_ms / 1000;
	last->zone = timezone;
	return false;
}

char *clock_date(int64_t wall_ms, char out[CLOCK_DATE_SIZE])
{
	/* strftime would use the locale's names; RFC 5322 wants these. */
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static _Thread_local struct written last;

	if (!is_written(&last, wall_ms)) {
		struct tm tm;
		long zone = split(wall_ms, &tm);

		snprintf(last.text, CLOCK_DATE_SIZE, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday],
			 tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
			 zone < 0 ? '-' : '+', labs(zone) / 60, labs(zone) % 60);
	}
	return memcpy(out, last.text, CLOCK_DATE_SIZE);
}

char *clock_stamp(int64_t wall_ms, char out[CLOCK_DATE_SIZE])
{
	static _Thread_local struct written last;

	if (!is_written(&last, wall_ms)) {
		struct tm tm;
		long zone = split(wall_ms, &tm);

		snprintf(last.text, CLOCK_DATE_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d%c%02ld:%02ld", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, zone < 0 ? '-' : '+',
			 labs(zone) / 60, labs(zone) % 60);
	}
	return memcpy(out, last.text, CLOCK_DATE_SIZE);
}
