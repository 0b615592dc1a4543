#include "message/revise.h"

/* The new header in the making. */
struct draft {
	struct rewrite *r;
	struct buf *out;
	struct span fields;
	size_t taken; /* bytes of the old one that are in `out` */
	enum revise_original original;
	bool resent, has_reply_to, changed, full;
	bool has_author; /* the identity's address is in */
};

static void append(struct draft *d, struct span s)
{
	d->full = d->full || !buf_append_span(d->out, s);
}

static void keep(struct draft *d, const char *to)
{
	size_t upto = (size_t)(to - d->fields.data);

	append(d, span_of(d->fields.data + d->taken, upto - d->taken));
	d->taken = upto;
}

static void note(struct draft *d, enum rewrite_verdict verdict, const struct header_field *field)
{
	d->full = d->full || verdict == REWRITE_FULL;
	d->changed = d->changed || verdict == REWRITE_CHANGED;
	/* CHANGED: the new value is in, instead of the old one. */
	if (verdict == REWRITE_CHANGED)
		d->taken += field->value.len;
}

/* The old value as a field of its own, behind the one that is in. */
static void add_original(struct draft *d, const struct header_field *field, enum revise_original as)
{
	const char *end = field->value.data + field->value.len;
	struct span line_end = span_of(end, (size_t)(field->whole.data + field->whole.len - end));

	append(d, line_end.len ? line_end : SPAN("\r\n"));
	if (as == REVISE_X_ORIGINAL_FROM)
		append(d, SPAN("X-Original-From:"));
	else
		append(d, SPAN("Reply-To:"));
	if (as == REVISE_X_ORIGINAL_FROM || rewrite_addresses(d->r, field->value, false, d->out) != REWRITE_CHANGED)
		append(d, field->value);
}

static void take_author(struct draft *d, const struct header_field *field)
{
	bool replaced, parsed;
	enum revise_original as = d->original;
	enum rewrite_verdict verdict;

	d->has_author = true;
	keep(d, field->value.data);
	if (d->full)
		return;
	verdict = rewrite_from(d->r, field->value, d->out, &replaced, &parsed);
	note(d, verdict, field);
	if (verdict != REWRITE_CHANGED || !replaced || as == REVISE_DROP)
		return;
	if (as == REVISE_REPLY_TO && (d->resent || d->has_reply_to))
		return;
	add_original(d, field, parsed ? as : REVISE_X_ORIGINAL_FROM);
}

/* A second From. */
static void take_stray(struct draft *d, const struct header_field *field)
{
	keep(d, field->whole.data);
	if (d->original == REVISE_DROP) {
		d->taken += field->whole.len;
	} else {
		append(d, SPAN("X-Original-From:"));
		d->taken = (size_t)(field->value.data - d->fields.data);
	}
	d->changed = true;
}

static void take_addresses(struct draft *d, const struct header_field *field, bool recipients)
{
	keep(d, field->value.data);
	if (!d->full)
		note(d, rewrite_addresses(d->r, field->value, recipients, d->out), field);
}

static void take_field(struct draft *d, const struct header_field *field)
{
	bool identity = d->r->rules.from || d->r->rules.name;

	switch (field->name) {
	case HEADER_FROM:
		if (d->resent)
			return;
		if (identity && !d->has_author)
			take_author(d, field);
		else if (d->r->rules.from)
			take_stray(d, field);
		else
			take_addresses(d, field, false);
		return;
	case HEADER_RESENT_FROM:
		if (identity && !d->has_author)
			take_author(d, field);
		else
			take_addresses(d, field, false);
		return;
	case HEADER_SENDER:
	case HEADER_REPLY_TO:
	case HEADER_BCC:
		if (!d->resent)
			take_addresses(d, field, false);
		return;
	case HEADER_TO:
	case HEADER_CC:
		if (!d->resent)
			take_addresses(d, field, true);
		return;
	case HEADER_RESENT_SENDER:
	case HEADER_RESENT_REPLY_TO:
	case HEADER_RESENT_BCC: take_addresses(d, field, false); return;
	case HEADER_RESENT_TO:
	case HEADER_RESENT_CC: take_addresses(d, field, true); return;
	case HEADER_DATE:
	case HEADER_MESSAGE_ID:
	case HEADER_SUBJECT:
	case HEADER_RECEIVED:
	case HEADER_RETURN_PATH:
	case HEADER_DELIVERED_TO:
	case HEADER_AUTO_SUBMITTED:
	case HEADER_PRECEDENCE:
	case HEADER_RESENT_DATE:
	case HEADER_RESENT_MESSAGE_ID:
	case HEADER_MIME_VERSION:
	case HEADER_CONTENT_TYPE:
	case HEADER_OTHER:
	case HEADER_NAMES: return;
	}
}

enum rewrite_verdict revise_header(struct rewrite *r, enum revise_original original, const struct header *header,
				   struct span fields, struct buf *out)
{
	struct draft d = { .r = r,
			   .out = out,
			   .fields = fields,
			   .original = original,
			   .resent = header_is_resent(header),
			   .has_reply_to = header->counts[HEADER_REPLY_TO] > 0 };
	struct header_field field;
	size_t before = out->len;

	while (!d.full && header_next(&fields, &field))
		take_field(&d, &field);
	if (d.changed && !d.full)
		keep(&d, d.fields.data + d.fields.len);
	if (d.changed && !d.full)
		return REWRITE_CHANGED;
	buf_truncate(out, before);
	return d.full ? REWRITE_FULL : REWRITE_SAME;
}
