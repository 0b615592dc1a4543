#include "message/convert.h"

#include <assert.h>

#include "base/mem.h"
#include "message/convert_inside.h"

/*
 * What a piece becomes is never longer than FACTOR times the piece and what was held back. The worst is a part of a
 * digest, "--b" LF LF LF and one 8-bit byte, which gets three fields: 8 bytes become 126.
 */
enum {
	PIECE = 1024,
	FACTOR = 24,
	HELD = 4 * CONVERT_HOLD_MAX + 512,
	BOUNDARIES = CONVERT_DEPTH_MAX * CONVERT_BOUNDARY_MAX,
};

static const char *const words[] = {
#define X(name, text) [CONVERT_##name] = (text),
	CONVERT_WHYS(X)
#undef X
};

const char *convert_why_text(enum convert_why why)
{
	return words[why];
}

static void begin(struct convert *c, bool scanning)
{
	c->scanning = scanning;
	c->sink = (struct convert_sink){ NULL, NULL, 0 };
	convert_lines_init(c);
	convert_tree_init(c);
}

struct convert *convert_new(enum convert_target target)
{
	struct convert *c = MEM_NEW(struct convert);

	c->target = target;
	buf_init(&c->plan, CONVERT_PARTS_MAX);
	buf_init(&c->boundaries, BOUNDARIES);
	buf_init(&c->value, CONVERT_VALUE_MAX);
	begin(c, true);
	return c;
}

void convert_free(struct convert *c)
{
	if (!c)
		return;
	buf_fini(&c->plan);
	buf_fini(&c->boundaries);
	buf_fini(&c->value);
	mem_free(c);
}

void convert_scan(struct convert *c, struct span in)
{
	assert(c->scanning);
	c->in_bytes += in.len;
	convert_lines_feed(c, in);
}

const struct convert_facts *convert_scan_end(struct convert *c)
{
	assert(c->scanning);
	convert_lines_end(c);
	if (c->facts.needed && c->too_many_parts)
		convert_tree_refuse(c, CONVERT_PARTS);
	c->facts.size_bytes = c->facts.needed && !c->facts.cannot ? c->sink.bytes : c->in_bytes;
	begin(c, false);
	return &c->facts;
}

const struct convert_facts *convert_facts(const struct convert *c)
{
	assert(!c->scanning);
	return &c->facts;
}

void convert_rewind(struct convert *c)
{
	assert(!c->scanning);
	begin(c, false);
}

/* ---------------------------------------------------------------- the second reading */

static void give_room(struct convert *c, struct buf *out, size_t len)
{
	c->sink.at = buf_reserve(out, len);
	assert(c->sink.at);
	c->sink.end = c->sink.at + len;
	c->sink.bytes = 0;
}

static void take_room(struct convert *c, struct buf *out)
{
	buf_commit(out, (size_t)c->sink.bytes);
	c->sink = (struct convert_sink){ NULL, NULL, 0 };
}

/* How much of a piece of that length can be taken now. */
static size_t piece_of(const struct buf *out, size_t len)
{
	size_t room = out->max - out->len, most = room > HELD ? (room - HELD) / FACTOR : 0;

	most = most < PIECE ? most : PIECE;
	return len < most ? len : most;
}

static void pass(struct span *in, struct buf *out)
{
	struct span s = span_first(*in, out->max - out->len);

	if (buf_append_span(out, s))
		*in = span_from(*in, s.len);
}

void convert_feed(struct convert *c, struct span *in, struct buf *out)
{
	size_t n;

	assert(!c->scanning && !c->facts.cannot && out->max >= CONVERT_OUT_MIN);
	if (!c->facts.needed) {
		pass(in, out);
		return;
	}
	while ((n = piece_of(out, in->len))) {
		give_room(c, out, HELD + n * FACTOR);
		convert_lines_feed(c, span_first(*in, n));
		take_room(c, out);
		*in = span_from(*in, n);
	}
}

bool convert_end(struct convert *c, struct buf *out)
{
	assert(!c->scanning && !c->facts.cannot && out->max >= CONVERT_OUT_MIN);
	if (c->facts.needed) {
		if (piece_of(out, 1) == 0)
			return false;
		give_room(c, out, HELD);
		convert_lines_end(c);
		take_room(c, out);
	}
	begin(c, false);
	return true;
}
