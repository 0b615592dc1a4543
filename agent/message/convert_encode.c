#include "message/convert_encode.h"

#include <assert.h>
#include <string.h>

#include "message/convert.h"

enum {
	QP_WIDTH = 75, /* and the '=' of a soft line break */
	BASE64_WIDTH = 76,
	MEND_WIDTH = CONVERT_LINE_MAX - 8,
};

static const char hex[] = "0123456789ABCDEF";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void convert_encode_put(struct convert_sink *sink, struct span s)
{
	sink->bytes += s.len;
	if (!sink->at || s.len == 0)
		return;
	assert((size_t)(sink->end - sink->at) >= s.len);
	memcpy(sink->at, s.data, s.len);
	sink->at += s.len;
}

struct span convert_encode_eol_text(enum convert_eol eol)
{
	switch (eol) {
	case CONVERT_EOL_NONE: break;
	case CONVERT_EOL_CRLF: return SPAN("\r\n");
	case CONVERT_EOL_LF: return SPAN("\n");
	case CONVERT_EOL_CR: return SPAN("\r");
	}
	return SPAN("");
}

/* ---------------------------------------------------------------- quoted-printable (RFC 2045, 6.7) */

/* What a line must not begin with: "From " and dots are what transports are known to change, and a line that is broken
 * here must not look like a boundary. */
static bool is_risky_start(char c)
{
	return c == '.' || c == 'F' || c == '-';
}

/* Bytes that stand for themselves within a line (rule 2; blanks by rule 3 only where something follows). */
static size_t plain_run(struct span s)
{
	size_t n = 0;

	while (n < s.len && ((s.data[n] >= ' ' && s.data[n] < 127 && s.data[n] != '=') || s.data[n] == '\t'))
		n++;
	if (n == s.len)
		while (n && (s.data[n - 1] == ' ' || s.data[n - 1] == '\t'))
			n--;
	return n;
}

static void soft_break(struct convert_encoder *e, struct convert_sink *sink)
{
	convert_encode_put(sink, SPAN("=\r\n"));
	e->column = 0;
}

static void put_token(struct convert_encoder *e, char c, bool plain, size_t width, struct convert_sink *sink)
{
	unsigned char u = (unsigned char)c;
	char text[3] = { '=', hex[u >> 4], hex[u & 15] };

	if (e->column + (plain ? 1 : 3) > width)
		soft_break(e, sink);
	if (plain && !(e->column == 0 && is_risky_start(c))) {
		convert_encode_put(sink, span_of(&c, 1));
		e->column++;
	} else {
		convert_encode_put(sink, span_of(text, 3));
		e->column += 3;
	}
}

static void qp_blank(struct convert_encoder *e, bool plain, struct convert_sink *sink)
{
	if (e->held_len)
		put_token(e, e->held[0], plain, QP_WIDTH, sink);
	e->held_len = 0;
}

/* Most of most texts. */
static struct span qp_plain(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	size_t n = plain_run(s), room;

	if (e->column >= QP_WIDTH)
		soft_break(e, sink);
	if (n == 0 || (e->column == 0 && is_risky_start(s.data[0])))
		return s;
	room = QP_WIDTH - e->column;
	n = n < room ? n : room;
	convert_encode_put(sink, span_first(s, n));
	e->column += n;
	return span_from(s, n);
}

static void qp_text(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	while (s.len) {
		size_t before = s.len;
		char c;

		qp_blank(e, true, sink);
		s = qp_plain(e, s, sink);
		if (s.len < before)
			continue;
		c = s.data[0];
		s = span_from(s, 1);
		if (c == ' ' || c == '\t') {
			/* Rule 3: at the end of a line it must be encoded. */
			e->held[0] = c;
			e->held_len = 1;
		} else {
			put_token(e, c, c > ' ' && c < 127 && c != '=', QP_WIDTH, sink);
		}
	}
}

static void qp_eol(struct convert_encoder *e, struct convert_sink *sink)
{
	qp_blank(e, false, sink);
	convert_encode_put(sink, SPAN("\r\n"));
	e->column = 0;
}

static void qp_end(struct convert_encoder *e, bool last, struct convert_sink *sink)
{
	qp_blank(e, false, sink);
	if (last && e->column)
		soft_break(e, sink);
}

/* ---------------------------------------------------------------- mending quoted-printable */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* "=XX", and what only begins like it, stays in one line. */
static void mend_held(struct convert_encoder *e, struct convert_sink *sink)
{
	if (e->held_len == 0)
		return;
	if (e->column + e->held_len > MEND_WIDTH)
		soft_break(e, sink);
	convert_encode_put(sink, span_of(e->held, e->held_len));
	e->column += e->held_len;
	e->held_len = 0;
}

static void mend_text(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (e->held_len && is_hex(c)) {
			e->held[e->held_len++] = c;
			if (e->held_len == 3)
				mend_held(e, sink);
			continue;
		}
		mend_held(e, sink);
		if (c == '=')
			e->held[e->held_len++] = c;
		else
			put_token(e, c, (c >= ' ' && c < 127) || c == '\t', MEND_WIDTH, sink);
	}
}

static void mend_eol(struct convert_encoder *e, struct convert_sink *sink)
{
	mend_held(e, sink);
	convert_encode_put(sink, SPAN("\r\n"));
	e->column = 0;
}

/* ---------------------------------------------------------------- base64 (RFC 2045, 6.8) */

static void base64_chars(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	while (s.len) {
		size_t n = BASE64_WIDTH - e->column;

		if (n == 0) {
			convert_encode_put(sink, SPAN("\r\n"));
			e->column = 0;
			continue;
		}
		n = n < s.len ? n : s.len;
		convert_encode_put(sink, span_first(s, n));
		e->column += n;
		s = span_from(s, n);
	}
}

static void base64_group(struct convert_encoder *e, struct convert_sink *sink)
{
	unsigned char b[3] = { 0, 0, 0 };
	char group[4];

	memcpy(b, e->held, e->held_len);
	group[0] = alphabet[b[0] >> 2];
	group[1] = alphabet[(b[0] & 3) << 4 | b[1] >> 4];
	group[2] = e->held_len > 1 ? alphabet[(b[1] & 15) << 2 | b[2] >> 6] : '=';
	group[3] = e->held_len > 2 ? alphabet[b[2] & 63] : '=';
	e->held_len = 0;
	base64_chars(e, span_of(group, 4), sink);
}

/* How many characters n whole groups take, without encoding them: 19 groups make a line. */
static size_t base64_count(struct convert_encoder *e, size_t groups)
{
	size_t before = e->column / 4, lines = groups ? (before + groups - 1) / 19 : 0;

	e->column = (before + groups - 19 * lines) * 4;
	return groups * 4 + lines * 2;
}

static void base64_text(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	while (s.len) {
		size_t groups = e->held_len == 0 && !sink->at ? s.len / 3 : 0;

		if (groups) {
			sink->bytes += base64_count(e, groups);
			s = span_from(s, groups * 3);
			continue;
		}
		e->held[e->held_len++] = s.data[0];
		s = span_from(s, 1);
		if (e->held_len == 3)
			base64_group(e, sink);
	}
}

static void base64_end(struct convert_encoder *e, bool last, struct convert_sink *sink)
{
	if (e->held_len)
		base64_group(e, sink);
	if (last && e->column) {
		convert_encode_put(sink, SPAN("\r\n"));
		e->column = 0;
	}
}

static bool is_base64(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '/' && c <= '9') || c == '+' || c == '=';
}

static size_t base64_run(struct span s)
{
	size_t n = 0;

	while (n < s.len && is_base64(s.data[n]))
		n++;
	return n;
}

bool convert_encode_is_base64(struct span s)
{
	return base64_run(s) == s.len;
}

/* What is not of the alphabet means nothing (6.8), so it can go. */
static void mend_base64(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	while (s.len) {
		size_t n = base64_run(s);

		base64_chars(e, span_first(s, n), sink);
		s = span_from(s, n ? n : 1);
	}
}

/* ---------------------------------------------------------------- what nobody reads */

static void margin_text(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (e->column == CONVERT_LINE_MAX) {
			/* The blank keeps it from being taken for a boundary. */
			convert_encode_put(sink, SPAN("\r\n "));
			e->column = 1;
			e->altered = true;
		}
		if (c == 0 || (e->seven && (unsigned char)c > 127)) {
			c = '?';
			e->altered = true;
		}
		convert_encode_put(sink, span_of(&c, 1));
		e->column++;
	}
}

static void margin_eol(struct convert_encoder *e, enum convert_eol eol, struct convert_sink *sink)
{
	if (eol == CONVERT_EOL_CR || eol == CONVERT_EOL_LF)
		e->altered = true;
	convert_encode_put(sink, SPAN("\r\n"));
	e->column = 0;
}

/* ---------------------------------------------------------------- all of them */

void convert_encode_text(struct convert_encoder *e, struct span s, struct convert_sink *sink)
{
	switch (e->encoding) {
	case CONVERT_ENCODE_NOT: convert_encode_put(sink, s); break;
	case CONVERT_ENCODE_QP: qp_text(e, s, sink); break;
	case CONVERT_ENCODE_BASE64: base64_text(e, s, sink); break;
	case CONVERT_ENCODE_MEND_QP: mend_text(e, s, sink); break;
	case CONVERT_ENCODE_MEND_BASE64: mend_base64(e, s, sink); break;
	case CONVERT_ENCODE_MARGIN: margin_text(e, s, sink); break;
	}
}

void convert_encode_eol(struct convert_encoder *e, enum convert_eol eol, struct convert_sink *sink)
{
	switch (e->encoding) {
	case CONVERT_ENCODE_NOT: convert_encode_put(sink, convert_encode_eol_text(eol)); break;
	case CONVERT_ENCODE_QP: qp_eol(e, sink); break;
	case CONVERT_ENCODE_BASE64: base64_text(e, convert_encode_eol_text(eol), sink); break;
	case CONVERT_ENCODE_MEND_QP: mend_eol(e, sink); break;
	case CONVERT_ENCODE_MEND_BASE64: break;
	case CONVERT_ENCODE_MARGIN: margin_eol(e, eol, sink); break;
	}
}

void convert_encode_end(struct convert_encoder *e, bool last, struct convert_sink *sink)
{
	switch (e->encoding) {
	case CONVERT_ENCODE_NOT:
	case CONVERT_ENCODE_MARGIN: break;
	case CONVERT_ENCODE_QP: qp_end(e, last, sink); break;
	case CONVERT_ENCODE_BASE64:
	case CONVERT_ENCODE_MEND_BASE64: base64_end(e, last, sink); break;
	case CONVERT_ENCODE_MEND_QP: mend_held(e, sink); break;
	}
}
