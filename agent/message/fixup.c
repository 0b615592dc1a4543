#include "message/fixup.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

enum { ADDED_MAX = 16 * 1024, CLAUSE_MAX = 300 };

void fixup_init(struct fixup *f, const struct fixup_options *options)
{
	memset(f, 0, sizeof(*f));
	assert(options->hostname && options->id);
	f->options = *options;
	header_init(&f->header);
	buf_init(&f->held, FIXUP_HEADER_MAX);
	buf_init(&f->added, ADDED_MAX);
	f->facts.message_id = f->message_id;
	f->facts.subject = f->subject;
}

void fixup_fini(struct fixup *f)
{
	buf_fini(&f->held);
	buf_fini(&f->added);
}

/* ---------------------------------------------------------------- our fields */

/* Text between two literals, bounded and without control bytes, so that no line of ours can be ended from outside. */
static void add(struct fixup *f, const char *before, const char *text, const char *after)
{
	struct span s = span_first(span_str(text), CLAUSE_MAX);
	bool ok = buf_append_str(&f->added, before);
	char *room = ok ? buf_reserve(&f->added, s.len) : NULL;

	for (size_t i = 0; room && i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		room[i] = c < ' ' || c == 127 ? '?' : (char)c;
	}
	assert(room); /* ADDED_MAX is larger than all clauses at their longest */
	buf_commit(&f->added, s.len);
	ok = buf_append_str(&f->added, after);
	assert(ok);
}

static bool is_said(const char *text)
{
	return text && *text;
}

/* RFC 5321, 4.4. */
static void add_trace(struct fixup *f, const char *date)
{
	const struct fixup_options *o = &f->options;

	if (is_said(o->helo) || is_said(o->peer)) {
		add(f, "Received: from ", is_said(o->helo) ? o->helo : "unknown", "");
		if (is_said(o->peer))
			add(f, " (", o->peer, ")");
		add(f, "\r\n\tby ", o->hostname, " (Sendoff)");
	} else {
		add(f, "Received: by ", o->hostname, " (Sendoff)");
	}
	if (is_said(o->protocol))
		add(f, " with ", o->protocol, "");
	add(f, " id ", o->id, "");
	if (is_said(o->tls))
		add(f, "\r\n\t(", o->tls, ")");
	if (is_said(o->recipient))
		add(f, "\r\n\tfor <", o->recipient, ">");
	add(f, ";\r\n\t", date, "\r\n");
}

static void add_fields(struct fixup *f)
{
	const struct fixup_options *o = &f->options;
	const struct fixup_facts *facts = &f->facts;
	char date[CLOCK_DATE_SIZE];

	clock_date(o->wall_ms, date);
	if (!o->no_trace)
		add_trace(f, date);
	if (facts->header_too_long)
		return;
	if (o->add_date && !facts->has_date)
		add(f, "Date: ", date, "\r\n");
	if (is_said(o->from) && !facts->has_from)
		add(f, "From: ", o->from, "\r\n");
	if (o->add_message_id && !facts->has_message_id) {
		add(f, "Message-ID: <", o->id, "@");
		add(f, "", o->hostname, ">\r\n");
	}
}

/* ---------------------------------------------------------------- what the header says */

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
	const struct header *h = &f->header;
	struct fixup_facts *facts = &f->facts;
	struct buf subject;

	facts->ready = true;
	facts->has_date = h->counts[HEADER_DATE] > 0;
	facts->has_message_id = h->counts[HEADER_MESSAGE_ID] > 0;
	facts->has_from = h->counts[HEADER_FROM] > 0;
	facts->has_bcc = h->counts[HEADER_BCC] > 0;
	facts->has_to = facts->has_bcc || h->counts[HEADER_TO] > 0 || h->counts[HEADER_CC] > 0;
	facts->received = h->counts[HEADER_RECEIVED];
	facts->is_auto = h->counts[HEADER_AUTO_SUBMITTED] > 0 &&
			 !span_equals_fold(first_word(header_first(h, text, HEADER_AUTO_SUBMITTED)), SPAN("no"));
	if (facts->has_message_id)
		learn_message_id(f, header_first(h, text, HEADER_MESSAGE_ID));
	if (h->counts[HEADER_SUBJECT]) {
		buf_init(&subject, FIXUP_SUBJECT_MAX);
		header_text(&subject, header_first(h, text, HEADER_SUBJECT), FIXUP_SUBJECT_MAX);
		keep(f->subject, FIXUP_SUBJECT_MAX, &subject);
		buf_fini(&subject);
	}
	add_fields(f);
	if (!facts->has_message_id && !facts->header_too_long && f->options.add_message_id) {
		struct buf id;

		buf_init(&id, FIXUP_MESSAGE_ID_MAX);
		buf_printf(&id, "%s@%s", f->options.id, f->options.hostname);
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
	struct span gap = { "\r\n", 0 };
	size_t n, length = f->header.length;

	f->facts.no_header = verdict == HEADER_NONE;
	learn(f, text);
	if (verdict == HEADER_NONE) {
		length = 0;
		gap.len = 2;
	} else if (!f->facts.header_too_long && f->header.body == length && length < text.len) {
		gap.len = 2; /* no empty line there: the header is ended by a line that is no field */
	}
	f->facts.added_bytes = f->added.len + gap.len;
	n = put(out, 0, buf_span(&f->added));
	if (gap.len) {
		n = put(out, n, span_first(text, length));
		n = put(out, n, gap);
		text = span_from(text, length);
	}
	n = put(out, n, text);
	return put(out, n, more);
}

/* The header is longer than what is held: nothing can be said of the rest. */
static size_t give_up(struct fixup *f, struct span more, struct span out[FIXUP_SPANS])
{
	struct span text = buf_span(&f->held);
	struct header probe = f->header;

	/* A first line without an end is no header either, if it does not begin like a field. */
	if (!f->header.any && header_finish(&probe, text) == HEADER_NONE)
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
		return put(out, 0, in);
	}
	/* Most messages show their whole header in the first piece: nothing is copied then. */
	if (buf_is_empty(&f->held)) {
		verdict = header_scan(&f->header, span_first(in, FIXUP_HEADER_MAX));
		if (verdict != HEADER_MORE)
			return release(f, verdict, in, span_of("", 0), out);
	}
	taken = in.len < FIXUP_HEADER_MAX - f->held.len ? in.len : FIXUP_HEADER_MAX - f->held.len;
	buf_append(&f->held, in.data, taken);
	verdict = header_scan(&f->header, buf_span(&f->held));
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
	verdict = header_finish(&f->header, buf_span(&f->held));
	return release(f, verdict, buf_span(&f->held), span_of("", 0), out);
}
