#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MINUTE_MS ((int64_t)60 * 1000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

/* Digits at the front of *s; moves past them. */
static bool take_digits(struct span *s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < s->len && s->data[i] >= '0' && s->data[i] <= '9'; i++) {
		unsigned digit = (unsigned)(s->data[i] - '0');

		if (digit > max || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (i == 0)
		return false;
	*s = span_from(*s, i);
	*out = value;
	return true;
}

bool text_number(struct span s, uint64_t max, uint64_t *out_number)
{
	uint64_t value;

	if (!take_digits(&s, max, &value) || s.len != 0)
		return false;
	*out_number = value;
	return true;
}

char *text_number_print(int64_t number, char out[TEXT_NUMBER_SIZE])
{
	char digits[TEXT_NUMBER_SIZE], *at = digits + sizeof(digits);
	uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;

	*--at = '\0';
	do {
		*--at = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (number < 0)
		*--at = '-';
	return memcpy(out, at, (size_t)(digits + sizeof(digits) - at));
}

char *text_join(char *out, size_t size, ...)
{
	const char *part;
	size_t at = 0;
	va_list parts;

	va_start(parts, size);
	while ((part = va_arg(parts, const char *))) {
		size_t len = strnlen(part, size - 1 - at);

		memcpy(out + at, part, len);
		at += len;
	}
	va_end(parts);
	out[at] = '\0';
	return out;
}

static int64_t duration_unit(char c)
{
	switch (c) {
	case 's': return 1000;
	case 'm': return MINUTE_MS;
	case 'h': return HOUR_MS;
	case 'd': return DAY_MS;
	case 'w': return 7 * DAY_MS;
	default: return 0;
	}
}

bool text_duration(struct span s, int64_t *out_ms)
{
	const int64_t most = 3650 * DAY_MS; /* ten years: room for sums without overflow */
	int64_t total = 0;

	if (span_equals(s, SPAN("0"))) {
		*out_ms = 0;
		return true;
	}
	do {
		uint64_t count;
		int64_t unit;

		if (!take_digits(&s, 1000000000, &count) || s.len == 0)
			return false;
		if (s.len >= 2 && s.data[0] == 'm' && s.data[1] == 's') {
			unit = 1;
			s = span_from(s, 2);
		} else {
			unit = duration_unit(s.data[0]);
			s = span_from(s, 1);
		}
		if (unit == 0 || (int64_t)count > (most - total) / unit)
			return false;
		total += (int64_t)count * unit;
	} while (s.len);
	*out_ms = total;
	return true;
}

char *text_duration_print(int64_t ms, char out[TEXT_DURATION_SIZE])
{
	int64_t s = (ms < 0 ? 0 : ms) / 1000;

	if (s < 60)
		snprintf(out, TEXT_DURATION_SIZE, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(out, TEXT_DURATION_SIZE, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, TEXT_DURATION_SIZE, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(out, TEXT_DURATION_SIZE, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
	return out;
}

bool text_size(struct span s, uint64_t *out_bytes)
{
	uint64_t count;
	unsigned shift = 0;

	if (!take_digits(&s, (uint64_t)1 << 62, &count))
		return false;
	if (s.len == 1) {
		switch (span_lower(s.data[0])) {
		case 'k': shift = 10; break;
		case 'm': shift = 20; break;
		case 'g': shift = 30; break;
		case 't': shift = 40; break;
		default: return false;
		}
	} else if (s.len) {
		return false;
	}
	if (count > ((uint64_t)1 << 62) >> shift)
		return false;
	*out_bytes = count << shift;
	return true;
}

char *text_size_print(uint64_t bytes, char out[TEXT_SIZE_SIZE])
{
	static const char units[] = "kMGTPE";
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1024 && unit < 5) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(out, TEXT_SIZE_SIZE, "%" PRIu64 "B", bytes);
	else
		snprintf(out, TEXT_SIZE_SIZE, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return out;
}

bool text_rate(struct span s, uint32_t *out_count, int64_t *out_per_ms)
{
	static const struct {
		struct span name;
		int64_t ms;
	} units[] = { { { "s", 1 }, 1000 },      { { "sec", 3 }, 1000 },  { { "min", 3 }, MINUTE_MS },
		      { { "m", 1 }, MINUTE_MS }, { { "h", 1 }, HOUR_MS }, { { "hour", 4 }, HOUR_MS },
		      { { "d", 1 }, DAY_MS },    { { "day", 3 }, DAY_MS } };
	uint64_t count;

	if (!take_digits(&s, 1000000000, &count))
		return false;
	if (count == 0 && s.len == 0) {
		*out_count = 0;
		*out_per_ms = 1000;
		return true;
	}
	if (s.len < 2 || s.data[0] != '/')
		return false;
	s = span_from(s, 1);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (span_equals(s, units[i].name)) {
			*out_count = (uint32_t)count;
			*out_per_ms = units[i].ms;
			return true;
		}
	}
	return false;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool text_base64_encode(struct buf *out, struct span s)
{
	char *room = s.len > SIZE_MAX / 4 ? NULL : buf_reserve(out, (s.len + 2) / 3 * 4);
	size_t n = 0;

	if (!room)
		return false;
	for (size_t i = 0; i < s.len; i += 3) {
		size_t have = s.len - i < 3 ? s.len - i : 3;
		uint32_t bits = (uint32_t)(unsigned char)s.data[i] << 16;

		if (have > 1)
			bits |= (uint32_t)(unsigned char)s.data[i + 1] << 8;
		if (have > 2)
			bits |= (unsigned char)s.data[i + 2];
		room[n++] = base64_digits[bits >> 18];
		room[n++] = base64_digits[bits >> 12 & 63];
		room[n++] = have > 1 ? base64_digits[bits >> 6 & 63] : '=';
		room[n++] = have > 2 ? base64_digits[bits & 63] : '=';
	}
	buf_commit(out, n);
	return true;
}

static int base64_value(char c)
{
	const char *at = c ? memchr(base64_digits, c, 64) : NULL;

	return at ? (int)(at - base64_digits) : -1;
}

bool text_base64_decode(struct buf *out, struct span s)
{
	size_t before = out->len;

	if (s.len % 4 != 0)
		return false;
	for (size_t i = 0; i < s.len; i += 4) {
		bool last = i + 4 == s.len;
		size_t pad = last && s.data[i + 3] == '=' ? s.data[i + 2] == '=' ? 2 : 1 : 0;
		uint32_t bits = 0;
		char bytes[3];

		for (size_t k = 0; k < 4; k++) {
			int value = k >= 4 - pad ? 0 : base64_value(s.data[i + k]);

			if (value < 0)
				goto bad;
			bits = bits << 6 | (uint32_t)value;
		}
		if ((pad == 1 && bits & 0xff) || (pad == 2 && bits & 0xffff))
			goto bad;
		bytes[0] = (char)(bits >> 16);
		bytes[1] = (char)(bits >> 8);
		bytes[2] = (char)bits;
		if (!buf_append(out, bytes, 3 - pad))
			goto bad;
	}
	return true;
bad:
	buf_truncate(out, before);
	return false;
}

bool text_xtext_encode(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		bool plain = c >= '!' && c <= '~' && c != '+' && c != '=';

		if (!(plain ? buf_append_char(out, (char)c) : buf_printf(out, "+%02X", c)))
			return false;
	}
	return true;
}

static int hex_upper(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_xtext_decode(struct buf *out, struct span s)
{
	size_t before = out->len;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c < '!' || c > '~' || c == '=')
			goto bad;
		if (c == '+') {
			int high = i + 1 < s.len ? hex_upper(s.data[i + 1]) : -1;
			int low = i + 2 < s.len ? hex_upper(s.data[i + 2]) : -1;

			if (high < 0 || low < 0)
				goto bad;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!buf_append_char(out, c))
			goto bad;
	}
	return true;
bad:
	buf_truncate(out, before);
	return false;
}

/* The code point at the front of valid UTF-8, which is moved past it. */
static uint32_t take_character(struct span *s)
{
	const unsigned char *p = (const unsigned char *)s->data;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (p[i] & 0x3f);
	*s = span_from(*s, len);
	return c;
}

bool text_utf8_xtext_encode(struct buf *out, struct span s, bool is_unitext)
{
	bool ok = true;

	while (ok && s.len) {
		struct span before = s;
		uint32_t c = take_character(&s);
		bool plain = c > ' ' && c != 127 && c != '+' && c != '=' && c != '\\' &&
			     (c < 127 || (is_unitext && c > 159));

		ok = plain ? buf_append_span(out, span_first(before, before.len - s.len))
			   : buf_printf(out, "\\x{%02X}", (unsigned)c);
	}
	return ok;
}

static const char id_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

char *text_id_print(uint64_t id, char out[TEXT_ID_SIZE])
{
	for (int i = TEXT_ID_LEN - 1; i >= 0; i--) {
		out[i] = id_digits[id & 31];
		id >>= 5;
	}
	out[TEXT_ID_LEN] = '\0';
	return out;
}

bool text_id(struct span s, uint64_t *out_id)
{
	uint64_t id = 0;

	if (s.len != TEXT_ID_LEN)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = span_lower(s.data[i]);
		const char *at = c ? memchr(id_digits, c, 32) : NULL;

		if (!at || (i == 0 && at - id_digits > 15))
			return false;
		id = id << 5 | (uint64_t)(at - id_digits);
	}
	*out_id = id;
	return true;
}

bool text_glob(const char *pattern, struct span s)
{
	const char *star = NULL;
	size_t mark = 0, i = 0;

	/* On a mismatch the last star takes one byte more; earlier stars never need to. */
	while (i < s.len) {
		if (*pattern == '*') {
			star = ++pattern;
			mark = i;
		} else if (*pattern && (*pattern == '?' || span_lower(*pattern) == span_lower(s.data[i]))) {
			pattern++;
			i++;
		} else if (star) {
			pattern = star;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* The length of the UTF-8 character at the front of s (RFC 3629), or 0. */
static size_t utf8_length(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.data;
	size_t len;

	if (s.len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	len = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
	if (len == 0 || s.len < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

bool text_is_utf8(struct span s)
{
	while (s.len) {
		size_t n = utf8_length(s);

		if (n == 0)
			return false;
		s = span_from(s, n);
	}
	return true;
}

/* Eight bytes at a time. */
bool text_is_ascii(struct span s)
{
	uint64_t all = 0, word;
	size_t i = 0;

	for (; i + 8 <= s.len; i += 8) {
		memcpy(&word, s.data + i, 8);
		all |= word;
	}
	for (; i < s.len; i++)
		all |= (unsigned char)s.data[i];
	return !(all & UINT64_C(0x8080808080808080));
}

/* How many bytes at the front of s are visible ASCII: nearly all that is ever cleaned. */
static size_t visible_run(struct span s)
{
	size_t i = 0;

	while (i < s.len && s.data[i] > ' ' && s.data[i] < 0x7f)
		i++;
	return i;
}

bool text_clean(struct buf *out, struct span s, size_t max)
{
	size_t written = 0;
	bool blank = false;

	s = span_trim(s);
	while (s.len) {
		struct span run = span_first(s, visible_run(s)), piece;
		unsigned char c;
		size_t n;

		if (run.len) {
			size_t wanted = run.len < max - written ? run.len : max - written;
			size_t fits = wanted < out->max - out->len ? wanted : out->max - out->len;

			buf_append_span(out, span_first(run, fits));
			if (fits < run.len)
				return fits == wanted;
			written += fits;
			blank = false;
			s = span_from(s, fits);
			continue;
		}
		n = utf8_length(s);
		c = (unsigned char)s.data[0];
		piece = span_first(s, n ? n : 1);
		s = span_from(s, piece.len);
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			if (blank)
				continue;
			piece = SPAN(" ");
		} else if (n == 0 || c < 0x20 || c == 0x7f ||
			   (c == 0xc2 && (unsigned char)piece.data[1] < 0xa0)) { /* C1 controls too */
			piece = SPAN("?");
		}
		blank = piece.data[0] == ' ';
		if (written + piece.len > max)
			break;
		if (!buf_append_span(out, piece))
			return false;
		written += piece.len;
	}
	return true;
}

uint32_t text_hash(struct span s)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ (unsigned char)span_lower(s.data[i])) * 16777619u;
	return hash;
}

size_t text_distance(const char *a, const char *b)
{
	enum { MOST = 64 };
	size_t row[3][MOST + 1], n = strlen(a), m = strlen(b);

	if (n > MOST || m > MOST)
		return SIZE_MAX;
	for (size_t j = 0; j <= m; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = row[i % 3], *above = row[(i + 2) % 3], *twice = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && twice[j - 2] + 1 < best)
				best = twice[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[n % 3][m];
}
