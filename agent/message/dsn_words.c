#include "message/dsn_words.h"

#include <string.h>

#include "base/clock.h"
#include "base/text.h"

enum { COLUMNS = 74, ADDRESS_MAX = 512, HOST_MAX = 300, REPLY_MAX = 600, SUBJECT_MAX = 200 };

/* The longest prefix wins (RFC 3463, 3). */
static const struct {
	const char *prefix, *text;
} advice[] = {
	{ "5.1.1", "Check the address for typing mistakes; nobody of that name is known there." },
	{ "5.1.2", "Check what stands behind the @; there is no such mail domain." },
	{ "5.1.3", "Check the address; it is not written correctly." },
	{ "5.1.6", "The recipient has moved; ask for the new address." },
	{ "5.1.7", "Your own sender address is not written correctly; correct it in your mail program." },
	{ "5.1.8", "Your own sender address is not accepted; correct it in your mail program." },
	{ "5.1.10", "The recipient's domain takes no mail at all; ask for another address." },
	{ "5.1", "Check the address for typing mistakes, or ask the recipient for the right one." },
	{ "5.2.1", "The recipient's mailbox is closed; reach the recipient another way." },
	{ "5.2.2",
	  "The recipient's mailbox is full; tell the recipient another way, and send the message again later." },
	{ "5.2.3", "Send it in smaller pieces, or share a large attachment by a link." },
	{ "5.3.4", "Send it in smaller pieces, or share a large attachment by a link." },
	{ "5.4.4", "Check what stands behind the @; no mail server could be found for it." },
	{ "5.4.6", "The mail went round in a circle; tell your administrator." },
	{ "5.4.7", "Check the address, and send the message again if it still matters; the report says what was "
		   "in the way." },
	{ "5.6", "Something in the message itself was not accepted; send it in a plainer form." },
	{ "5.7.1", "The other side does not take this mail from you; ask the recipient, or your administrator." },
	{ "5.7", "The other side's rules refuse this mail; show this report to your administrator." },
	{ "4.4.7", "Check the address, and send the message again if it still matters; the report says what was "
		   "in the way." },
};

const char *dsn_words_advice(const char *status)
{
	const char *best = "";
	size_t best_len = 0;

	for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
		size_t n = strlen(advice[i].prefix);

		/* "5.1.1" is not a prefix of "5.1.10". */
		if (n > best_len && strncmp(status, advice[i].prefix, n) == 0 &&
		    (status[n] == '\0' || status[n] == '.')) {
			best = advice[i].text;
			best_len = n;
		}
	}
	return best;
}

static const struct {
	const char *subject, *one, *many;
} words[] = {
	[DSN_FAILED] = { "Not delivered: ",
			 "Your message could not be delivered to this recipient. It will not be tried again.",
			 "Your message could not be delivered to these recipients. It will not be tried again." },
	[DSN_EXPIRED] = { "Not delivered: ",
			  "Your message could not be delivered to this recipient in the time allowed, so it was given up.",
			  "Your message could not be delivered to these recipients in the time allowed, so it was given up." },
	[DSN_DELAYED] = { "Still waiting: ",
			  "Your message has not been delivered to this recipient yet. You need not do anything: it is "
			  "kept safe and tried again by itself.",
			  "Your message has not been delivered to these recipients yet. You need not do anything: it is "
			  "kept safe and tried again by itself." },
	[DSN_RELAYED] = { "Passed on: ",
			  "Your message was handed to the next mail server for this recipient. That server does not "
			  "send confirmations, so no further news will come.",
			  "Your message was handed to the next mail server for these recipients. That server does not "
			  "send confirmations, so no further news will come." },
	[DSN_EXPANDED] = { "Passed on: ", "Your message was handed to the people that this address stands for.",
			   "Your message was handed to the people that these addresses stand for." },
	[DSN_DELIVERED] = { "Delivered: ", "Your message was delivered to this recipient.",
			    "Your message was delivered to these recipients." },
};

enum { ACTIONS = sizeof(words) / sizeof(words[0]) };

const char *dsn_words_subject(const struct dsn_report *r)
{
	enum dsn_action worst = DSN_DELIVERED;

	for (size_t i = 0; i < r->rcpt_count; i++)
		if (r->rcpts[i].action < worst)
			worst = r->rcpts[i].action;
	return words[worst].subject;
}

/* ---------------------------------------------------------------- paragraphs */

/* Text broken at blanks; a word longer than a line stands alone. Everything is cleaned first. */
static bool fill(struct buf *out, const char *indent, struct span text, size_t max)
{
	struct buf clean;
	struct span s;
	size_t column = 0;
	bool ok;

	buf_init(&clean, max + 1);
	ok = text_clean(&clean, text, max);
	s = buf_span(&clean);
	while (ok && s.len) {
		size_t n = span_find(s, ' ');
		bool fits = column > 0 && column + 1 + n <= COLUMNS;

		if (!fits) {
			ok = (column == 0 || buf_append_str(out, "\r\n")) && buf_append_str(out, indent);
			column = strlen(indent) + n;
		} else {
			ok = buf_append_char(out, ' ');
			column += 1 + n;
		}
		ok = ok && buf_append_span(out, span_first(s, n));
		s = span_from(s, n + 1);
	}
	buf_fini(&clean);
	return ok && (column == 0 || buf_append_str(out, "\r\n"));
}

static bool fill_str(struct buf *out, const char *indent, const char *text)
{
	return fill(out, indent, span_str(text), 1024);
}

static bool labelled(struct buf *out, const char *label, const char *text, size_t max)
{
	if (!text || !*text)
		return true;
	return buf_append_str(out, label) && text_clean(out, span_str(text), max) && buf_append_str(out, "\r\n");
}

static bool write_rcpt(struct buf *out, const struct dsn_rcpt *rcpt)
{
	char status[DSN_STATUS_SIZE], date[CLOCK_DATE_SIZE];
	const char *reply = rcpt->reply ? rcpt->reply : "", *host = rcpt->host ? rcpt->host : "";
	const char *help;
	bool ok = buf_append_str(out, "\r\n  <") && text_clean(out, span_str(rcpt->address), ADDRESS_MAX) &&
		  buf_append_str(out, ">\r\n");

	dsn_status(rcpt, status);
	help = dsn_words_advice(status);
	/* That it was given up is our own word, though a server's may be quoted in it. */
	if (*reply && *host && rcpt->action != DSN_EXPIRED) {
		ok = ok && buf_append_str(out, "    ") && text_clean(out, span_str(host), HOST_MAX) &&
		     buf_append_str(out, " said:\r\n");
		ok = ok && fill(out, "      ", span_str(reply), REPLY_MAX);
	} else if (*reply) {
		ok = ok && buf_append_str(out, "    The reason:\r\n") &&
		     fill(out, "      ", span_str(reply), REPLY_MAX);
		if (*host)
			ok = ok && buf_append_str(out, "    The last words are those of ") &&
			     text_clean(out, span_str(host), HOST_MAX) && buf_append_str(out, "\r\n");
	}
	if (rcpt->action == DSN_DELAYED && rcpt->retry_until_ms)
		ok = ok &&
		     buf_printf(out, "    It will be tried until %s.\r\n", clock_date(rcpt->retry_until_ms, date));
	/* For what was given up it is the time of that: perhaps it was never tried. */
	if (rcpt->last_ms && rcpt->action == DSN_DELAYED)
		ok = ok && buf_printf(out, "    Last tried on %s.\r\n", clock_date(rcpt->last_ms, date));
	if (*help && (rcpt->action == DSN_FAILED || rcpt->action == DSN_EXPIRED))
		ok = ok && buf_append_str(out, "    What you can do:\r\n") && fill_str(out, "      ", help);
	return ok;
}

static bool write_group(struct buf *out, const struct dsn_report *r, enum dsn_action action)
{
	size_t count = 0;
	bool ok;

	for (size_t i = 0; i < r->rcpt_count; i++)
		count += r->rcpts[i].action == action;
	if (count == 0)
		return true;
	ok = buf_append_str(out, "\r\n") && fill_str(out, "", count == 1 ? words[action].one : words[action].many);
	for (size_t i = 0; ok && i < r->rcpt_count; i++)
		if (r->rcpts[i].action == action)
			ok = write_rcpt(out, &r->rcpts[i]);
	return ok;
}

bool dsn_words(struct buf *out, const struct dsn_report *r)
{
	char date[CLOCK_DATE_SIZE];
	bool ok = labelled(out, "This is the mail system at ", r->hostname, HOST_MAX);

	for (int action = 0; ok && action < ACTIONS; action++)
		ok = write_group(out, r, (enum dsn_action)action);
	ok = ok && buf_append_str(out, "\r\nYour message was:\r\n\r\n");
	ok = ok && labelled(out, "  Subject:    ", r->subject, SUBJECT_MAX);
	ok = ok && labelled(out, "  Taken on:   ", clock_date(r->arrival_ms, date), sizeof(date));
	if (r->deliver_by_ms)
		ok = ok && labelled(out, "  Wanted by:  ", clock_date(r->deliver_by_ms, date), sizeof(date));
	ok = ok && labelled(out, "  Message-ID: ", r->message_id, ADDRESS_MAX);
	return ok && labelled(out, "  Queue id:   ", r->id, HOST_MAX);
}
