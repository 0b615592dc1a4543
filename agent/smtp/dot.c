#include "smtp/dot.h"

#include <string.h>

static const struct span crlf = { "\r\n", 2 };

/* A search for the next line end looks no further than this, so that a flood of bare newlines costs linear time. */
enum { WINDOW = 1024 };

/*
 * The hot path. Runs over bytes that need no change, from inside a line: stops before a CR or LF that is not part of
 * a CRLF, before a CR at the end, and at the start of a line that begins with a dot or is still to come. Returns how
 * many bytes that is and whether the run ended at the start of a line.
 */
static size_t plain_run(const char *start, const char *end, bool *out_line_start)
{
	const char *p = start;

	*out_line_start = false;
	while (p < end) {
		size_t reach = end - p > WINDOW ? WINDOW : (size_t)(end - p);
		const char *cr = memchr(p, '\r', reach);
		const char *stop = cr ? cr : p + reach;
		const char *lf = memchr(p, '\n', (size_t)(stop - p));

		if (lf)
			return (size_t)(lf - start);
		p = stop;
		if (!cr)
			continue;
		if (cr + 1 == end || cr[1] != '\n')
			break;
		p = cr + 2;
		if (p == end || *p == '.') {
			*out_line_start = true;
			break;
		}
	}
	return (size_t)(p - start);
}

/* Eight bytes at a time. */
unsigned dot_look(struct span s)
{
	uint64_t all = 0, word;
	size_t i = 0;
	unsigned found = 0;

	for (; i + 8 <= s.len; i += 8) {
		memcpy(&word, s.data + i, 8);
		all |= word;
	}
	for (; i < s.len; i++)
		all |= (unsigned char)s.data[i];
	if (all & UINT64_C(0x8080808080808080))
		found |= DOT_8BIT;
	if (s.len && memchr(s.data, '\0', s.len))
		found |= DOT_NUL;
	return found;
}

static void skip(struct span *in, size_t n)
{
	*in = span_from(*in, n);
}

/* Takes a run of plain bytes from inside a line; the place afterwards is returned. */
static enum dot_place take_run(struct span *in, struct span *out)
{
	bool line_start;
	size_t n = plain_run(in->data, in->data + in->len, &line_start);

	*out = span_first(*in, n);
	skip(in, n);
	return line_start ? DOT_LINE_START : DOT_IN_LINE;
}

/* At a CR or LF inside a line: a CR waits for what follows, a bare LF becomes a line end that is none to the dot. */
static enum dot_place take_newline(struct span *in, struct span *out, bool *out_bare)
{
	bool is_cr = in->data[0] == '\r';

	skip(in, 1);
	if (is_cr)
		return DOT_AFTER_CR;
	*out = crlf;
	*out_bare = true;
	return DOT_IN_LINE;
}

/* After a CR: both CRLF and a bare CR are written as CRLF, but only the first starts a line. */
static enum dot_place after_cr(struct span *in, struct span *out, bool *out_bare)
{
	*out = crlf;
	if (in->data[0] == '\n') {
		skip(in, 1);
		return DOT_LINE_START;
	}
	*out_bare = true;
	return DOT_IN_LINE;
}

/* ---------------------------------------------------------------- decoder */

void dot_decode_init(struct dot_decoder *d)
{
	*d = (struct dot_decoder){ .place = DOT_LINE_START };
}

static enum dot_place decode_in_line(struct span *in, struct span *out, bool *out_bare)
{
	enum dot_place place = take_run(in, out);

	if (out->len == 0 && in->len > 0 && place == DOT_IN_LINE)
		return take_newline(in, out, out_bare);
	return place;
}

enum dot_verdict dot_decode(struct dot_decoder *d, struct span *in, struct span *out)
{
	bool bare = false;

	*out = span_of(in->data, 0);
	if (d->place == DOT_ENDED)
		return DOT_DONE;
	if (in->len == 0)
		return DOT_MORE;
	switch (d->place) {
	case DOT_LINE_START:
		if (in->data[0] == '.') {
			skip(in, 1);
			d->place = DOT_AFTER_DOT;
			break;
		}
		d->place = decode_in_line(in, out, &bare);
		break;
	case DOT_IN_LINE: d->place = decode_in_line(in, out, &bare); break;
	case DOT_AFTER_CR: d->place = after_cr(in, out, &bare); break;
	case DOT_AFTER_DOT:
		if (in->data[0] == '\r') {
			skip(in, 1);
			d->place = DOT_AFTER_DOT_CR;
			break;
		}
		/* The dot was stuffed (4.5.2): it goes, what follows it stays. A second dot is text. */
		d->place = decode_in_line(in, out, &bare);
		break;
	case DOT_AFTER_DOT_CR:
		if (in->data[0] == '\n') {
			skip(in, 1);
			d->place = DOT_ENDED;
			return DOT_DONE;
		}
		d->place = after_cr(in, out, &bare);
		break;
	case DOT_ENDED: break;
	}
	if (bare)
		d->found |= DOT_BARE_NEWLINE;
	d->found |= dot_look(*out);
	return DOT_MORE;
}

/* ---------------------------------------------------------------- text without dots */

void dot_text(struct dot_decoder *d, struct span *in, struct span *out)
{
	bool bare = false;

	*out = span_of(in->data, 0);
	if (in->len == 0)
		return;
	if (d->place == DOT_AFTER_CR)
		d->place = after_cr(in, out, &bare);
	else
		d->place = decode_in_line(in, out, &bare);
	if (bare) {
		d->found |= DOT_BARE_NEWLINE;
		d->place = DOT_LINE_START;
	}
	d->found |= dot_look(*out);
}

struct span dot_text_end(struct dot_decoder *d)
{
	enum dot_place place = d->place;

	d->place = DOT_LINE_START;
	if (place == DOT_AFTER_CR)
		d->found |= DOT_BARE_NEWLINE;
	return place == DOT_LINE_START ? span_of("", 0) : crlf;
}

/* ---------------------------------------------------------------- encoder */

void dot_encode_init(struct dot_encoder *e)
{
	e->place = DOT_LINE_START;
}

void dot_encode(struct dot_encoder *e, struct span *in, struct span *out)
{
	bool bare = false;

	*out = span_of(in->data, 0);
	if (in->len == 0)
		return;
	if (e->place == DOT_AFTER_CR) {
		enum dot_place next = after_cr(in, out, &bare);

		/* Here every line end that is written starts a line, whatever it was before. */
		e->place = next == DOT_IN_LINE ? DOT_LINE_START : next;
		return;
	}
	if (e->place == DOT_LINE_START && in->data[0] == '.') {
		/* The first of the two; the dot itself follows with the run. */
		*out = SPAN(".");
		e->place = DOT_IN_LINE;
		return;
	}
	e->place = take_run(in, out);
	if (out->len == 0 && in->len > 0 && e->place == DOT_IN_LINE)
		e->place = take_newline(in, out, &bare);
	if (bare)
		e->place = DOT_LINE_START;
}

struct span dot_encode_end(struct dot_encoder *e)
{
	enum dot_place place = e->place;

	dot_encode_init(e);
	return place == DOT_LINE_START ? SPAN(".\r\n") : SPAN("\r\n.\r\n");
}

bool dot_encode_append(struct dot_encoder *e, struct span *in, struct buf *out)
{
	while (in->len) {
		struct dot_encoder before = *e;
		struct span rest = *in, part;

		dot_encode(e, in, &part);
		if (!buf_append_span(out, part)) {
			*e = before;
			*in = rest;
			return false;
		}
	}
	return true;
}
