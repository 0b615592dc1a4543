#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "message/dsn.h"
#include "message/dsn_words.h"
#include "message/header.h"

#define HEADER "From: me@example.org\r\nSubject: hello\r\n"

static const struct dsn_rcpt failed = {
	.address = "a@example.com",
	.orcpt = "rfc822;A@example.com",
	.action = DSN_FAILED,
	.reply = "550 5.1.1 no such user here",
	.host = "mx.example.com [192.0.2.1]",
	.last_ms = 3600000,
};

static struct dsn_report report_of(const struct dsn_rcpt *rcpts, size_t count)
{
	return (struct dsn_report){
		.hostname = "host.example",
		.from = "postmaster@host.example",
		.sender = "me@example.org",
		.report_id = "r1@host.example",
		.boundary = "b0undary",
		.id = "0abc",
		.message_id = "m1@example.org",
		.subject = "hello",
		.envid = "env 1",
		.arrival_ms = 1000,
		.now_ms = 7200000,
		.rcpts = rcpts,
		.rcpt_count = count,
		.header = SPAN(HEADER),
	};
}

static char *write_report(const struct dsn_report *r, const char *original)
{
	struct buf out;

	buf_init(&out, dsn_head_max(r->rcpt_count));
	assert_true(dsn_head(&out, r));
	if (r->whole)
		assert_true(buf_append_str(&out, original));
	assert_true(dsn_tail(&out, r));
	return buf_take(&out);
}

/* The body of the n-th part of a report, NUL-terminated; its header goes to *out_header. */
static char *part(const char *report, int n, char **out_header)
{
	const char *mark = "\r\n--=_b0undary", *at = report, *end, *body;
	char *copy;

	for (int i = 0; i <= n; i++) {
		at = strstr(at, mark);
		assert_non_null(at);
		at += strlen(mark);
		assert_int_equal(strncmp(at, "\r\n", 2), 0);
		at += 2;
	}
	end = strstr(at, mark);
	assert_non_null(end);
	body = strstr(at, "\r\n\r\n");
	assert_true(body && body < end);
	*out_header = strndup(at, (size_t)(body + 2 - at));
	copy = strndup(body + 4, end > body + 4 ? (size_t)(end - body - 4) : 0);
	return copy;
}

/* Every line of text outside the original stands as it should: whole line ends, ASCII, none too long. */
static void assert_clean(const char *text)
{
	size_t column = 0;

	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '\r') {
			assert_int_equal(p[1], '\n');
		} else if (c == '\n') {
			assert_true(p > text && p[-1] == '\r');
			column = 0;
		} else {
			assert_true((c >= ' ' && c < 127) || c == '\t');
			assert_true(++column <= 998);
		}
	}
}

static const char *field(const char *header, const char *name, char *value, size_t size)
{
	struct span rest = span_str(header);
	struct header_field f;
	int count = 0;

	*value = '\0';
	while (header_next(&rest, &f)) {
		if (span_equals_fold(f.label, span_str(name))) {
			snprintf(value, size, "%.*s", SPAN_ARGS(span_trim(f.value)));
			count++;
		}
	}
	assert_true(count <= 1);
	return value;
}

static void a_failure_report_has_its_three_parts(void **state)
{
	struct dsn_report r = report_of(&failed, 1);
	char *report = write_report(&r, NULL), *header, *body, value[1024];

	(void)state;
	assert_clean(report);
	assert_string_equal(field(report, "To", value, sizeof(value)), "<me@example.org>");
	assert_string_equal(field(report, "From", value, sizeof(value)),
			    "Mail Delivery System <postmaster@host.example>");
	assert_string_equal(field(report, "Subject", value, sizeof(value)), "Not delivered: hello");
	assert_string_equal(field(report, "Auto-Submitted", value, sizeof(value)), "auto-replied");
	assert_string_equal(field(report, "Message-ID", value, sizeof(value)), "<r1@host.example>");
	assert_string_equal(field(report, "In-Reply-To", value, sizeof(value)), "<m1@example.org>");
	assert_string_equal(field(report, "Date", value, sizeof(value)), "Thu, 1 Jan 1970 02:00:00 +0000");

	body = part(report, 0, &header);
	assert_string_equal(field(header, "Content-Type", value, sizeof(value)), "text/plain; charset=us-ascii");
	assert_non_null(strstr(body, "<a@example.com>\r\n"));
	assert_non_null(strstr(body, "mx.example.com [192.0.2.1] said:\r\n      550 5.1.1 no such user here\r\n"));
	assert_non_null(strstr(body, "Check the address for typing mistakes"));
	free(body);
	free(header);

	body = part(report, 1, &header);
	assert_string_equal(field(header, "Content-Type", value, sizeof(value)), "message/delivery-status");
	assert_string_equal(body, "Reporting-MTA: dns; host.example\r\nOriginal-Envelope-Id: env 1\r\n"
				  "X-Sendoff-Queue-Id: 0abc\r\nArrival-Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n\r\n"
				  "Original-Recipient: rfc822; A@example.com\r\n"
				  "Final-Recipient: rfc822; a@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
				  "Remote-MTA: dns; mx.example.com\r\n"
				  "Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n"
				  "Last-Attempt-Date: Thu, 1 Jan 1970 01:00:00 +0000\r\n");
	free(body);
	free(header);

	body = part(report, 2, &header);
	assert_string_equal(field(header, "Content-Type", value, sizeof(value)), "text/rfc822-headers");
	assert_string_equal(body, HEADER);
	free(body);
	free(header);
	assert_non_null(strstr(report, "\r\n--=_b0undary--\r\n"));
	free(report);
}

static void each_kind_of_news_has_its_words(void **state)
{
	static const struct {
		enum dsn_action action;
		const char *subject, *words, *machine;
	} kinds[] = {
		{ DSN_FAILED, "Subject: Not delivered: hello", "could not be delivered",
		  "Action: failed\r\nStatus: 5.0.0" },
		{ DSN_EXPIRED, "Subject: Not delivered: hello", "in the time allowed",
		  "Action: failed\r\nStatus: 4.4.7" },
		{ DSN_DELAYED, "Subject: Still waiting: hello", "has not been delivered",
		  "Action: delayed\r\nStatus: 4.2.2" },
		{ DSN_RELAYED, "Subject: Passed on: hello", "handed to the next", "Action: relayed\r\nStatus: 2.0.0" },
		{ DSN_EXPANDED, "Subject: Passed on: hello", "handed to the people",
		  "Action: expanded\r\nStatus: 2.0.0" },
		{ DSN_DELIVERED, "Subject: Delivered: hello", "was delivered to this",
		  "Action: delivered\r\nStatus: 2.0.0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct dsn_rcpt rcpt = { .address = "a@b.example",
					 .action = kinds[i].action,
					 .reply = "452 4.2.2 mailbox full",
					 .retry_until_ms = 86400000 };
		struct dsn_report r = report_of(&rcpt, 1);
		char *report = write_report(&r, NULL);

		assert_clean(report);
		assert_non_null(strstr(report, kinds[i].subject));
		assert_non_null(strstr(report, kinds[i].words));
		assert_non_null(strstr(report, kinds[i].machine));
		assert_int_equal(strstr(report, "Will-Retry-Until: Fri, 2 Jan 1970") != NULL,
				 kinds[i].action == DSN_DELAYED);
		assert_non_null(strstr(report, "Diagnostic-Code: x-sendoff; 452"));
		free(report);
	}
}

static void text_from_outside_cannot_start_a_line(void **state)
{
	const char *evil = "x\r\n--=_b0undary--\r\nBcc: y\n\rA: b\x01\x7f";
	struct dsn_rcpt rcpt = { .address = evil, .orcpt = evil, .action = DSN_FAILED, .reply = evil, .host = evil };
	struct dsn_report r = report_of(&rcpt, 1);
	char *report, *header;

	(void)state;
	r.sender = r.subject = r.envid = r.message_id = r.id = r.hostname = r.from = r.report_id = evil;
	report = write_report(&r, NULL);
	assert_clean(report);
	assert_null(strstr(report, "\r\nBcc"));
	assert_null(strstr(report, "\r\nA:"));
	free(part(report, 2, &header));
	free(header);
	assert_string_equal(strstr(report, "\r\n--=_b0undary--"), "\r\n--=_b0undary--\r\n");
	free(report);
}

static void utf8_takes_a_form_of_ascii(void **state)
{
	struct dsn_rcpt rcpt = { .address = "b\xc3\xbc+r@\xe4\xbe\x8b.example",
				 .orcpt = "utf-8;\xf0\x9f\x98\x80@x",
				 .action = DSN_FAILED,
				 .reply = "550 kein M\xc3\xbcller",
				 .host = "mx" };
	struct dsn_report r = report_of(&rcpt, 1);
	char *report, *header, *body;

	(void)state;
	r.sender = "\xc3\xbc@example.org";
	r.subject = "Gr\xc3\xbc\xc3\x9f"
		    "e";
	r.header = SPAN("Subject: Gr\xc3\xbc\xc3\x9f"
			"e\r\n");
	report = write_report(&r, NULL);
	assert_clean(report);
	assert_false(dsn_is_8bit(&r));
	assert_non_null(strstr(report, "Subject: =?UTF-8?B?"));
	assert_non_null(strstr(report, "Final-Recipient: utf-8; b\\x{FC}\\x{2B}r@\\x{4F8B}.example\r\n"));
	assert_non_null(strstr(report, "Original-Recipient: utf-8; \\x{1F600}@x\r\n"));
	assert_non_null(strstr(report, "Diagnostic-Code: smtp; 550 kein M??ller\r\n") ||
			strstr(report, "Diagnostic-Code: smtp; 550 kein M?ller\r\n"));
	body = part(report, 0, &header);
	assert_non_null(strstr(header, "quoted-printable"));
	assert_non_null(strstr(body, "kein M=C3=BCller"));
	free(body);
	free(header);
	body = part(report, 2, &header);
	assert_string_equal(header, "Content-Type: message/global-headers\r\n"
				    "Content-Transfer-Encoding: quoted-printable\r\n");
	assert_string_equal(body, "Subject: Gr=C3=BC=C3=9Fe\r\n");
	free(body);
	free(header);
	free(report);
}

static void with_smtputf8_a_report_is_utf8(void **state)
{
	struct dsn_rcpt rcpt = { .address = "b\xc3\xbc+r@\xe4\xbe\x8b.example",
				 .orcpt = "UTF-8;a+b=c\\d@x",
				 .action = DSN_FAILED,
				 .reply = "550 kein M\xc3\xbcller",
				 .host = "mx" };
	struct dsn_report r = report_of(&rcpt, 1);
	char *report, *header, *body, value[1024];

	(void)state;
	r.utf8 = true;
	r.sender = "\xc3\xbc@example.org";
	r.header = SPAN("Subject: Gr\xc3\xbc\xc3\x9f"
			"e\r\n");
	report = write_report(&r, NULL);
	assert_true(dsn_is_8bit(&r));
	assert_string_equal(field(report, "To", value, sizeof(value)), "<\xc3\xbc@example.org>");
	assert_string_equal(field(report, "Content-Transfer-Encoding", value, sizeof(value)), "8bit");
	assert_non_null(strstr(report, "report-type=global-delivery-status;"));
	body = part(report, 1, &header);
	assert_string_equal(header, "Content-Type: message/global-delivery-status\r\n"
				    "Content-Transfer-Encoding: 8bit\r\n");
	assert_non_null(strstr(body, "Final-Recipient: utf-8; b\xc3\xbc\\x{2B}r@\xe4\xbe\x8b.example\r\n"));
	assert_non_null(strstr(body, "Original-Recipient: utf-8; a\\x{2B}b\\x{3D}c\\x{5C}d@x\r\n"));
	assert_non_null(strstr(body, "Diagnostic-Code: smtp; 550 kein M\xc3\xbcller\r\n"));
	free(body);
	free(header);
	body = part(report, 2, &header);
	assert_string_equal(header, "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n");
	assert_string_equal(body, "Subject: Gr\xc3\xbc\xc3\x9f"
				  "e\r\n");
	free(body);
	free(header);
	free(report);
}

static void a_header_of_no_known_letters_says_so(void **state)
{
	struct dsn_report r = report_of(&failed, 1);
	char *report, *header, *body;

	(void)state;
	for (int utf8 = 0; utf8 < 2; utf8++) {
		r.utf8 = utf8;
		r.header = SPAN("Subject: \xfc\r\n");
		report = write_report(&r, NULL);
		body = part(report, 2, &header);
		assert_string_equal(header, "Content-Type: text/rfc822-headers; charset=unknown-8bit\r\n"
					    "Content-Transfer-Encoding: quoted-printable\r\n");
		assert_string_equal(body, "Subject: =FC\r\n");
		free(body);
		free(header);
		free(report);
	}
}

static void a_whole_original_with_smtputf8_is_a_global_message(void **state)
{
	struct dsn_report r = report_of(&failed, 1);
	char *report, *header;

	(void)state;
	r.whole = r.is_8bit = r.is_utf8 = true;
	report = write_report(&r, HEADER "\r\n\xc3\xbc\r\n");
	free(part(report, 2, &header));
	assert_string_equal(header, "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n");
	free(header);
	free(report);
}

static void the_time_that_was_wanted_is_told(void **state)
{
	struct dsn_rcpt rcpt = { .address = "a@b.example", .action = DSN_EXPIRED, .status = "5.4.7" };
	struct dsn_report r = report_of(&rcpt, 1);
	char *report;

	(void)state;
	r.deliver_by_ms = 3600000;
	report = write_report(&r, NULL);
	assert_clean(report);
	assert_non_null(strstr(report, "Arrival-Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n"
				       "Deliver-By-Date: Thu, 1 Jan 1970 01:00:00 +0000\r\n"));
	assert_non_null(strstr(report, "Action: failed\r\nStatus: 5.4.7\r\n"));
	assert_non_null(strstr(report, "  Wanted by:  Thu, 1 Jan 1970 01:00:00 +0000\r\n"));
	free(report);
}

static void what_was_given_up_is_said_in_our_words(void **state)
{
	struct dsn_rcpt rcpt = failed;
	struct dsn_report r = report_of(&rcpt, 1);
	char *report;

	(void)state;
	rcpt.action = DSN_EXPIRED;
	report = write_report(&r, NULL);
	assert_non_null(strstr(report, "Diagnostic-Code: x-sendoff; 550 5.1.1 no such user here\r\n"));
	assert_null(strstr(report, "Last-Attempt-Date"));
	free(report);
}

static void bytes_that_are_no_text_become_question_marks(void **state)
{
	struct dsn_rcpt rcpt = { .address = "\xff\xe4@x", .orcpt = "rfc822;\xf0@y", .action = DSN_FAILED };
	struct dsn_report r = report_of(&rcpt, 1);
	char *report = write_report(&r, NULL);

	(void)state;
	assert_clean(report);
	assert_non_null(strstr(report, "Final-Recipient: rfc822; ??@x\r\n"));
	assert_non_null(strstr(report, "Original-Recipient: rfc822; ?@y\r\n"));
	free(report);
}

static void a_whole_original_is_streamed_between_head_and_tail(void **state)
{
	struct dsn_report r = report_of(&failed, 1);
	char *report, *header, *body;

	(void)state;
	r.whole = r.is_8bit = true;
	report = write_report(&r, HEADER "\r\n\xfc no line end");
	body = part(report, 2, &header);
	assert_string_equal(header, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n");
	assert_string_equal(body, HEADER "\r\n\xfc no line end");
	assert_true(dsn_is_8bit(&r));
	assert_non_null(strstr(report, "\"=_b0undary\"\r\nContent-Transfer-Encoding: 8bit\r\n"));
	free(body);
	free(header);
	free(report);
}

static void many_long_recipients_fit_the_promised_size(void **state)
{
	enum { COUNT = 200 };
	static struct dsn_rcpt rcpts[COUNT];
	static char text[5000], lines[DSN_HEADER_MAX];
	struct dsn_report r;
	char *report;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	text[sizeof(text) - 2] = '\0';
	memset(lines, 0xff, sizeof(lines));
	for (int i = 0; i < COUNT; i++)
		rcpts[i] = (struct dsn_rcpt){ .address = text,
					      .orcpt = "utf-8;\xc3\xbc",
					      .action = DSN_EXPIRED,
					      .reply = text,
					      .host = text,
					      .last_ms = 1 };
	r = report_of(rcpts, COUNT);
	r.subject = r.envid = r.hostname = r.from = text;
	r.header = span_of(lines, sizeof(lines));
	report = write_report(&r, NULL);
	assert_clean(report);
	free(report);
}

static void a_full_buffer_is_told(void **state)
{
	struct dsn_report r = report_of(&failed, 1);
	char *report = write_report(&r, NULL);
	size_t len = strlen(report) - strlen("\r\n--=_b0undary--\r\n");

	(void)state;
	for (size_t max = 0; max < len; max += 7) {
		struct buf out;

		buf_init(&out, max);
		assert_false(dsn_head(&out, &r));
		buf_fini(&out);
	}
	free(report);
}

static void a_digest_lists_every_message_and_its_status(void **state)
{
	struct dsn_rcpt second = failed;
	struct dsn_report reports[2];
	char *digest, *header, *body;
	struct buf out;

	(void)state;
	second.address = "b@example.net";
	second.reply = "552 5.2.2 mailbox full\r\n--=_b0undary";
	reports[0] = report_of(&failed, 1);
	reports[1] = report_of(&second, 1);
	reports[1].id = "0def";
	reports[1].subject = "second\r\nBcc: x@example.org";
	buf_init(&out, dsn_digest_max(2, 2));
	assert_true(dsn_digest(&out, &reports[0], reports, 2));
	digest = buf_take(&out);
	assert_clean(digest);
	assert_non_null(strstr(digest, "\r\nSubject: Not delivered: 2 messages\r\n"));
	assert_non_null(strstr(digest, "\r\nAuto-Submitted: auto-generated\r\n"));
	assert_null(strstr(digest, "\r\nIn-Reply-To:"));
	body = part(digest, 0, &header);
	assert_non_null(strstr(body, "0abc  hello\r\n"));
	assert_non_null(strstr(body, "<a@example.com> failed: 550 5.1.1 no such user here\r\n"));
	assert_non_null(strstr(body, "0def  second"));
	free(header);
	free(body);
	body = part(digest, 2, &header);
	assert_non_null(strstr(header, "Content-Type: message/delivery-status\r\n"));
	assert_non_null(strstr(body, "X-Sendoff-Queue-Id: 0def\r\n"));
	assert_non_null(strstr(body, "Final-Recipient: rfc822; b@example.net\r\n"));
	assert_non_null(strstr(body, "Status: 5.2.2\r\n"));
	free(header);
	free(body);
	free(digest);
}

static void a_digest_of_delays_does_not_say_that_mail_is_lost(void **state)
{
	struct dsn_rcpt late = failed;
	struct dsn_report report = report_of(&late, 1);
	struct buf out;

	(void)state;
	late.action = DSN_DELAYED;
	buf_init(&out, dsn_digest_max(1, 1));
	assert_true(dsn_digest(&out, &report, &report, 1));
	assert_non_null(strstr(buf_cstr(&out), "\r\nSubject: Still waiting: 1 message\r\n"));
	assert_non_null(strstr(buf_cstr(&out), "not been delivered yet"));
	buf_fini(&out);
}

static void the_status_code_fits_reply_and_action(void **state)
{
	static const struct {
		const char *status, *reply, *expect;
		enum dsn_action action;
	} codes[] = {
		{ NULL, "550 5.1.1 x", "5.1.1", DSN_FAILED },
		{ "5.7.1", "550 5.1.1 x", "5.7.1", DSN_FAILED },
		{ "5.7", "550 5.1.1 x", "5.1.1", DSN_FAILED },
		{ "5.7.1 x", "", "5.0.0", DSN_FAILED },
		{ "", "550 no code", "5.0.0", DSN_FAILED },
		{ "", "550", "5.0.0", DSN_FAILED },
		{ "", "550 5.1.1", "5.1.1", DSN_FAILED },
		{ "", "550 5.1.", "5.0.0", DSN_FAILED },
		{ "", "550 5.1", "5.0.0", DSN_FAILED },
		{ "", "550 5.1.1111 x", "5.0.0", DSN_FAILED },
		{ "", "550 5.1.1x", "5.0.0", DSN_FAILED },
		{ "", "450 4.2.0 grey", "5.0.0", DSN_FAILED },
		{ "", "450 4.2.0 grey", "4.2.0", DSN_DELAYED },
		{ "", "535 5.7.8 password", "4.0.0", DSN_DELAYED },
		{ "", "4.4.1 timed out", "4.4.1", DSN_DELAYED },
		{ "", "450 4.2.0 grey", "4.4.7", DSN_EXPIRED },
		{ NULL, NULL, "2.0.0", DSN_DELIVERED },
		{ NULL, "250 2.1.5 ok", "2.1.5", DSN_RELAYED },
		{ "", "mx.example: Connection refused", "4.4.0", DSN_DELAYED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct dsn_rcpt rcpt = { .status = codes[i].status,
					 .reply = codes[i].reply,
					 .action = codes[i].action };
		char out[DSN_STATUS_SIZE];

		if (strcmp(dsn_status(&rcpt, out), codes[i].expect) != 0)
			fail_msg("row %zu: %s", i, out);
	}
}

static void advice_goes_by_the_longest_prefix(void **state)
{
	(void)state;
	assert_string_not_equal(dsn_words_advice("5.1.1"), dsn_words_advice("5.1.10"));
	assert_string_equal(dsn_words_advice("5.1.99"), dsn_words_advice("5.1.0"));
	assert_string_equal(dsn_words_advice("5.1.11"), dsn_words_advice("5.1.0"));
	assert_string_equal(dsn_words_advice("5.0.0"), "");
	assert_string_equal(dsn_words_advice("2.1.5"), "");
}

static void the_header_of_an_original_is_cut_between_fields(void **state)
{
	static char big[DSN_HEADER_MAX + 100];
	struct span all = SPAN("A: b\r\n c\r\nD: e\r\n\r\nbody: x\r\n");

	(void)state;
	assert_int_equal(dsn_header(all).len, 16);
	assert_int_equal(dsn_header(span_first(all, 15)).len, 10);
	assert_int_equal(dsn_header(SPAN("no header\r\n")).len, 0);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = "A: b\r\n"[i % 6];
	assert_int_equal(dsn_header(span_of(big, sizeof(big))).len, DSN_HEADER_MAX / 6 * 6);
}

static void only_a_failure_brings_the_whole_message_back(void **state)
{
	struct dsn_rcpt delayed = { .action = DSN_DELAYED };

	(void)state;
	assert_true(dsn_wants_whole(true, 1000, &failed, 1));
	assert_false(dsn_wants_whole(false, 1000, &failed, 1));
	assert_false(dsn_wants_whole(true, DSN_WHOLE_MAX + 1, &failed, 1));
	assert_false(dsn_wants_whole(true, 1000, &delayed, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_report_has_its_three_parts),
		cmocka_unit_test(each_kind_of_news_has_its_words),
		cmocka_unit_test(text_from_outside_cannot_start_a_line),
		cmocka_unit_test(utf8_takes_a_form_of_ascii),
		cmocka_unit_test(with_smtputf8_a_report_is_utf8),
		cmocka_unit_test(a_header_of_no_known_letters_says_so),
		cmocka_unit_test(a_whole_original_with_smtputf8_is_a_global_message),
		cmocka_unit_test(the_time_that_was_wanted_is_told),
		cmocka_unit_test(what_was_given_up_is_said_in_our_words),
		cmocka_unit_test(bytes_that_are_no_text_become_question_marks),
		cmocka_unit_test(a_whole_original_is_streamed_between_head_and_tail),
		cmocka_unit_test(many_long_recipients_fit_the_promised_size),
		cmocka_unit_test(a_full_buffer_is_told),
		cmocka_unit_test(a_digest_lists_every_message_and_its_status),
		cmocka_unit_test(a_digest_of_delays_does_not_say_that_mail_is_lost),
		cmocka_unit_test(the_status_code_fits_reply_and_action),
		cmocka_unit_test(advice_goes_by_the_longest_prefix),
		cmocka_unit_test(the_header_of_an_original_is_cut_between_fields),
		cmocka_unit_test(only_a_failure_brings_the_whole_message_back),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
