#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "message/convert_inside.h"
#include "message/header.h"

static const char label_field[] = "Content-Transfer-Encoding";

/* ---------------------------------------------------------------- what a part becomes */

static enum convert_label label_of(const struct convert *c, unsigned action)
{
	switch (action) {
	case CONVERT_QP: return CONVERT_LABEL_QP;
	case CONVERT_BASE64: return CONVERT_LABEL_BASE64;
	default: return c->target == CONVERT_7BIT ? CONVERT_LABEL_7BIT : CONVERT_LABEL_8BIT;
	}
}

static bool is_encoded(unsigned plan)
{
	return (plan & CONVERT_ACTION) >= CONVERT_QP;
}

static uint64_t put_label(struct convert *c, unsigned plan, struct convert_sink *sink)
{
	uint64_t before = sink->bytes;

	convert_encode_put(sink, span_str(label_field));
	convert_encode_put(sink, SPAN(": "));
	convert_encode_put(sink, span_str(convert_type_label_text(label_of(c, plan & CONVERT_ACTION))));
	convert_encode_put(sink, SPAN("\r\n"));
	return sink->bytes - before;
}

/* What the header gets behind its last field. */
static void put_missing(struct convert *c, unsigned plan, struct convert_sink *sink)
{
	const struct convert_part *p = &c->part;

	bool is_mended = plan & CONVERT_MENDED;

	if (!is_encoded(plan))
		return;
	if (p->is_message && !p->has_version && !is_mended)
		convert_encode_put(sink, SPAN("MIME-Version: 1.0\r\n"));
	if (plan & CONVERT_CHARSET && !is_mended)
		convert_encode_put(sink, SPAN("Content-Type: text/plain; charset=unknown-8bit\r\n"));
	if (!p->has_label && !is_mended)
		put_label(c, plan, sink);
	/* What was no field may look like one when it is encoded. */
	if (!p->has_blank)
		convert_encode_put(sink, SPAN("\r\n"));
}

/* The first reading: the message so far as it will be with that plan for this part. */
static void note_plan(struct convert *c, unsigned plan)
{
	struct convert_part *p = &c->part;
	struct convert_sink extra = { NULL, NULL, 0 };

	if (p->n < c->plan.len)
		c->plan.data[c->plan.start + p->n] = (char)plan;
	if ((plan & CONVERT_ACTION) == CONVERT_KEEP)
		return;
	if (p->has_label)
		c->sink.bytes += put_label(c, plan, &extra) - p->label_bytes;
	extra.bytes = 0;
	put_missing(c, plan, &extra);
	c->sink.bytes += extra.bytes;
}

void convert_part_relabel(struct convert *c)
{
	enum convert_label label = c->part.label,
			   strongest = c->target == CONVERT_7BIT ? CONVERT_LABEL_7BIT : CONVERT_LABEL_8BIT;

	if (c->scanning && !c->part.is_sealed && label > strongest && label <= CONVERT_LABEL_BINARY)
		note_plan(c, CONVERT_RELABEL);
}

/* ---------------------------------------------------------------- header */

void convert_part_begin(struct convert *c, struct convert_part part)
{
	part.n = c->next++;
	if (c->scanning) {
		c->facts.parts++;
		if (!buf_append_char(&c->plan, CONVERT_KEEP))
			c->too_many_parts = true;
	} else {
		part.plan = part.n < c->plan.len ? (unsigned char)buf_span(&c->plan).data[part.n] : CONVERT_KEEP;
	}
	c->part = part;
	c->place = CONVERT_IN_HEADER;
	buf_clear(&c->value);
}

static bool is_blank(char b)
{
	return b == ' ' || b == '\t';
}

/* The name at the front of a line, and where its value begins; empty: it is no field. */
static struct span field_name(struct span line, size_t *out_value)
{
	size_t name;

	return header_split(line, &name, out_value) ? span_first(line, name) : span_of("", 0);
}

static void end_field(struct convert *c)
{
	struct convert_part *p = &c->part;

	if (p->field == CONVERT_FIELD_TYPE && !p->has_type) {
		convert_type_read(buf_span(&c->value), &p->type);
		p->has_type = true;
	} else if (p->field == CONVERT_FIELD_LABEL && !p->has_label) {
		p->label = convert_type_label(buf_span(&c->value));
		p->has_label = true;
	} else if (p->field == CONVERT_FIELD_VERSION) {
		p->has_version = true;
	}
	p->field = CONVERT_FIELD_OTHER;
	p->swallows = false;
}

static enum convert_field field_of(struct span name)
{
	if (span_equals_fold(name, SPAN("Content-Type")))
		return CONVERT_FIELD_TYPE;
	if (span_equals_fold(name, span_str(label_field)))
		return CONVERT_FIELD_LABEL;
	if (span_equals_fold(name, SPAN("MIME-Version")))
		return CONVERT_FIELD_VERSION;
	return CONVERT_FIELD_OTHER;
}

static void begin_field(struct convert *c, struct span name)
{
	struct convert_part *p = &c->part;

	end_field(c);
	p->any = true;
	p->field = field_of(name);
	p->column = 0;
	buf_clear(&c->value);
	if (p->field != CONVERT_FIELD_LABEL || (p->plan & CONVERT_ACTION) == CONVERT_KEEP)
		return;
	p->swallows = true;
	if (!p->label_written)
		put_label(c, p->plan, &c->sink);
	p->label_written = true;
}

static void keep_value(struct convert *c, struct span s)
{
	if (c->part.field == CONVERT_FIELD_OTHER)
		return;
	buf_append_span(&c->value, span_first(s, CONVERT_VALUE_MAX - c->value.len));
}

static void pass_header(struct convert *c, struct span s)
{
	struct convert_part *p = &c->part;

	p->column += s.len;
	if (p->column > CONVERT_LINE_MAX)
		c->facts.header_long = true;
	if (p->field == CONVERT_FIELD_LABEL)
		p->label_bytes += s.len;
	if (!p->swallows)
		convert_tree_put(c, s);
}

void convert_part_header_eol(struct convert *c, enum convert_eol eol)
{
	struct convert_part *p = &c->part;

	p->column = 0;
	if (p->field == CONVERT_FIELD_LABEL && eol != CONVERT_EOL_NONE)
		p->label_bytes += 2;
	if (!p->swallows)
		convert_tree_put_eol(c, eol, p->is_sealed);
}

void convert_part_header_more(struct convert *c, struct span s)
{
	keep_value(c, s);
	pass_header(c, s);
}

bool convert_part_header_line(struct convert *c, struct span line, enum convert_eol eol, bool whole)
{
	size_t value = 0;
	struct span name = { "", 0 };
	bool continues = line.len && is_blank(line.data[0]) && c->part.any;

	if (line.len == 0) {
		convert_part_header_end(c, eol);
		return true;
	}
	if (!continues) {
		name = field_name(line, &value);
		if (name.len == 0) {
			convert_part_header_end(c, CONVERT_EOL_NONE);
			return false;
		}
		begin_field(c, name);
	}
	keep_value(c, span_from(line, value));
	pass_header(c, line);
	if (whole)
		convert_part_header_eol(c, eol);
	return true;
}

void convert_part_header_end(struct convert *c, enum convert_eol blank)
{
	struct convert_part *p = &c->part;

	end_field(c);
	p->has_blank = blank != CONVERT_EOL_NONE;
	p->column = 0;
	put_missing(c, p->plan, &c->sink);
	convert_tree_put_eol(c, blank, p->is_sealed);
	convert_tree_enter(c);
}

/* ---------------------------------------------------------------- body */

static bool is_fields(const struct convert_part *p)
{
	return p->type.kind == CONVERT_KIND_FIELDS && p->label < CONVERT_LABEL_QP;
}

static enum convert_encoding encoding_of(unsigned plan)
{
	bool mended = plan & CONVERT_MENDED;

	switch (plan & CONVERT_ACTION) {
	case CONVERT_QP: return mended ? CONVERT_ENCODE_MEND_QP : CONVERT_ENCODE_QP;
	case CONVERT_BASE64: return mended ? CONVERT_ENCODE_MEND_BASE64 : CONVERT_ENCODE_BASE64;
	default: return CONVERT_ENCODE_NOT;
	}
}

/* The two plans of which one comes true if the body must change; action_for() chooses. */
static unsigned way_of(const struct convert_part *p, size_t n)
{
	switch (p->label) {
	case CONVERT_LABEL_QP: return CONVERT_QP | CONVERT_MENDED;
	case CONVERT_LABEL_BASE64: return n == 0 ? CONVERT_BASE64 | CONVERT_MENDED : CONVERT_BASE64;
	case CONVERT_LABEL_7BIT:
	case CONVERT_LABEL_8BIT:
	case CONVERT_LABEL_BINARY: break;
	}
	return n == 0 && p->type.kind == CONVERT_KIND_TEXT ? CONVERT_QP : CONVERT_BASE64;
}

/* Which of them. */
static size_t choose_way(const struct convert_part *p)
{
	if (p->label == CONVERT_LABEL_BASE64)
		return p->found & CONVERT_FOUND_NO_BASE64 ? 1 : 0;
	return p->found & CONVERT_FOUND_NO_LINES ? 1 : 0;
}

static bool ways_differ(const struct convert_part *p)
{
	return way_of(p, 0) != way_of(p, 1);
}

void convert_part_body_begin(struct convert *c, enum convert_why fixed)
{
	struct convert_part *p = &c->part;

	c->place = CONVERT_IN_BODY;
	p->fixed = fixed;
	p->encoder.encoding = encoding_of(p->plan);
	for (size_t i = 0; i < 2; i++)
		p->ways[i].encoder.encoding = encoding_of(way_of(p, i));
}

static unsigned look_for_odd_bytes(struct span s)
{
	return (text_is_ascii(s) ? 0U : CONVERT_FOUND_8BIT) |
	       (s.len && memchr(s.data, 0, s.len) ? CONVERT_FOUND_NUL : 0U);
}

/* Lines of base64 are whole groups. Text with a wrong label, which mail programs show as it is, rarely begins so. */
static void look_for_base64(struct convert_part *p, struct span s, bool is_end)
{
	if (p->label != CONVERT_LABEL_BASE64 || p->begun)
		return;
	if (!convert_encode_is_base64(s) || (is_end && p->column % 4))
		p->found |= CONVERT_FOUND_NO_BASE64;
	p->begun = is_end && p->column;
}

static void count_ways(struct convert_part *p, struct span s, enum convert_eol eol)
{
	if (p->is_sealed || p->fixed)
		return; /* it goes neither */
	for (size_t i = ways_differ(p) ? 2 : 1; i-- > 0;) {
		struct convert_counter *way = &p->ways[i];

		if (s.len)
			convert_encode_text(&way->encoder, s, &way->sink);
		if (eol)
			convert_encode_eol(&way->encoder, eol, &way->sink);
	}
}

void convert_part_body(struct convert *c, struct span s)
{
	struct convert_part *p = &c->part;

	if (is_fields(p)) {
		pass_header(c, s);
		return;
	}
	convert_encode_text(&p->encoder, s, &c->sink);
	if (!c->scanning)
		return;
	p->found |= look_for_odd_bytes(s);
	p->column += s.len;
	if (p->column > CONVERT_LINE_MAX)
		p->found |= CONVERT_FOUND_LONG;
	p->raw_bytes += s.len;
	look_for_base64(p, s, false);
	count_ways(p, s, CONVERT_EOL_NONE);
}

void convert_part_body_eol(struct convert *c, enum convert_eol eol)
{
	struct convert_part *p = &c->part;

	if (is_fields(p)) {
		convert_part_header_eol(c, eol);
		return;
	}
	convert_encode_eol(&p->encoder, eol, &c->sink);
	if (!c->scanning)
		return;
	if (eol != CONVERT_EOL_CRLF)
		p->found |= CONVERT_FOUND_BARE;
	look_for_base64(p, SPAN(""), true);
	p->column = 0;
	p->raw_bytes += convert_encode_eol_text(eol).len;
	count_ways(p, SPAN(""), eol);
}

static bool must_change(const struct convert *c, bool last)
{
	const struct convert_part *p = &c->part;

	/* What is sent ends with a line end; to text that is no change. */
	if (last && p->column && p->type.kind == CONVERT_KIND_DATA && p->label == CONVERT_LABEL_BINARY && !p->is_sealed)
		return true;
	return p->found & (CONVERT_FOUND_NUL | CONVERT_FOUND_BARE | CONVERT_FOUND_LONG) ||
	       (p->found & CONVERT_FOUND_8BIT && c->target == CONVERT_7BIT);
}

void convert_part_body_end(struct convert *c, bool last)
{
	struct convert_part *p = &c->part;
	struct convert_counter *way;
	unsigned plan;

	if (!c->scanning) {
		convert_encode_end(&p->encoder, last, &c->sink);
		return;
	}
	if (!must_change(c, last)) {
		convert_part_relabel(c);
		return;
	}
	c->facts.needed = true;
	c->facts.changed++;
	if (p->is_sealed || p->fixed) {
		convert_tree_refuse(c, p->is_sealed ? CONVERT_SEALED : p->fixed);
		return;
	}
	look_for_base64(p, SPAN(""), true);
	way = &p->ways[choose_way(p) && ways_differ(p) ? 1 : 0];
	plan = way_of(p, choose_way(p));
	if (p->is_message && !p->has_version && !p->has_type && p->found & CONVERT_FOUND_8BIT &&
	    !(plan & CONVERT_MENDED))
		plan |= CONVERT_CHARSET;
	convert_encode_end(&way->encoder, last, &way->sink);
	c->sink.bytes += way->sink.bytes - p->raw_bytes;
	note_plan(c, plan);
}
