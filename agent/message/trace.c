#include "message/trace.h"

#include <string.h>

static bool is_said(const char *text)
{
	return text && *text;
}

/* Letters, digits, '.', '-' and ':', which are never forbidden: nearly all there is. */
static size_t plain_run(struct span s)
{
	size_t i = 0;

	while (i < s.len && ((span_lower(s.data[i]) >= 'a' && span_lower(s.data[i]) <= 'z') ||
			     (s.data[i] >= '-' && s.data[i] <= ':' && s.data[i] != '/')))
		i++;
	return i;
}

/* Text without control bytes and without those in `forbidden`. */
static bool add(struct buf *out, const char *text, const char *forbidden)
{
	struct span s = span_first(span_str(text), TRACE_TEXT_MAX);
	bool ok = true;

	while (ok && s.len) {
		size_t n = plain_run(s);
		unsigned char c = (unsigned char)s.data[0];

		if (n)
			ok = buf_append_span(out, span_first(s, n));
		else
			ok = buf_append_char(out, c < ' ' || c == 127 || strchr(forbidden, c) ? '?' : (char)c);
		s = span_from(s, n ? n : 1);
	}
	return ok;
}

/* One word of the field: what ends a word is no part of it. */
static bool add_word(struct buf *out, const char *before, const char *text)
{
	return buf_append_str(out, before) && add(out, text, " ();<>\"\\");
}

static bool add_comment(struct buf *out, const char *before, const char *text)
{
	return !is_said(text) || (buf_append_str(out, before) && add(out, text, "()\\") && buf_append_char(out, ')'));
}

/* A quoted local part may hold anything but line ends; `>` outside of quotes is no part of an address. */
static bool add_path(struct buf *out, const char *before, const char *text)
{
	return !is_said(text) || (buf_append_str(out, before) && add(out, text, strchr(text, '"') ? "" : " ();<>\\") &&
				  buf_append_char(out, '>'));
}

bool trace_write(struct buf *out, const struct trace *t)
{
	bool ok;

	if (is_said(t->helo) || is_said(t->peer))
		ok = add_word(out, "Received: from ", is_said(t->helo) ? t->helo : "unknown") &&
		     add_comment(out, " (", t->peer) && add_word(out, "\r\n\tby ", t->hostname);
	else
		ok = add_word(out, "Received: by ", t->hostname);
	ok = ok && buf_append_str(out, " (Sendoff)");
	if (is_said(t->protocol))
		ok = ok && add_word(out, " with ", t->protocol);
	ok = ok && add_word(out, " id ", t->id) && add_comment(out, "\r\n\t(", t->tls) &&
	     add_comment(out, "\r\n\t(", t->user) && add_path(out, "\r\n\tfor <", t->recipient);
	return ok && buf_append_str(out, ";\r\n\t") && add(out, t->date, "") && buf_append_str(out, "\r\n");
}
