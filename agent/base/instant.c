#include "base/instant.h"

#include <stdio.h>

enum { DAY_SECONDS = 86400, MONTHS = 12 };

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_of(int year, int month)
{
	static const signed char days[MONTHS] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of January of a year of the proleptic Gregorian calendar, year >= 0. */
static int64_t days_before(int year)
{
	int64_t y = year;

	/* 719528 lie between the year 0, a leap year, and 1970. */
	return y * 365 + (y + 3) / 4 - (y + 99) / 100 + (y + 399) / 400 - 719528;
}

/* ---------------------------------------------------------------- reading */

/* Exactly n digits off the front, between least and most. */
static bool take_digits(struct span *s, size_t n, int least, int most, int *out)
{
	int value = 0;

	if (s->len < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->data[i] < '0' || s->data[i] > '9')
			return false;
		value = value * 10 + (s->data[i] - '0');
	}
	*s = span_from(*s, n);
	*out = value;
	return value >= least && value <= most;
}

static bool take(struct span *s, char c)
{
	if (!s->len || span_lower(s->data[0]) != c)
		return false;
	*s = span_from(*s, 1);
	return true;
}

/* Milliseconds of ".123456": what lies below them is cut. */
static bool take_fraction(struct span *s, int *out_ms)
{
	int scale = 100;

	*out_ms = 0;
	if (!take(s, '.'))
		return true;
	if (!s->len || s->data[0] < '0' || s->data[0] > '9')
		return false;
	for (; s->len && s->data[0] >= '0' && s->data[0] <= '9'; *s = span_from(*s, 1)) {
		*out_ms += scale * (s->data[0] - '0');
		scale /= 10;
	}
	return true;
}

static bool take_zone(struct span *s, int *out_seconds)
{
	int hours, minutes, sign = 1;

	*out_seconds = 0;
	if (take(s, 'z'))
		return true;
	if (take(s, '-'))
		sign = -1;
	else if (!take(s, '+'))
		return false;
	if (!take_digits(s, 2, 0, 23, &hours) || !take(s, ':') || !take_digits(s, 2, 0, 59, &minutes))
		return false;
	*out_seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

static bool is_first_of_month(int64_t days)
{
	char text[INSTANT_SIZE];

	instant_print(days * DAY_SECONDS * 1000, text);
	return text[8] == '0' && text[9] == '1';
}

bool instant_parse(struct span s, int64_t *out_ms)
{
	int year, month, day, hour, minute, second, ms, zone;
	int64_t days, seconds;

	if (!take_digits(&s, 4, 0, 9999, &year) || !take(&s, '-') || !take_digits(&s, 2, 1, MONTHS, &month) ||
	    !take(&s, '-') || !take_digits(&s, 2, 1, days_of(year, month), &day) || !take(&s, 't') ||
	    !take_digits(&s, 2, 0, 23, &hour) || !take(&s, ':') || !take_digits(&s, 2, 0, 59, &minute) ||
	    !take(&s, ':') || !take_digits(&s, 2, 0, 60, &second) || !take_fraction(&s, &ms) || !take_zone(&s, &zone) ||
	    s.len)
		return false;
	days = days_before(year) + day - 1;
	for (int m = 1; m < month; m++)
		days += days_of(year, m);
	seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second - zone;
	if (second == 60 && (seconds % DAY_SECONDS != 0 || !is_first_of_month(seconds / DAY_SECONDS)))
		return false;
	*out_ms = seconds * 1000 + ms;
	return true;
}

/* ---------------------------------------------------------------- writing */

char *instant_print(int64_t ms, char out[INSTANT_SIZE])
{
	int64_t first = days_before(1) * DAY_SECONDS, last = days_before(10000) * DAY_SECONDS - 1;
	int64_t seconds = ms / 1000 - (ms % 1000 < 0), days, left;
	int year = 1, month = 1;

	seconds = seconds < first ? first : seconds > last ? last : seconds;
	days = seconds / DAY_SECONDS - (seconds % DAY_SECONDS < 0);
	left = seconds - days * DAY_SECONDS;
	/* Never later than the year that is looked for. */
	year = (int)((days + 719528) / 366);
	while (days_before(year + 1) <= days)
		year++;
	days -= days_before(year);
	while (days >= days_of(year, month))
		days -= days_of(year, month++);
	snprintf(out, INSTANT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, (int)days + 1, (int)(left / 3600),
		 (int)(left / 60 % 60), (int)(left % 60));
	return out;
}
