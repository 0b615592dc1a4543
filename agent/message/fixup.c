#include "message/fixup.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "message/trace.h"

enum {
	ADDED_MAX = 32 * 1024,
	CHANGED_MAX = FIXUP_HEADER_MAX + 128 * 1024,
	FROM_MAX = 900,
	ENVELOPE_MAX = 998, /* bytes of the first line of a mailbox file */
};
#define ENVELOPE_UNKNOWN SIZE_MAX

void fixup_init(struct fixup *f, const struct fixup_options *options)
{
	memset(f, 0, sizeof(*f));
	assert(options->hostname && options->id);
	f->options = *options;
	f->envelope = ENVELOPE_UNKNOWN;
	header_init(&f->header);
	buf_init(&f->held, FIXUP_HEADER_MAX);
	buf_init(&f->added, ADDED_MAX);
	buf_init(&f->changed, CHANGED_MAX);
	f->facts.message_id = f->message_id;
	f->facts.subject = f->subject;
}

void fixup_fini(struct fixup *f)
{
	buf_fini(&f->held);
	buf_fini(&f->added);
	buf_fini(&f->changed);
}

/* ---------------------------------------------------------------- our fields */

static bool is_said(const char *text)
{
	return text && *text;
}

/* Literals, and text that is bounded and without control bytes, so that no line of ours can be ended from outside. */
static void add_str(struct fixup *f, const char *text)
{
	bool ok = buf_append_str(&f->added, text);

	assert(ok); /* ADDED_MAX is larger than all our fields at their longest */
}

static void add_text(struct fixup *f, const char *text, size_t max, const char *forbidden)
{
	struct span s = span_first(span_str(text), max);

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		bool ok = buf_append_char(&f->added, c < ' ' || c == 127 || strchr(forbidden, c) ? '?' : (char)c);

		assert(ok);
	}
}

static void add_trace(struct fixup *f, const char *date)
{
	const struct fixup_options *o = &f->options;
	bool ok = trace_write(&f->added, &(struct trace){ .helo = o->helo,
							  .peer = o->peer,
							  .hostname = o->hostname,
							  .protocol = o->protocol,
							  .id = o->id,
							  .tls = o->tls,
							  .user = o->user,
							  .recipient = o->recipient,
							  .date = date });

	assert(ok);
}

static const char *id_domain(const struct fixup_options *o)
{
	return is_said(o->id_domain) ? o->id_domain : o->hostname;
}

/* What is missing, or what who sends it again has left out. */
static void add_missing(struct fixup *f, struct rewrite *rewrite, const char *date)
{
	const struct fixup_options *o = &f->options;
	const uint32_t *counts = f->header.counts;
	bool resent = f->facts.is_resent;
	const char *again = resent ? "Resent-" : "";

	if (o->add_date && !counts[resent ? HEADER_RESENT_DATE : HEADER_DATE]) {
		add_str(f, again);
		add_str(f, "Date: ");
		add_text(f, date, CLOCK_DATE_SIZE, "");
		add_str(f, "\r\n");
	}
	if ((rewrite->rules.from || is_said(o->from)) && !counts[resent ? HEADER_RESENT_FROM : HEADER_FROM]) {
		add_str(f, again);
		add_str(f, "From:");
		if (rewrite->rules.from) {
			enum rewrite_verdict verdict = rewrite_new_from(rewrite, &f->added);

			assert(verdict == REWRITE_CHANGED);
		} else {
			add_str(f, " ");
			add_text(f, o->from, FROM_MAX, "");
		}
		add_str(f, "\r\n");
	}
	if (o->add_message_id && !counts[resent ? HEADER_RESENT_MESSAGE_ID : HEADER_MESSAGE_ID]) {
		add_str(f, again);
		add_str(f, "Message-ID: <");
		add_text(f, o->id, TRACE_TEXT_MAX, " <>");
		add_str(f, "@");
		add_text(f, id_domain(o), TRACE_TEXT_MAX, " <>");
		add_str(f, ">\r\n");
	}
}

/* ---------------------------------------------------------------- what rules change */

static void revise(struct fixup *f, struct rewrite *rewrite, struct span text)
{
	const struct fixup_options *o = &f->options;
	struct span fields = span_from(span_first(text, f->envelope + f->header.length), f->envelope);

	/* Most messages are not under any rule. */
	if (!rewrite->domain[0] && !rewrite->rules.from && !rewrite->rules.name && !rewrite->rules.to &&
	    !rewrite->rules.aliases)
		return;
	buf_append_span(&f->changed, span_first(text, f->envelope));
	switch (revise_header(rewrite, o->original, &f->header, fields, &f->changed)) {
	case REWRITE_CHANGED: f->facts.is_changed = true; break;
	case REWRITE_FULL: f->facts.is_given_up = true; break;
	case REWRITE_SAME: break;
	}
	if (!f->facts.is_changed)
		buf_release(&f->changed);
}

static void apply(struct fixup *f, struct span text)
{
	const struct fixup_options *o = &f->options;
	char date[CLOCK_DATE_SIZE];
	struct rewrite rewrite;

	clock_date(o->wall_ms, date);
	if (!o->no_trace)
		add_trace(f, date);
	if (!f->facts.header_too_long) {
		rewrite_init(&rewrite, &(struct rewrite_rules){ .qualify = o->qualify,
								.from = o->identity_from,
								.name = o->identity_name,
								.to = o->to,
								.aliases = o->aliases,
								.utf8 = o->utf8 });
		add_missing(f, &rewrite, date);
		if (!f->facts.no_header)
			revise(f, &rewrite, text);
		rewrite_fini(&rewrite);
	}
	if (f->envelope)
		add_str(f, "X-Mailbox-Line: ");
}

/* ---------------------------------------------------------------- what the header says */

static bool has_nul(struct span s)
{
	return span_find(s, '\0') < s.len;
}

static void keep(char *to, size_t max, const struct buf *text)
{
	struct span s = span_first(buf_span(text), max);

	memcpy(to, s.data, s.len);
	to[s.len] = '\0';
}

static void learn_message_id(struct fixup *f, struct span value)
{
	struct buf clean;
	size_t open = span_find(value, '<');
	struct span inner = span_from(value, open + 1);

	if (open < value.len && span_find(inner, '>') < inner.len)
		value = span_first(inner, span_find(inner, '>'));
	buf_init(&clean, FIXUP_MESSAGE_ID_MAX);
	text_clean(&clean, value, FIXUP_MESSAGE_ID_MAX);
	keep(f->message_id, FIXUP_MESSAGE_ID_MAX, &clean);
	buf_fini(&clean);
}

/* The value without blanks and comments around: "auto-replied" of "auto-replied (vacation)". */
static struct span first_word(struct span value)
{
	size_t from = 0, to;

	while (from < value.len && strchr(" \t\r\n", value.data[from]))
		from++;
	for (to = from; to < value.len && !strchr(" \t\r\n;(", value.data[to]);)
		to++;
	return span_of(value.data + from, to - from);
}

static void learn(struct fixup *f, struct span text)
{
	struct span fields = span_from(text, f->envelope);
	const struct header *h = &f->header;
	struct fixup_facts *facts = &f->facts;
	struct buf subject;

	facts->ready = true;
	facts->has_date = h->counts[HEADER_DATE] > 0;
	facts->has_message_id = h->counts[HEADER_MESSAGE_ID] > 0;
	facts->has_from = h->counts[HEADER_FROM] > 0;
	facts->has_bcc = h->counts[HEADER_BCC] > 0;
	facts->has_to = facts->has_bcc || h->counts[HEADER_TO] > 0 || h->counts[HEADER_CC] > 0;
	facts->is_resent = header_is_resent(h);
	facts->received = h->counts[HEADER_RECEIVED];
	facts->is_auto = h->counts[HEADER_AUTO_SUBMITTED] > 0 &&
			 !span_equals_fold(first_word(header_first(h, fields, HEADER_AUTO_SUBMITTED)), SPAN("no"));
	facts->has_nul = !facts->no_header && has_nul(facts->header_too_long ? text : span_first(fields, h->length));
	if (facts->has_message_id)
		learn_message_id(f, header_first(h, fields, HEADER_MESSAGE_ID));
	if (h->counts[HEADER_SUBJECT]) {
		buf_init(&subject, FIXUP_SUBJECT_MAX);
		header_text(&subject, header_first(h, fields, HEADER_SUBJECT), FIXUP_SUBJECT_MAX);
		keep(f->subject, FIXUP_SUBJECT_MAX, &subject);
		buf_fini(&subject);
	}
	if (!facts->has_message_id && !facts->is_resent && !facts->header_too_long && f->options.add_message_id) {
		struct buf id;

		buf_init(&id, FIXUP_MESSAGE_ID_MAX);
		buf_printf(&id, "%s@%s", f->options.id, id_domain(&f->options));
		keep(f->message_id, FIXUP_MESSAGE_ID_MAX, &id);
		buf_fini(&id);
	}
}

/* ---------------------------------------------------------------- bytes in and out */

static size_t put(struct span out[FIXUP_SPANS], size_t n, struct span s)
{
	if (s.len == 0)
		return n;
	assert(n < FIXUP_SPANS);
	out[n] = s;
	return n + 1;
}

/* The end of the header is known: `text` is the message so far, `more` what follows it. */
static size_t release(struct fixup *f, enum header_verdict verdict, struct span text, struct span more,
		      struct span out[FIXUP_SPANS])
{
	struct span gap = { "\r\n", 0 }, old;
	size_t n;

	f->facts.no_header = verdict == HEADER_NONE;
	if (f->facts.no_header) {
		f->envelope = 0;
		header_init(&f->header);
	}
	learn(f, text);
	apply(f, text);
	old = span_first(text, f->envelope + f->header.length);
	/* No empty line there: none at all, or the header is ended by a line that is no field. */
	if (f->facts.no_header ||
	    (!f->facts.header_too_long && f->header.body == f->header.length && old.len < text.len))
		gap.len = 2;
	f->facts.added_bytes = (int64_t)(f->added.len + gap.len);
	n = put(out, 0, buf_span(&f->added));
	if (f->facts.is_changed) {
		f->facts.added_bytes += (int64_t)f->changed.len - (int64_t)old.len;
		n = put(out, n, buf_span(&f->changed));
		text = span_from(text, old.len);
	} else if (gap.len) {
		n = put(out, n, old);
		text = span_from(text, old.len);
	}
	n = put(out, n, gap);
	n = put(out, n, text);
	return put(out, n, more);
}

/* The length of a first line "From joe Mon Jan 1 …" or ">From …", as far as one line can tell; 0: it is another.
 * ENVELOPE_UNKNOWN: more must be seen. */
static size_t envelope_length(struct span text, bool whole)
{
	const size_t later = whole ? 0 : ENVELOPE_UNKNOWN;
	static const struct span from = SPAN("From ");
	size_t i = 0, end;

	while (i < text.len && text.data[i] == '>')
		i++;
	for (size_t k = 0; k < from.len; k++, i++) {
		if (i == text.len)
			return later;
		if (text.data[i] != from.data[k])
			return 0;
	}
	while (i < text.len && (text.data[i] == ' ' || text.data[i] == '\t'))
		i++;
	end = span_find(text, '\n') + 1;
	if (end > ENVELOPE_MAX)
		return 0;
	if (end > text.len)
		return later;
	return text.data[i] == ':' || text.data[i] == '\r' || text.data[i] == '\n' ? 0 : end;
}

/* Looks for the end of the header in all of the message so far. */
static enum header_verdict look(struct fixup *f, struct span text, bool whole)
{
	enum header_verdict verdict;

	if (f->envelope == ENVELOPE_UNKNOWN)
		f->envelope = envelope_length(text, whole);
	if (f->envelope == ENVELOPE_UNKNOWN)
		return HEADER_MORE;
	text = span_from(text, f->envelope);
	verdict = whole ? header_finish(&f->header, text) : header_scan(&f->header, text);
	/* "From now on …" with a line behind it that is no field is the start of a body. */
	return f->envelope && verdict == HEADER_DONE && !f->header.any ? HEADER_NONE : verdict;
}

/* The header is longer than what is held: nothing can be said of the rest. */
static size_t give_up(struct fixup *f, struct span more, struct span out[FIXUP_SPANS])
{
	struct span text = buf_span(&f->held);
	struct header probe = f->header;

	/* A first line without an end is no header either, if it does not begin like a field. */
	if (!f->header.any && header_finish(&probe, span_from(text, f->envelope)) == HEADER_NONE)
		return release(f, HEADER_NONE, text, more, out);
	f->facts.header_too_long = true;
	return release(f, HEADER_DONE, text, more, out);
}

size_t fixup_feed(struct fixup *f, struct span in, struct span out[FIXUP_SPANS])
{
	enum header_verdict verdict;
	size_t taken;

	if (f->facts.ready) {
		buf_release(&f->held);
		buf_release(&f->changed);
		return put(out, 0, in);
	}
	/* Most messages show their whole header in the first piece: nothing is copied then. */
	if (buf_is_empty(&f->held)) {
		verdict = look(f, span_first(in, FIXUP_HEADER_MAX), false);
		if (verdict != HEADER_MORE)
			return release(f, verdict, in, span_of("", 0), out);
	}
	taken = in.len < FIXUP_HEADER_MAX - f->held.len ? in.len : FIXUP_HEADER_MAX - f->held.len;
	buf_append(&f->held, in.data, taken);
	verdict = look(f, buf_span(&f->held), false);
	in = span_from(in, taken);
	if (verdict != HEADER_MORE)
		return release(f, verdict, buf_span(&f->held), in, out);
	return f->held.len == FIXUP_HEADER_MAX ? give_up(f, in, out) : 0;
}

size_t fixup_end(struct fixup *f, struct span out[FIXUP_SPANS])
{
	enum header_verdict verdict;

	if (f->facts.ready)
		return 0;
	verdict = look(f, buf_span(&f->held), true);
	return release(f, verdict, buf_span(&f->held), span_of("", 0), out);
}
