#include <string.h>

#include "message/convert_inside.h"

void convert_lines_init(struct convert *c)
{
	c->hold_len = 0;
	c->holds = c->in_line = c->after_cr = false;
	c->pending = CONVERT_EOL_NONE;
}

/* ---------------------------------------------------------------- bodies */

static void pass_body(struct convert *c, struct span s)
{
	if (c->place == CONVERT_IN_BODY)
		convert_part_body(c, s);
	else
		convert_encode_text(&c->part.encoder, s, &c->sink);
}

static void flush_pending(struct convert *c)
{
	enum convert_eol eol = c->pending;

	c->pending = CONVERT_EOL_NONE;
	if (eol == CONVERT_EOL_NONE)
		return;
	if (c->place == CONVERT_IN_BODY)
		convert_part_body_eol(c, eol);
	else
		convert_encode_eol(&c->part.encoder, eol, &c->sink);
}

/* It is not a boundary. */
static void release_hold(struct convert *c)
{
	c->holds = false;
	flush_pending(c);
	pass_body(c, span_of(c->hold, c->hold_len));
	c->hold_len = 0;
}

static bool may_be_boundary(const struct convert *c)
{
	return c->level_count && c->hold_len <= CONVERT_LINE_MAX && (c->hold_len < 1 || c->hold[0] == '-') &&
	       (c->hold_len < 2 || c->hold[1] == '-');
}

/* ---------------------------------------------------------------- what a line is */

/* Takes the line that is held, when it is whole. */
static void take_boundary_or_body(struct convert *c, enum convert_eol eol)
{
	bool closes = false;
	struct span line = span_of(c->hold, c->hold_len);
	struct convert_level *level = c->hold_len && may_be_boundary(c) ? convert_tree_match(c, line, &closes) : NULL;

	if (level) {
		enum convert_eol before = c->pending;

		c->pending = CONVERT_EOL_NONE;
		c->holds = false;
		c->hold_len = 0;
		convert_tree_boundary(c, level, closes, line, before, eol);
		return;
	}
	release_hold(c);
	c->pending = eol;
}

/* A line of a header that is whole (or as much of it as can be held) may end the header, even several headers when
 * messages are enclosed: then it is looked at again as what follows. */
static void take_header_line(struct convert *c, enum convert_eol eol, bool whole)
{
	struct span line = span_of(c->hold, c->hold_len);
	bool closes;

	while (c->place == CONVERT_IN_HEADER) {
		if (whole && may_be_boundary(c) && c->hold_len && convert_tree_match(c, line, &closes)) {
			convert_part_header_end(c, CONVERT_EOL_NONE);
		} else if (convert_part_header_line(c, line, eol, whole)) {
			c->holds = false;
			c->hold_len = 0;
			return;
		}
	}
	if (whole)
		take_boundary_or_body(c, eol);
	else
		release_hold(c);
}

static void end_line(struct convert *c, enum convert_eol eol)
{
	if (!c->in_line) {
		c->holds = true;
		c->hold_len = 0;
	}
	c->in_line = false;
	if (c->place == CONVERT_IN_HEADER && c->holds)
		take_header_line(c, eol, true);
	else if (c->place == CONVERT_IN_HEADER)
		convert_part_header_eol(c, eol);
	else if (c->holds)
		take_boundary_or_body(c, eol);
	else
		c->pending = eol;
}

static void pass_on(struct convert *c, struct span s)
{
	if (c->place == CONVERT_IN_HEADER)
		convert_part_header_more(c, s);
	else
		pass_body(c, s);
}

/* More of a line. */
static void take_text(struct convert *c, struct span s)
{
	if (!c->in_line) {
		c->in_line = true;
		c->holds = true;
		c->hold_len = 0;
	}
	while (s.len && c->holds) {
		size_t n = c->place == CONVERT_IN_HEADER ? sizeof c->hold - c->hold_len : c->hold_len < 2 ? 1 : s.len;

		if (c->place != CONVERT_IN_HEADER && n > CONVERT_LINE_MAX + 1 - c->hold_len)
			n = CONVERT_LINE_MAX + 1 - c->hold_len;
		n = n < s.len ? n : s.len;
		memcpy(c->hold + c->hold_len, s.data, n);
		c->hold_len += n;
		s = span_from(s, n);
		if (c->place == CONVERT_IN_HEADER && c->hold_len == sizeof c->hold)
			take_header_line(c, CONVERT_EOL_NONE, false);
		else if (c->place != CONVERT_IN_HEADER && !may_be_boundary(c))
			release_hold(c);
	}
	if (s.len)
		pass_on(c, s);
}

/* ---------------------------------------------------------------- bytes */

void convert_lines_feed(struct convert *c, struct span in)
{
	size_t i = 0;

	while (i < in.len) {
		size_t from = i;

		if (c->after_cr) {
			bool crlf = in.data[i] == '\n';

			c->after_cr = false;
			i += crlf;
			end_line(c, crlf ? CONVERT_EOL_CRLF : CONVERT_EOL_CR);
			continue;
		}
		while (i < in.len && in.data[i] != '\r' && in.data[i] != '\n')
			i++;
		if (i > from)
			take_text(c, span_of(in.data + from, i - from));
		if (i == in.len)
			break;
		if (in.data[i++] == '\r')
			c->after_cr = true;
		else
			end_line(c, CONVERT_EOL_LF);
	}
}

void convert_lines_end(struct convert *c)
{
	if (c->after_cr)
		end_line(c, CONVERT_EOL_CR);
	c->after_cr = false;
	if (c->in_line)
		end_line(c, CONVERT_EOL_NONE);
	while (c->place == CONVERT_IN_HEADER)
		convert_part_header_end(c, CONVERT_EOL_NONE);
	flush_pending(c);
	convert_tree_end(c);
}
