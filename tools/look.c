#include "look.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };

static char *one_unit(int64_t ms, char out[LOOK_SIZE])
{
	int64_t s = ms / 1000;

	if (s < 120)
		snprintf(out, LOOK_SIZE, "%" PRId64 "s", s);
	else if (s < 120 * 60)
		snprintf(out, LOOK_SIZE, "%" PRId64 "m", s / 60);
	else if (s < 48 * 3600)
		snprintf(out, LOOK_SIZE, "%" PRId64 "h", s / 3600);
	else
		snprintf(out, LOOK_SIZE, "%" PRId64 "d", s / 86400);
	return out;
}

char *look_age(int64_t then_ms, int64_t now_ms, char out[LOOK_SIZE])
{
	if (then_ms == 0)
		return strcpy(out, "-");
	return one_unit(now_ms > then_ms ? now_ms - then_ms : 0, out);
}

char *look_until(int64_t then_ms, int64_t now_ms, char out[LOOK_SIZE])
{
	int64_t ms = then_ms > now_ms ? then_ms - now_ms : 0;
	char length[LOOK_SIZE];

	/* To the nearest: what was just put off by 4 hours comes "in 4h", not "in 3h". */
	ms += ms < 120 * SECOND_MS   ? SECOND_MS / 2
	      : ms < 120 * MINUTE_MS ? MINUTE_MS / 2
	      : ms < 48 * HOUR_MS    ? HOUR_MS / 2
				     : 12 * HOUR_MS;
	if (ms < SECOND_MS)
		return strcpy(out, "now");
	snprintf(out, LOOK_SIZE, "in %.32s", one_unit(ms, length));
	return out;
}

char *look_time(int64_t then_ms, int64_t now_ms, char out[LOOK_SIZE])
{
	time_t then = (time_t)(then_ms / 1000), now = (time_t)(now_ms / 1000);
	struct tm at, today;

	if (then_ms == 0 || !localtime_r(&then, &at) || !localtime_r(&now, &today))
		return strcpy(out, "-");
	if (at.tm_year == today.tm_year && at.tm_yday == today.tm_yday)
		strftime(out, LOOK_SIZE, "%H:%M:%S", &at);
	else if (at.tm_year == today.tm_year)
		strftime(out, LOOK_SIZE, "%b %e %H:%M", &at);
	else
		strftime(out, LOOK_SIZE, "%Y-%m-%d", &at);
	return out;
}

/* Bytes of the first `width` characters of valid UTF-8. */
static size_t width_bytes(const char *text, size_t width)
{
	size_t i = 0;

	for (; text[i]; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80 && width-- == 0)
			break;
	return i;
}

char *look_text(const char *text, size_t width, char *out, size_t size)
{
	struct buf clean;
	size_t len;

	buf_init(&clean, 4 * size);
	text_clean(&clean, span_str(text), size - 4);
	snprintf(out, size, "%s", buf_cstr(&clean));
	buf_fini(&clean);
	if (width == 0 || width_bytes(out, width) == strlen(out))
		return out;
	len = width_bytes(out, width - 1);
	memcpy(out + len, "…", sizeof "…");
	return out;
}

const char *look_colour(const struct cli *cli, enum look_colour colour)
{
	static const char *const codes[] = {
		[LOOK_PLAIN] = "\33[0m", [LOOK_BOLD] = "\33[1m",   [LOOK_DIM] = "\33[2m",
		[LOOK_RED] = "\33[31m",  [LOOK_GREEN] = "\33[32m", [LOOK_YELLOW] = "\33[33m",
	};

	return cli->is_coloured ? codes[colour] : "";
}

char *look_count(uint64_t count, const char *noun, char out[LOOK_SIZE])
{
	snprintf(out, LOOK_SIZE, "%" PRIu64 " %.16s%s", count, noun, count == 1 ? "" : "s");
	return out;
}

const char *look_gate(const char *gate)
{
	static const char *const words[][2] = {
		{ "none", "its turn" },
		{ "sending", "being sent now" },
		{ "held", "an operator holds it" },
		{ "kept", "a report nobody could be given" },
		{ "damaged", "stored bytes are damaged" },
		{ "route", "no route" },
		{ "network", "the network" },
		{ "paused", "paused by an operator" },
		{ "lane", "smart host" },
		{ "account", "its account" },
		{ "rate", "rate limit" },
		{ "retry", "its next try" },
		{ "release", "the time its sender set" },
		{ "line", "others before it" },
		{ "report", "its report" },
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(words[i][0], gate) == 0)
			return words[i][1];
	return gate;
}
