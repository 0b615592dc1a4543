#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "message/fixup.h"

#define NEW_DATE "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
#define NEW_ID   "Message-ID: <0abc@host.example>\r\n"
#define BODY     "\r\nFrom: body\r\nTo: root\r\n"
#define GIVEN    "Date: d\r\nMessage-ID: <m>\r\n"

enum { QUALIFY = 1, IDENTITY = 2, NAME = 4, TO = 8, KEEP_REPLY = 16, KEEP_X = 32, FROM = 64 };

static const struct row {
	const char *title, *in, *out; /* NULL: nothing changes */
	unsigned with;
} rows[] = {
	{ "no rule", GIVEN "From: root\r\nTo: joe\r\n" BODY, NULL, 0 },
	{ "all fields of addresses", "FROM : a\r\nSender:b\r\nReply-to: c\r\nTo: d\r\nCc: e\r\nBcc: f\r\n" GIVEN BODY,
	  "FROM : a@host.example\r\nSender:b@host.example\r\nReply-to: c@host.example\r\nTo: d@host.example\r\n"
	  "Cc: e@host.example\r\nBcc: f@host.example\r\n" GIVEN BODY,
	  QUALIFY },
	{ "other fields", GIVEN "From: a@x\r\nSubject: root\r\nErrors-To: root\r\nReturn-Path: <root>\r\n" BODY, NULL,
	  QUALIFY },
	{ "several fields of one name", GIVEN "From: a\r\nTo: b\r\nX: to\r\nTo: c@x\r\n d\r\nTo: d\r\n" BODY,
	  GIVEN "From: a@host.example\r\nTo: b@host.example\r\nX: to\r\nTo: c@x\r\n d\r\nTo: d@host.example\r\n" BODY,
	  QUALIFY },
	{ "no body", GIVEN "From: a\r\n", GIVEN "From: a@host.example\r\n", QUALIFY },
	{ "no line end", GIVEN "From: a", GIVEN "From: a@host.example", QUALIFY },
	{ "a line that is no field", GIVEN "From: a\r\noops\r\nTo: b\r\n",
	  GIVEN "From: a@host.example\r\n\r\noops\r\nTo: b\r\n", QUALIFY },
	{ "bare line ends", "Date: d\nMessage-ID: <m>\nFrom: a\nTo: b,\n c\n\nTo: d\n",
	  "Date: d\nMessage-ID: <m>\nFrom: a@host.example\nTo: b@host.example,\n c@host.example\n\nTo: d\n", QUALIFY },
	{ "a mailbox line", "From joe Mon Jan  1\r\n" GIVEN "From: a\r\n" BODY,
	  "X-Mailbox-Line: From joe Mon Jan  1\r\n" GIVEN "From: a@host.example\r\n" BODY, QUALIFY },

	{ "identity", GIVEN "From: Root <root@host>\r\nTo: x@y\r\n" BODY,
	  GIVEN "From: Root <me@example.com>\r\nTo: x@y\r\n" BODY, IDENTITY },
	{ "identity with a name", GIVEN "From: Root <root@host>\r\n" BODY,
	  GIVEN "From: Alerts <me@example.com>\r\n" BODY, IDENTITY | NAME },
	{ "identity where From is missing", GIVEN "To: x@y\r\n" BODY,
	  "From: Alerts <me@example.com>\r\n" GIVEN "To: x@y\r\n" BODY, IDENTITY | NAME },
	{ "identity before the sender's From", GIVEN "To: x@y\r\n" BODY,
	  "From: me@example.com\r\n" GIVEN "To: x@y\r\n" BODY, IDENTITY | FROM },
	{ "identity leaves Sender", GIVEN "From: a@x\r\nSender: b@x\r\n" BODY,
	  GIVEN "From: me@example.com\r\nSender: b@x\r\n" BODY, IDENTITY },
	{ "the original in Reply-To", GIVEN "From:  A\r\n <a@x> (y)\r\nTo: x@y\r\n" BODY,
	  GIVEN "From: A <me@example.com>\r\nReply-To:  A\r\n <a@x> (y)\r\nTo: x@y\r\n" BODY, IDENTITY | KEEP_REPLY },
	{ "the original in Reply-To, qualified", GIVEN "From: root\r\n" BODY,
	  GIVEN "From: me@example.com\r\nReply-To: root@host.example\r\n" BODY, IDENTITY | KEEP_REPLY | QUALIFY },
	{ "never a second Reply-To", GIVEN "Reply-To: r@x\r\nFrom: a@x\r\n" BODY,
	  GIVEN "Reply-To: r@x\r\nFrom: me@example.com\r\n" BODY, IDENTITY | KEEP_REPLY },
	{ "nor a second one in front", GIVEN "From: a@x\r\nReply-To: r@x\r\n" BODY,
	  GIVEN "From: me@example.com\r\nReply-To: r@x\r\n" BODY, IDENTITY | KEEP_REPLY },
	{ "the original in X-Original-From", GIVEN "from: root (Cron)\r\nReply-To: r@x\r\n" BODY,
	  GIVEN "from: Cron <me@example.com>\r\nX-Original-From: root (Cron)\r\nReply-To: r@x\r\n" BODY,
	  IDENTITY | KEEP_X | QUALIFY },
	{ "what is no list is no Reply-To", GIVEN "From: John Doe\r\n" BODY,
	  GIVEN "From: me@example.com\r\nX-Original-From: John Doe\r\n" BODY, IDENTITY | KEEP_REPLY },
	{ "the original of the same address", GIVEN "From: Me <me@example.com>\r\n" BODY, NULL, IDENTITY | KEEP_REPLY },
	{ "the original of the same address, renamed", GIVEN "From: Me <me@example.com>\r\n" BODY,
	  GIVEN "From: Alerts <me@example.com>\r\n" BODY, IDENTITY | KEEP_X | NAME },
	{ "an empty From", GIVEN "From:\r\n" BODY, GIVEN "From: me@example.com\r\n" BODY, IDENTITY | KEEP_X },
	{ "the original without a line end", GIVEN "From: a@x", GIVEN "From: me@example.com\r\nReply-To: a@x",
	  IDENTITY | KEEP_REPLY },
	{ "two From fields", GIVEN "From: a@x\r\nFrom: b@x\r\nTo: x@y\r\n" BODY,
	  GIVEN "From: me@example.com\r\nX-Original-From: a@x\r\nX-Original-From: b@x\r\nTo: x@y\r\n" BODY,
	  IDENTITY | KEEP_X },
	{ "two From fields, dropped", GIVEN "From: a@x\r\nFrom: b@x\r\n c\r\nTo: x@y\r\n" BODY,
	  GIVEN "From: me@example.com\r\nTo: x@y\r\n" BODY, IDENTITY },
	{ "two From fields, one Reply-To", GIVEN "From: a@x\r\nFrom: b@x\r\n" BODY,
	  GIVEN "From: me@example.com\r\nReply-To: a@x\r\nX-Original-From: b@x\r\n" BODY, IDENTITY | KEEP_REPLY },
	{ "two From fields without an identity", GIVEN "From: a\r\nFrom: b\r\n" BODY,
	  GIVEN "From: a@host.example\r\nFrom: b@host.example\r\n" BODY, QUALIFY },

	{ "to", GIVEN "From: root\r\nTo: root\r\nCc: Ann <ann>\r\nBcc: joe\r\nReply-To: joe\r\n" BODY,
	  GIVEN
	  "From: root\r\nTo: catch@example.org\r\nCc: Ann <catch@example.org>\r\nBcc: joe\r\nReply-To: joe\r\n" BODY,
	  TO },

	{ "resent: only these fields",
	  "Resent-From: a\r\nResent-To: b\r\nResent-Cc: c\r\nResent-Bcc: d\r\nResent-Sender: e\r\nResent-Date: d\r\n"
	  "Resent-Message-ID: <r>\r\nFrom: f\r\nTo: t\r\nCc: c\r\nReply-To: r\r\nSender: s\r\nBcc: b\r\n" BODY,
	  "Resent-From: a@host.example\r\nResent-To: catch@example.org\r\nResent-Cc: catch@example.org\r\n"
	  "Resent-Bcc: d@host.example\r\nResent-Sender: e@host.example\r\nResent-Date: d\r\n"
	  "Resent-Message-ID: <r>\r\nFrom: f\r\nTo: t\r\nCc: c\r\nReply-To: r\r\nSender: s\r\nBcc: b\r\n" BODY,
	  QUALIFY | TO },
	{ "resent: identity",
	  "Resent-From: A <a@x>\r\nResent-Date: d\r\nResent-Message-ID: <r>\r\nResent-From: old@x\r\nFrom: f@x\r\n" BODY,
	  "Resent-From: A <me@example.com>\r\nResent-Date: d\r\nResent-Message-ID: <r>\r\nResent-From: old@x\r\n"
	  "From: f@x\r\n" BODY,
	  IDENTITY | KEEP_REPLY },
	{ "resent: identity, original kept",
	  "Resent-From: a@x\r\nResent-Date: d\r\nResent-Message-ID: <r>\r\nFrom: f@x\r\n" BODY,
	  "Resent-From: me@example.com\r\nX-Original-From: a@x\r\nResent-Date: d\r\nResent-Message-ID: <r>\r\nFrom: f@x\r\n" BODY,
	  IDENTITY | KEEP_X },
	{ "resent: identity where Resent-From is missing",
	  "Resent-To: b@x\r\nResent-Date: d\r\nResent-Message-ID: <r>\r\nFrom: f@x\r\n" BODY,
	  "Resent-From: me@example.com\r\nResent-To: b@x\r\nResent-Date: d\r\nResent-Message-ID: <r>\r\nFrom: f@x\r\n" BODY,
	  IDENTITY },
	{ "resent: what is missing", "Resent-To: b@x\r\n" BODY,
	  "Resent-" NEW_DATE "Resent-From: s@x\r\nResent-" NEW_ID "Resent-To: b@x\r\n" BODY, FROM },
	{ "resent: the author's fields are not made up", "Resent-From: a@x\r\n" BODY,
	  "Resent-" NEW_DATE "Resent-" NEW_ID "Resent-From: a@x\r\n" BODY, FROM },

	{ "no header", "hello\r\nTo: root\r\n", NEW_DATE "From: me@example.com\r\n" NEW_ID "\r\nhello\r\nTo: root\r\n",
	  QUALIFY | IDENTITY | TO },
};

static struct fixup_options options(unsigned with)
{
	return (struct fixup_options){
		.hostname = "host.example",
		.id = "0abc",
		.no_trace = true,
		.add_date = true,
		.add_message_id = true,
		.from = with & FROM ? "s@x" : NULL,
		.qualify = with & QUALIFY ? "host.example" : NULL,
		.identity_from = with & IDENTITY ? "me@example.com" : NULL,
		.identity_name = with & NAME ? "Alerts" : NULL,
		.original = with & KEEP_REPLY ? REVISE_REPLY_TO
			    : with & KEEP_X   ? REVISE_X_ORIGINAL_FROM
					      : REVISE_DROP,
		.to = with & TO ? "catch@example.org" : NULL,
	};
}

static void take(struct buf *all, const struct span *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_true(buf_append_span(all, out[i]));
}

static struct fixup_facts run(const struct fixup_options *o, struct span in, size_t piece, struct buf *all)
{
	struct span out[FIXUP_SPANS];
	struct fixup_facts facts;
	struct fixup f;

	fixup_init(&f, o);
	for (size_t at = 0; at < in.len; at += piece) {
		struct span now = span_first(span_from(in, at), piece);
		char *copy = malloc(now.len);

		memcpy(copy, now.data, now.len);
		take(all, out, fixup_feed(&f, span_of(copy, now.len), out));
		free(copy);
	}
	take(all, out, fixup_end(&f, out));
	facts = *fixup_facts(&f);
	fixup_fini(&f);
	return facts;
}

static void rules_change_their_fields_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = span_str(rows[i].in);
		struct fixup_options o = options(rows[i].with);

		for (size_t piece = 1; piece <= in.len; piece++) {
			const char *want = rows[i].out ? rows[i].out : rows[i].in;
			struct fixup_facts facts;
			struct buf all;

			buf_init(&all, 65536);
			facts = run(&o, in, piece, &all);
			if (strcmp(buf_cstr(&all), want) != 0)
				fail_msg("%s, in pieces of %zu:\n%s", rows[i].title, piece, buf_cstr(&all));
			assert_int_equal(facts.added_bytes, (int64_t)all.len - (int64_t)in.len);
			assert_false(facts.is_given_up);
			if (!rows[i].out)
				assert_false(facts.is_changed);
			buf_fini(&all);
		}
	}
}

/* A local peer may send a header that would grow without end. */
static void a_header_that_would_become_too_long_stays_as_it_came(void **state)
{
	struct fixup_options o = options(QUALIFY | IDENTITY);
	const size_t len = 200 * 1024;
	char *text = malloc(len);
	struct fixup_facts facts;
	struct buf all;

	(void)state;
	for (size_t at = 0; at < len; at++)
		text[at] = "To: a,b,c,d,e,f\r\n"[at % 17];
	memcpy(text + len - 4, "\r\n\r\n", 4);
	for (int i = 0; i < 2; i++) {
		o.add_date = o.add_message_id = false;
		o.identity_from = NULL;
		buf_init(&all, 2 * len);
		facts = run(&o, span_of(text, len), i ? 5000 : len, &all);
		assert_true(facts.is_given_up);
		assert_false(facts.is_changed);
		assert_int_equal(all.len, len);
		assert_memory_equal(all.data, text, len);
		buf_fini(&all);
	}
	free(text);
}

/* One field too much is enough: no half of the rules. */
static void one_field_that_would_become_too_long_keeps_all_as_they_came(void **state)
{
	struct fixup_options o = options(QUALIFY);
	struct fixup_facts facts;
	struct buf in, all;

	(void)state;
	o.add_date = o.add_message_id = false;
	buf_init(&in, 1 << 20);
	buf_init(&all, 1 << 20);
	buf_append_str(&in, "From: a\r\nTo: ");
	for (int i = 0; i < 40000; i++)
		buf_append_str(&in, "b,");
	buf_append_str(&in, "\r\nCc: c\r\n\r\n");
	facts = run(&o, buf_span(&in), 10000, &all);
	assert_true(facts.is_given_up);
	assert_true(span_equals(buf_span(&in), buf_span(&all)));
	buf_fini(&in);
	buf_fini(&all);
}

static void a_header_longer_than_what_is_read_is_under_no_rule(void **state)
{
	struct fixup_options o = options(QUALIFY | IDENTITY | TO);
	const size_t len = FIXUP_HEADER_MAX + 50;
	char *text = malloc(len);
	struct fixup_facts facts;
	struct buf all;

	(void)state;
	memset(text, 'x', len);
	memcpy(text, "From: root\r\nTo: root\r\nX: ", 25);
	memcpy(text + len - 8, "\r\n\r\nbody", 8);
	buf_init(&all, 2 * len);
	facts = run(&o, span_of(text, len), 7000, &all);
	assert_true(facts.header_too_long);
	assert_int_equal(all.len, len);
	assert_memory_equal(all.data, text, len);
	buf_fini(&all);
	free(text);
}

static void ten_thousand_fields_are_all_changed(void **state)
{
	struct fixup_options o = options(QUALIFY);
	struct buf in, want, all;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&want, 1 << 20);
	buf_init(&all, 1 << 20);
	o.add_date = o.add_message_id = false;
	for (int i = 0; i < 10000; i++) {
		buf_printf(&in, i % 10 ? "X-%d: root\r\n" : "To: n%d\r\n", i);
		buf_printf(&want, i % 10 ? "X-%d: root\r\n" : "To: n%d@host.example\r\n", i);
	}
	assert_true(in.len < FIXUP_HEADER_MAX);
	assert_true(run(&o, buf_span(&in), 1000, &all).is_changed);
	assert_string_equal(buf_cstr(&all), buf_cstr(&want));
	buf_fini(&in);
	buf_fini(&want);
	buf_fini(&all);
}

static void text_of_rules_starts_no_line(void **state)
{
	struct fixup_options o = options(0);
	const char *evil = "a@b\r\nBcc: x\r\n\r\n";
	struct buf all;

	(void)state;
	o.identity_from = o.identity_name = o.to = o.qualify = o.id_domain = o.from = o.user = o.tls = evil;
	o.hostname = o.helo = o.peer = o.recipient = o.protocol = o.id = evil;
	o.no_trace = false;
	for (int i = 0; i < 2; i++) {
		struct span rest;
		struct header_field field;
		size_t count = 0;

		buf_init(&all, 65536);
		run(&o, i ? SPAN("From: a\r\nTo: root\r\n\r\n") : SPAN("To: root\r\n\r\n"), 1000, &all);
		rest = buf_span(&all);
		for (; header_next(&rest, &field); count++)
			assert_int_not_equal(field.name, HEADER_BCC);
		assert_int_equal(rest.len, 2);
		assert_int_equal(count, 5); /* Received, Date, From, Message-ID, To */
		buf_fini(&all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_change_their_fields_and_nothing_else),
		cmocka_unit_test(a_header_that_would_become_too_long_stays_as_it_came),
		cmocka_unit_test(one_field_that_would_become_too_long_keeps_all_as_they_came),
		cmocka_unit_test(a_header_longer_than_what_is_read_is_under_no_rule),
		cmocka_unit_test(ten_thousand_fields_are_all_changed),
		cmocka_unit_test(text_of_rules_starts_no_line),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
