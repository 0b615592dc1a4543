#include <string.h>

#include "message/convert_inside.h"

void convert_tree_refuse(struct convert *c, enum convert_why why)
{
	c->facts.needed = true;
	if (!c->facts.cannot)
		c->facts.cannot = why;
}

void convert_tree_put(struct convert *c, struct span s)
{
	for (size_t i = 0; c->scanning && i < s.len; i++) {
		if ((unsigned char)s.data[i] > 127)
			c->facts.header_8bit = true;
		if (s.data[i] == 0)
			convert_tree_refuse(c, CONVERT_NUL);
	}
	convert_encode_put(&c->sink, s);
}

void convert_tree_put_eol(struct convert *c, enum convert_eol eol, bool sealed)
{
	if (eol == CONVERT_EOL_NONE)
		return;
	convert_encode_put(&c->sink, SPAN("\r\n"));
	if (eol == CONVERT_EOL_CRLF)
		return;
	c->facts.needed = true;
	if (sealed)
		convert_tree_refuse(c, CONVERT_SEALED);
}

/* ---------------------------------------------------------------- margins */

static void margin_begin(struct convert *c)
{
	c->place = CONVERT_IN_MARGIN;
	c->part.encoder = (struct convert_encoder){
		.encoding = CONVERT_ENCODE_MARGIN,
		.seven = c->target == CONVERT_7BIT,
	};
}

/* The text in front of the parts of `top`, or behind those of one that is closed. */
static void margin_end(struct convert *c)
{
	struct convert_level *top = c->level_count ? &c->levels[c->level_count - 1] : NULL;

	if (!c->part.encoder.altered)
		return;
	c->facts.needed = true;
	if (c->part.is_sealed)
		convert_tree_refuse(c, CONVERT_SEALED);
	/* Without parts it is no margin but all there is. */
	if (top && !top->has_parts)
		top->margin_altered = true;
}

/* ---------------------------------------------------------------- levels */

static void close_level(struct convert *c)
{
	struct convert_level *level = &c->levels[--c->level_count];

	if (!level->has_parts && level->margin_altered)
		convert_tree_refuse(c, CONVERT_STRUCTURE);
	buf_truncate(&c->boundaries, level->boundary_at);
}

static bool open_level(struct convert *c)
{
	const struct convert_part *part = &c->part;
	struct convert_level *level = &c->levels[c->level_count];

	if (c->level_count == CONVERT_DEPTH_MAX)
		return false;
	*level = (struct convert_level){
		.depth = part->depth,
		.is_sealed = part->is_sealed,
		.seals = part->type.seals,
		.is_digest = part->type.is_digest,
		.boundary_at = c->boundaries.len,
		.boundary_len = part->type.boundary_len,
	};
	if (!buf_append(&c->boundaries, part->type.boundary, part->type.boundary_len))
		return false;
	c->level_count++;
	return true;
}

struct convert_level *convert_tree_match(struct convert *c, struct span line, bool *out_closes)
{
	if (line.len < 3 || line.data[0] != '-' || line.data[1] != '-')
		return NULL;
	line = span_from(line, 2);
	while (line.len && (line.data[line.len - 1] == ' ' || line.data[line.len - 1] == '\t'))
		line.len--;
	for (size_t i = c->level_count; i-- > 0;) {
		struct convert_level *level = &c->levels[i];
		struct span boundary = span_of(buf_span(&c->boundaries).data + level->boundary_at, level->boundary_len);

		if (!span_equals(span_first(line, boundary.len), boundary))
			continue;
		*out_closes = span_equals(span_from(line, boundary.len), SPAN("--"));
		if (line.len == boundary.len || *out_closes)
			return level;
	}
	return NULL;
}

/* ---------------------------------------------------------------- parts */

void convert_tree_init(struct convert *c)
{
	c->level_count = 0;
	c->next = 0;
	c->too_many_parts = false;
	buf_clear(&c->boundaries);
	convert_part_begin(c, (struct convert_part){ .is_message = true });
}

static void end_what_is_open(struct convert *c, bool last)
{
	if (c->place == CONVERT_IN_BODY)
		convert_part_body_end(c, last);
	else
		margin_end(c);
}

void convert_tree_boundary(struct convert *c, struct convert_level *level, bool closes, struct span line,
			   enum convert_eol before, enum convert_eol after)
{
	unsigned depth = level->depth;
	bool sealed = level->is_sealed, digest = level->is_digest, seals = level->seals;

	end_what_is_open(c, false);
	while (&c->levels[c->level_count - 1] != level)
		close_level(c);
	convert_tree_put_eol(c, before, sealed);
	convert_tree_put(c, line);
	convert_tree_put_eol(c, after, sealed);
	level->has_parts = level->has_parts || !closes;
	if (!closes) {
		convert_part_begin(c, (struct convert_part){
					      .depth = depth + 1,
					      .is_sealed = sealed || seals,
					      .type.kind = digest ? CONVERT_KIND_MESSAGE : CONVERT_KIND_TEXT,
				      });
		return;
	}
	close_level(c);
	margin_begin(c);
	c->part.is_sealed = sealed;
}

static enum convert_why enter_multipart(struct convert *c)
{
	if (c->part.type.boundary_len == 0)
		return CONVERT_STRUCTURE;
	if (c->part.depth >= CONVERT_DEPTH_MAX || !open_level(c))
		return CONVERT_DEPTH;
	convert_part_relabel(c);
	margin_begin(c);
	return CONVERT_NOTHING;
}

static enum convert_why enter_message(struct convert *c)
{
	if (c->part.label >= CONVERT_LABEL_QP)
		return CONVERT_FIXED; /* against RFC 2046, 5.2.1 */
	if (c->part.depth >= CONVERT_DEPTH_MAX)
		return CONVERT_DEPTH;
	convert_part_relabel(c);
	convert_part_begin(c, (struct convert_part){
				      .is_message = true,
				      .depth = c->part.depth + 1,
				      .is_sealed = c->part.is_sealed,
			      });
	return CONVERT_NOTHING;
}

void convert_tree_enter(struct convert *c)
{
	enum convert_why why = CONVERT_NOTHING;

	switch (c->part.type.kind) {
	case CONVERT_KIND_MULTIPART: why = enter_multipart(c); break;
	case CONVERT_KIND_MESSAGE: why = enter_message(c); break;
	case CONVERT_KIND_FIXED: why = CONVERT_FIXED; break;
	case CONVERT_KIND_TEXT:
	case CONVERT_KIND_DATA:
	case CONVERT_KIND_FIELDS: convert_part_body_begin(c, CONVERT_NOTHING); return;
	}
	if (why)
		convert_part_body_begin(c, why);
}

void convert_tree_end(struct convert *c)
{
	end_what_is_open(c, true);
	while (c->level_count)
		close_level(c);
}
