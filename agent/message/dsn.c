#include "message/dsn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "message/dsn_inside.h"
#include "message/dsn_words.h"
#include "message/header.h"
#include "message/mime.h"

enum { FIELD_MAX = 600, XTEXT_MAX = 900, MACHINE_TEXT_PER_RCPT = 8192 };

const char *dsn_action_name(enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
	case DSN_EXPIRED: return "failed";
	case DSN_DELAYED: return "delayed";
	case DSN_RELAYED: return "relayed";
	case DSN_EXPANDED: return "expanded";
	case DSN_DELIVERED: return "delivered";
	}
	return "failed";
}

static bool is_said(const char *text)
{
	return text && *text;
}

/* ---------------------------------------------------------------- enhanced status codes */

/* The length of "5.1.1" at the front of s (RFC 3463, 2), or 0. */
static size_t status_length(struct span s)
{
	size_t i = 0;

	if (s.len < 5 || !strchr("245", s.data[0]) || s.data[0] == '\0' || s.data[1] != '.')
		return 0;
	i = 2;
	for (int part = 0; part < 2; part++) {
		size_t from = i;

		while (i < s.len && i - from < 3 && s.data[i] >= '0' && s.data[i] <= '9')
			i++;
		if (i == from)
			return 0;
		if (part == 0 && (i >= s.len || s.data[i++] != '.'))
			return 0;
	}
	return i == s.len || strchr(" \t:-", s.data[i]) ? i : 0;
}

static char class_of(enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
	case DSN_EXPIRED: return '5';
	case DSN_DELAYED: return '4';
	case DSN_RELAYED:
	case DSN_EXPANDED:
	case DSN_DELIVERED: return '2';
	}
	return '5';
}

static bool is_digits(struct span s, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (i >= s.len || s.data[i] < '0' || s.data[i] > '9')
			return false;
	return true;
}

char *dsn_status(const struct dsn_rcpt *rcpt, char out[DSN_STATUS_SIZE])
{
	struct span given = span_str(rcpt->status), reply = span_str(rcpt->reply);
	char class = class_of(rcpt->action);
	size_t n = status_length(given);

	if (n == given.len && n > 0) {
		snprintf(out, DSN_STATUS_SIZE, "%.*s", SPAN_ARGS(given));
		return out;
	}
	if (is_digits(reply, 3))
		n = status_length(reply.len > 4 ? span_from(reply, 4) : span_of("", 0));
	else
		n = status_length(reply);
	if (rcpt->action == DSN_EXPIRED)
		snprintf(out, DSN_STATUS_SIZE, "4.4.7"); /* RFC 3463, 3.5: delivery time expired */
	else if (n > 0 && is_digits(reply, 3) && reply.data[4] == class)
		snprintf(out, DSN_STATUS_SIZE, "%.*s", (int)n, reply.data + 4);
	else if (n > 0 && reply.data[0] == class)
		snprintf(out, DSN_STATUS_SIZE, "%.*s", (int)n, reply.data);
	else if (rcpt->action == DSN_DELAYED && !is_digits(reply, 3))
		snprintf(out, DSN_STATUS_SIZE, "4.4.0"); /* 3.5: our own words, about the network or the way */
	else
		snprintf(out, DSN_STATUS_SIZE, "%c.0.0", class);
	return out;
}

/* ---------------------------------------------------------------- fields */

/* One line of ASCII: what is no printable ASCII becomes '?'. */
static bool append_ascii(struct buf *out, struct span s, size_t max)
{
	size_t from = out->len;
	char *text;

	if (!text_clean(out, s, max))
		return false;
	text = out->data ? out->data + out->start : NULL;
	for (size_t i = from; i < out->len; i++)
		if ((unsigned char)text[i] > 126)
			text[i] = '?';
	return true;
}

/* One line, of ASCII where the report must be. */
static bool append_line(struct buf *out, const struct dsn_report *r, struct span s, size_t max)
{
	return r->utf8 ? text_clean(out, s, max) : append_ascii(out, s, max);
}

static bool field(struct buf *out, const struct dsn_report *r, const char *label, const char *value)
{
	if (!is_said(value))
		return true;
	return buf_append_str(out, label) && append_line(out, r, span_str(value), FIELD_MAX) &&
	       buf_append_str(out, "\r\n");
}

static bool date_field(struct buf *out, const struct dsn_report *r, const char *label, int64_t ms)
{
	char date[CLOCK_DATE_SIZE];

	return ms == 0 || field(out, r, label, clock_date(ms, date));
}

/* "rfc822; a@b", or the form of RFC 6533 where it is not ASCII. */
static bool address_field(struct buf *out, const struct dsn_report *r, const char *label, struct span type,
			  struct span address)
{
	bool is_utf8 = !text_is_ascii(address) || span_equals_fold(type, SPAN("utf-8"));
	struct buf text;
	bool ok = buf_append_str(out, label);

	/* A path has 256 octets at most; what makes a longer line than 998 from that was never a mailbox. */
	buf_init(&text, XTEXT_MAX);
	if (is_utf8 && text_is_utf8(address) && text_utf8_xtext_encode(&text, address, r->utf8))
		ok = ok && buf_append_str(out, "utf-8; ") && buf_append_span(out, buf_span(&text));
	else
		ok = ok && append_ascii(out, type, 32) && buf_append_str(out, "; ") &&
		     append_ascii(out, address, FIELD_MAX);
	buf_fini(&text);
	return ok && buf_append_str(out, "\r\n");
}

static bool original_recipient(struct buf *out, const struct dsn_report *r, const char *orcpt)
{
	struct span s = span_str(orcpt ? orcpt : "");
	size_t n = span_find(s, ';');

	if (n == 0 || n == s.len)
		return true;
	return address_field(out, r, "Original-Recipient: ", span_first(s, n), span_trim(span_from(s, n + 1)));
}

/* ---------------------------------------------------------------- message/delivery-status */

static bool write_rcpt(struct buf *out, const struct dsn_report *r, const struct dsn_rcpt *rcpt)
{
	struct span host = span_str(rcpt->host ? rcpt->host : "");
	char status[DSN_STATUS_SIZE];
	bool ok = buf_append_str(out, "\r\n") && original_recipient(out, r, rcpt->orcpt) &&
		  address_field(out, r, "Final-Recipient: ", SPAN("rfc822"), span_str(rcpt->address)) &&
		  field(out, r, "Action: ", dsn_action_name(rcpt->action)) &&
		  field(out, r, "Status: ", dsn_status(rcpt, status));

	host = span_first(host, span_find(host, ' '));
	if (host.len)
		ok = ok && buf_append_str(out, "Remote-MTA: dns; ") && append_ascii(out, host, FIELD_MAX) &&
		     buf_append_str(out, "\r\n");
	/* "smtp" promises that the words are a server's. */
	ok = ok &&
	     field(out, r,
		   host.len && rcpt->action != DSN_EXPIRED ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-sendoff; ",
		   rcpt->reply);
	if (rcpt->action != DSN_EXPIRED)
		ok = ok && date_field(out, r, "Last-Attempt-Date: ", rcpt->last_ms);
	if (rcpt->action == DSN_DELAYED)
		ok = ok && date_field(out, r, "Will-Retry-Until: ", rcpt->retry_until_ms);
	return ok;
}

static bool write_status(struct buf *out, const struct dsn_report *r)
{
	bool ok = field(out, r, "Reporting-MTA: dns; ", r->hostname) &&
		  field(out, r, "Original-Envelope-Id: ", r->envid) && field(out, r, "X-Sendoff-Queue-Id: ", r->id) &&
		  date_field(out, r, "Arrival-Date: ", r->arrival_ms) &&
		  date_field(out, r, "Deliver-By-Date: ", r->deliver_by_ms);

	for (size_t i = 0; ok && i < r->rcpt_count; i++)
		ok = write_rcpt(out, r, &r->rcpts[i]);
	return ok;
}

/* ---------------------------------------------------------------- the report */

static bool is_msg_id(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > 126 || s.data[i] == '<' || s.data[i] == '>')
			return false;
	return s.len > 0 && s.len < 500 && span_find(s, '@') < s.len;
}

static bool write_to(struct buf *out, const struct dsn_report *r)
{
	struct span sender = span_str(r->sender);

	if (!r->utf8 && !text_is_ascii(sender))
		return buf_append_str(out, "To: sender-with-international-address:;\r\n");
	return buf_append_str(out, "To: <") && append_line(out, r, sender, FIELD_MAX) && buf_append_str(out, ">\r\n");
}

static bool write_subject(struct buf *out, const char *verdict, const char *what)
{
	struct buf subject;
	bool ok;

	buf_init(&subject, 1024);
	ok = buf_append_str(&subject, verdict) && text_clean(&subject, span_str(what), 200);
	ok = ok && buf_append_str(out, "Subject: ") && mime_words_encode(out, buf_span(&subject), false) &&
	     buf_append_str(out, "\r\n");
	buf_fini(&subject);
	return ok;
}

bool dsn_write_origin(struct buf *out, const struct dsn_report *r, const char *verdict, const char *what)
{
	char date[CLOCK_DATE_SIZE];

	return buf_append_str(out, "From: Mail Delivery System <") &&
	       append_line(out, r, span_str(r->from), FIELD_MAX) && buf_append_str(out, ">\r\n") && write_to(out, r) &&
	       write_subject(out, verdict, what) && buf_printf(out, "Date: %s\r\n", clock_date(r->now_ms, date)) &&
	       buf_append_str(out, "Message-ID: <") && append_ascii(out, span_str(r->report_id), FIELD_MAX) &&
	       buf_append_str(out, ">\r\n");
}

static bool write_header(struct buf *out, const struct dsn_report *r)
{
	struct span original = span_str(r->message_id ? r->message_id : "");
	bool ok = dsn_write_origin(out, r, dsn_words_subject(r), is_said(r->subject) ? r->subject : "your message");

	if (is_msg_id(original)) /* RFC 3834, 3.1.5 */
		ok = ok && buf_printf(out, "In-Reply-To: <%.*s>\r\nReferences: <%.*s>\r\n", SPAN_ARGS(original),
				      SPAN_ARGS(original));
	return ok && buf_append_str(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n") &&
	       buf_printf(out, "Content-Type: multipart/report; report-type=%s;\r\n\tboundary=\"=_%s\"\r\n",
			  r->utf8 ? "global-delivery-status" : "delivery-status", r->boundary) &&
	       (!dsn_is_8bit(r) || buf_append_str(out, "Content-Transfer-Encoding: 8bit\r\n")) &&
	       buf_append_str(out, "\r\nThis is a report in MIME format.\r\n");
}

bool dsn_write_part(struct buf *out, const struct dsn_report *r, const char *type, const char *encoding)
{
	bool ok = buf_printf(out, "\r\n--=_%s\r\nContent-Type: %s\r\n", r->boundary, type);

	if (encoding)
		ok = ok && buf_printf(out, "Content-Transfer-Encoding: %s\r\n", encoding);
	return ok && buf_append_str(out, "\r\n");
}

bool dsn_write_words(struct buf *out, const struct dsn_report *r, struct span text)
{
	if (text_is_ascii(text))
		return dsn_write_part(out, r, "text/plain; charset=us-ascii", NULL) && buf_append_span(out, text);
	return dsn_write_part(out, r, "text/plain; charset=utf-8", "quoted-printable") &&
	       mime_quoted_printable(out, text);
}

static bool write_words(struct buf *out, const struct dsn_report *r)
{
	struct buf text;
	bool ok;

	buf_init(&text, DSN_WORDS_FIXED + r->rcpt_count * DSN_WORDS_PER_RCPT);
	ok = dsn_words(&text, r) && dsn_write_words(out, r, buf_span(&text));
	buf_fini(&text);
	return ok;
}

bool dsn_write_status_part(struct buf *out, const struct dsn_report *r)
{
	return (r->utf8 ? dsn_write_part(out, r, "message/global-delivery-status", "8bit")
			: dsn_write_part(out, r, "message/delivery-status", NULL)) &&
	       write_status(out, r);
}

/* Whether text can travel as it is: no byte above `highest`, whole line ends, no line over 998 bytes (RFC 5322, 2.1.1). */
static bool is_plain(struct span s, unsigned char highest)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '\r' && i + 1 < s.len && s.data[i + 1] == '\n') {
			column = 0;
			i++;
		} else if ((c < ' ' && c != '\t') || c == 127 || c > highest || ++column > 998) {
			return false;
		}
	}
	return true;
}

static bool write_original(struct buf *out, const struct dsn_report *r)
{
	if (r->whole)
		return dsn_write_part(out, r, r->is_utf8 ? "message/global" : "message/rfc822",
				      r->is_8bit ? "8bit" : NULL);
	if (is_plain(r->header, 126))
		return dsn_write_part(out, r, "text/rfc822-headers", NULL) && buf_append_span(out, r->header);
	if (r->utf8 && is_plain(r->header, 255) && text_is_utf8(r->header))
		return dsn_write_part(out, r, "message/global-headers", "8bit") && buf_append_span(out, r->header);
	/* RFC 6533, 6: this type may be encoded, unlike other message types. */
	return dsn_write_part(out, r,
			      text_is_utf8(r->header) ? "message/global-headers"
						      : "text/rfc822-headers; charset=unknown-8bit",
			      "quoted-printable") &&
	       mime_quoted_printable(out, r->header);
}

bool dsn_head(struct buf *out, const struct dsn_report *r)
{
	assert(is_said(r->boundary) && strlen(r->boundary) <= 60);
	return write_header(out, r) && write_words(out, r) && dsn_write_status_part(out, r) && write_original(out, r);
}

bool dsn_tail(struct buf *out, const struct dsn_report *r)
{
	return buf_printf(out, "\r\n--=_%s--\r\n", r->boundary);
}

bool dsn_is_8bit(const struct dsn_report *r)
{
	return r->utf8 || (r->whole && r->is_8bit);
}

size_t dsn_head_max(size_t count)
{
	/* Quoted-printable makes at most three bytes and a soft line end of one. */
	return 4 * (size_t)DSN_HEADER_MAX + 4 * (size_t)DSN_WORDS_FIXED +
	       count * (4 * (size_t)DSN_WORDS_PER_RCPT + MACHINE_TEXT_PER_RCPT);
}

/* ---------------------------------------------------------------- the original */

struct span dsn_header(struct span start)
{
	struct span rest = start;
	struct header_field f;
	size_t len = 0;

	while (header_next(&rest, &f) && len + f.whole.len <= DSN_HEADER_MAX) {
		if (rest.len == 0 && (f.whole.len == 0 || f.whole.data[f.whole.len - 1] != '\n'))
			break; /* cut by the end of `start` */
		len += f.whole.len;
	}
	return span_first(start, len);
}

bool dsn_wants_whole(bool ret_full, uint64_t size_bytes, const struct dsn_rcpt *rcpts, size_t count)
{
	bool failed = false;

	for (size_t i = 0; i < count; i++)
		failed = failed || rcpts[i].action == DSN_FAILED || rcpts[i].action == DSN_EXPIRED;
	return failed && ret_full && size_bytes <= DSN_WHOLE_MAX;
}
