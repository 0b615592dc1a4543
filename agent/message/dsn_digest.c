#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "message/dsn_inside.h"
#include "message/dsn_words.h"

enum { ADDRESS_MAX = 512, REPLY_MAX = 300, SUBJECT_MAX = 200, PER_REPORT = 8192, PER_RCPT = 8192 };

/* The actions are in order: what somebody must hear comes first. */
static enum dsn_action worst_of(const struct dsn_report *reports, size_t count)
{
	enum dsn_action worst = DSN_DELIVERED;

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < reports[i].rcpt_count; k++)
			if (reports[i].rcpts[k].action < worst)
				worst = reports[i].rcpts[k].action;
	return worst;
}

static bool write_rcpt(struct buf *out, const struct dsn_rcpt *rcpt)
{
	bool ok = buf_append_str(out, "    <") && text_clean(out, span_str(rcpt->address), ADDRESS_MAX) &&
		  buf_printf(out, "> %s", dsn_action_name(rcpt->action));

	if (rcpt->reply && *rcpt->reply)
		ok = ok && buf_append_str(out, ": ") && text_clean(out, span_str(rcpt->reply), REPLY_MAX);
	return ok && buf_append_str(out, "\r\n");
}

static bool write_item(struct buf *out, const struct dsn_report *r)
{
	char date[CLOCK_DATE_SIZE];
	bool ok =
		buf_printf(out, "\r\n%s  ", r->id ? r->id : "") &&
		text_clean(out, r->subject && *r->subject ? span_str(r->subject) : SPAN("(no subject)"), SUBJECT_MAX) &&
		buf_printf(out, "\r\n    taken on %s\r\n", clock_date(r->arrival_ms, date));

	for (size_t i = 0; ok && i < r->rcpt_count; i++)
		ok = write_rcpt(out, &r->rcpts[i]);
	return ok;
}

static bool write_words(struct buf *out, const struct dsn_report *head, const struct dsn_report *reports, size_t count)
{
	bool ok = buf_append_str(out, "This is the mail system at ") &&
		  text_clean(out, span_str(head->hostname), ADDRESS_MAX) && buf_append_str(out, "\r\n\r\n");

	if (worst_of(reports, count) == DSN_DELAYED)
		ok = ok &&
		     buf_printf(out,
				"%zu of your messages have not been delivered yet. You need not do anything: they\r\n"
				"are kept safe and tried again by themselves.\r\n",
				count);
	else
		ok = ok && buf_printf(out, "This is what became of %zu of your messages.\r\n", count);
	ok = ok && buf_append_str(out, "There are so many that they are told of together, without their text.\r\n");
	for (size_t i = 0; ok && i < count; i++)
		ok = write_item(out, &reports[i]);
	return ok;
}

bool dsn_digest(struct buf *out, const struct dsn_report *head, const struct dsn_report *reports, size_t count)
{
	struct dsn_rcpt worst = { .action = worst_of(reports, count) };
	struct dsn_report whole = { .rcpts = &worst, .rcpt_count = 1 };
	char what[64];
	struct buf text;
	bool ok;

	snprintf(what, sizeof what, "%zu message%s", count, count == 1 ? "" : "s");
	ok = dsn_write_origin(out, head, dsn_words_subject(&whole), what) &&
	     buf_printf(out,
			"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
			"Content-Type: multipart/mixed; boundary=\"=_%s\"\r\n",
			head->boundary) &&
	     (!head->utf8 || buf_append_str(out, "Content-Transfer-Encoding: 8bit\r\n")) &&
	     buf_append_str(out, "\r\nThis is a report in MIME format.\r\n");
	buf_init(&text, out->max);
	ok = ok && write_words(&text, head, reports, count) && dsn_write_words(out, head, buf_span(&text));
	buf_fini(&text);
	for (size_t i = 0; ok && i < count; i++) {
		struct dsn_report one = reports[i];

		one.hostname = head->hostname;
		one.boundary = head->boundary;
		one.utf8 = head->utf8;
		ok = dsn_write_status_part(out, &one);
	}
	return ok && dsn_tail(out, head);
}

size_t dsn_digest_max(size_t count, size_t rcpt_count)
{
	return 65536 + 4 * (count * (size_t)PER_REPORT + rcpt_count * (size_t)PER_RCPT);
}
