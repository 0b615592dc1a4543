#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message/fixup.h"

#define RECEIVED "Received: by host.example (Sendoff) with ESMTP id 0abc;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
#define DATE     "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
#define ID       "Message-ID: <0abc@host.example>\r\n"
#define FROM     "From: Me <me@example.org>\r\n"

static const struct fixup_options plain = {
	.hostname = "host.example",
	.protocol = "ESMTP",
	.id = "0abc",
	.add_date = true,
	.add_message_id = true,
	.from = "Me <me@example.org>",
};

static const struct row {
	const char *name, *in, *out;
} rows[] = {
	{ "nothing is missing", "Date: d\r\nFrom: f\r\nMessage-ID: <m>\r\n\r\nbody\r\n",
	  RECEIVED "Date: d\r\nFrom: f\r\nMessage-ID: <m>\r\n\r\nbody\r\n" },
	{ "all is missing", "Subject: s\r\n\r\nbody\r\n", RECEIVED DATE FROM ID "Subject: s\r\n\r\nbody\r\n" },
	{ "folding and odd spacing stay", "From :f\r\nSubject:  a \r\n\t b\r\nDATE: d\r\n\r\n",
	  RECEIVED ID "From :f\r\nSubject:  a \r\n\t b\r\nDATE: d\r\n\r\n" },
	{ "Return-Path is left", "Return-Path: <x>\r\nDate: d\r\nFrom: f\r\nMessage-Id: m\r\n\r\n",
	  RECEIVED "Return-Path: <x>\r\nDate: d\r\nFrom: f\r\nMessage-Id: m\r\n\r\n" },
	{ "no header", "hello there\r\nDate: x\r\n", RECEIVED DATE FROM ID "\r\nhello there\r\nDate: x\r\n" },
	{ "header is one empty line", "\r\nbody\r\n", RECEIVED DATE FROM ID "\r\nbody\r\n" },
	{ "empty message", "", RECEIVED DATE FROM ID "\r\n" },
	{ "no body", "Date: d\r\nFrom: f\r\n", RECEIVED ID "Date: d\r\nFrom: f\r\n" },
	{ "no body and no line end", "Date: d\r\nFrom: f", RECEIVED ID "Date: d\r\nFrom: f" },
	{ "line that is no field ends the header", "Date: d\r\noops\r\nFrom: f\r\n\r\nbody\r\n",
	  RECEIVED FROM ID "Date: d\r\n\r\noops\r\nFrom: f\r\n\r\nbody\r\n" },
	{ "a mailbox line", "From joe Mon Jan  1\r\nDate: d\r\nFrom: f\r\nMessage-ID: <m>\r\n\r\nbody\r\n",
	  RECEIVED "X-Mailbox-Line: From joe Mon Jan  1\r\nDate: d\r\nFrom: f\r\nMessage-ID: <m>\r\n\r\nbody\r\n" },
	{ "a quoted mailbox line", ">>From joe\r\nDate: d\r\n",
	  RECEIVED FROM ID "X-Mailbox-Line: >>From joe\r\nDate: d\r\n" },
	{ "a body that begins like a mailbox", "From now on it rains.\r\n\r\nDate: d\r\n",
	  RECEIVED DATE FROM ID "\r\nFrom now on it rains.\r\n\r\nDate: d\r\n" },
	{ "a body that begins like a mailbox, and goes on", "From now on\r\nit rains.\r\n",
	  RECEIVED DATE FROM ID "\r\nFrom now on\r\nit rains.\r\n" },
	{ "only a mailbox line", "From joe\r\n", RECEIVED DATE FROM ID "\r\nFrom joe\r\n" },
	{ "half a mailbox line", "From joe", RECEIVED DATE FROM ID "\r\nFrom joe" },
	{ "the start of one", ">Fro", RECEIVED DATE FROM ID "\r\n>Fro" },
	{ "a From with a blank before its colon", "From : f\r\nDate: d\r\n", RECEIVED ID "From : f\r\nDate: d\r\n" },
	{ "a resent message", "Resent-From: r\r\nSubject: s\r\n\r\n",
	  RECEIVED "Resent-" DATE "Resent-" ID "Resent-From: r\r\nSubject: s\r\n\r\n" },
	{ "a resent message of nobody", "Resent-To: r\r\nDate: d\r\n\r\n",
	  RECEIVED "Resent-" DATE "Resent-" FROM "Resent-" ID "Resent-To: r\r\nDate: d\r\n\r\n" },
	{ "a resent message that lacks nothing",
	  "Resent-Message-ID: <r>\r\nResent-Date: r\r\nResent-From: r\r\nSubject: s\r\n\r\n",
	  RECEIVED "Resent-Message-ID: <r>\r\nResent-Date: r\r\nResent-From: r\r\nSubject: s\r\n\r\n" },
	{ "fields of one name", "Date: a\r\nFrom: a\r\nMessage-ID: a\r\nDate: b\r\nFrom: b\r\nMessage-ID: b\r\n\r\n",
	  RECEIVED "Date: a\r\nFrom: a\r\nMessage-ID: a\r\nDate: b\r\nFrom: b\r\nMessage-ID: b\r\n\r\n" },
	{ "bare line ends", "Date: d\nFrom: f\nMessage-ID: m\n\nbody\n",
	  RECEIVED "Date: d\nFrom: f\nMessage-ID: m\n\nbody\n" },
	{ "a bare CR", "Date: d\rFrom: f\r\n\r\n", RECEIVED FROM ID "Date: d\rFrom: f\r\n\r\n" },
	{ "a binary body", "Date: d\r\nFrom: f\r\nMessage-ID: m\r\n\r\n\n\r\r\n.\n\xff\n",
	  RECEIVED "Date: d\r\nFrom: f\r\nMessage-ID: m\r\n\r\n\n\r\r\n.\n\xff\n" },
	{ "a line of blanks goes on with the header", "Date: d\r\n \t\r\nFrom: f\r\nMessage-ID: m\r\n\r\n",
	  RECEIVED "Date: d\r\n \t\r\nFrom: f\r\nMessage-ID: m\r\n\r\n" },
	{ "blanks in front of everything", " Date: d\r\nFrom: f\r\n",
	  RECEIVED DATE FROM ID "\r\n Date: d\r\nFrom: f\r\n" },
	{ "fields in the body do not count", "Subject: s\r\n\r\nDate: d\r\nFrom: f\r\n",
	  RECEIVED DATE FROM ID "Subject: s\r\n\r\nDate: d\r\nFrom: f\r\n" },
	{ "bytes of all kinds", "Subject: \xff\r\nDate: d\r\nFrom: f\r\nMessage-ID: <m>\r\n\r\n\xff\x01\r\n",
	  RECEIVED "Subject: \xff\r\nDate: d\r\nFrom: f\r\nMessage-ID: <m>\r\n\r\n\xff\x01\r\n" },
};

static void take(struct buf *all, const struct span *out, size_t count)
{
	assert_true(count <= FIXUP_SPANS);
	for (size_t i = 0; i < count; i++) {
		assert_true(out[i].len > 0);
		assert_true(buf_append_span(all, out[i]));
	}
}

/* Pieces lie in memory of their own, which is gone at the next call. */
static void feed(struct fixup *f, struct span piece, struct buf *all)
{
	struct span out[FIXUP_SPANS];
	char *copy = malloc(piece.len + 1);

	memcpy(copy, piece.data, piece.len);
	take(all, out, fixup_feed(f, span_of(copy, piece.len), out));
	free(copy);
}

static void run(const struct fixup_options *options, struct span in, size_t piece, struct buf *all,
		struct fixup_facts *facts)
{
	struct span out[FIXUP_SPANS];
	struct fixup f;

	fixup_init(&f, options);
	for (size_t at = 0; at < in.len; at += piece)
		feed(&f, span_first(span_from(in, at), piece), all);
	take(all, out, fixup_end(&f, out));
	*facts = *fixup_facts(&f);
	fixup_fini(&f);
}

static void what_is_missing_is_added_in_front_and_the_rest_stays_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = span_str(rows[i].in);

		for (size_t piece = 1; piece <= in.len + 1; piece++) {
			struct fixup_facts facts;
			struct buf all;

			buf_init(&all, 65536);
			run(&plain, in, piece, &all, &facts);
			if (!span_equals(buf_span(&all), span_str(rows[i].out)))
				fail_msg("%s, in pieces of %zu:\n%s", rows[i].name, piece, buf_cstr(&all));
			assert_true(facts.ready);
			assert_int_equal(facts.added_bytes, all.len - in.len);
			buf_fini(&all);
		}
	}
}

static const char *received(struct fixup_options options, char *text, size_t size)
{
	struct fixup_facts facts;
	struct buf all;

	buf_init(&all, 65536);
	options.hostname = "host.example";
	options.id = "0abc";
	run(&options, SPAN("A: b\r\n\r\n"), 100, &all, &facts);
	snprintf(text, size, "%s", buf_cstr(&all));
	buf_fini(&all);
	return text;
}

static void the_trace_field_says_where_the_message_came_from(void **state)
{
	char text[4096];

	(void)state;
	assert_string_equal(received((struct fixup_options){ .helo = "client.example",
							     .peer = "[192.0.2.1]",
							     .protocol = "ESMTPS",
							     .tls = "TLSv1.3 AES",
							     .recipient = "a@example.org" },
				     text, sizeof(text)),
			    "Received: from client.example ([192.0.2.1])\r\n"
			    "\tby host.example (Sendoff) with ESMTPS id 0abc\r\n"
			    "\t(TLSv1.3 AES)\r\n\tfor <a@example.org>;\r\n"
			    "\tThu, 1 Jan 1970 00:00:00 +0000\r\nA: b\r\n\r\n");
	assert_string_equal(received((struct fixup_options){ .peer = "[192.0.2.1]" }, text, sizeof(text)),
			    "Received: from unknown ([192.0.2.1])\r\n\tby host.example (Sendoff) id 0abc;\r\n"
			    "\tThu, 1 Jan 1970 00:00:00 +0000\r\nA: b\r\n\r\n");
	assert_string_equal(received((struct fixup_options){ .no_trace = true }, text, sizeof(text)), "A: b\r\n\r\n");
}

static void no_text_from_outside_starts_a_line(void **state)
{
	char text[8192], long_text[4096];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	received((struct fixup_options){ .helo = "a\r\nBcc: x", .peer = long_text, .recipient = "b\nc\x7f" }, text,
		 sizeof(text));
	assert_non_null(strstr(text, "from a??Bcc:?x ("));
	assert_non_null(strstr(text, "for <b?c?>"));
	assert_true(strlen(text) < 1000);
}

static void no_text_from_outside_ends_a_comment_or_a_word(void **state)
{
	const char *evil = "a) (b\\ ; <c> \"d";
	char text[8192];

	(void)state;
	received(
		(struct fixup_options){
			.helo = evil, .peer = evil, .protocol = evil, .tls = evil, .user = evil, .recipient = "a> (b" },
		text, sizeof(text));
	assert_non_null(strstr(text, "Received: from a???b?????c???d (a? ?b? ; <c> \"d)\r\n\tby host.example (Sendoff) "
				     "with a???b?????c???d id 0abc\r\n\t(a? ?b? ; <c> \"d)\r\n\t(a? ?b? ; <c> \"d)\r\n"
				     "\tfor <a???b>;\r\n"));
	received((struct fixup_options){ .recipient = "\"a> (b\"@c", .user = "uid 1000" }, text, sizeof(text));
	assert_non_null(strstr(text, "\r\n\t(uid 1000)\r\n\tfor <\"a> (b\"@c>;\r\n"));
}

static void a_new_message_id_may_have_a_domain_of_its_own(void **state)
{
	struct fixup_options o = plain;
	struct fixup_facts facts;
	struct buf all;

	(void)state;
	o.no_trace = true;
	o.add_date = false;
	o.from = NULL;
	o.id_domain = "example.org";
	buf_init(&all, 1000);
	run(&o, SPAN("A: b\r\n"), 100, &all, &facts);
	assert_string_equal(buf_cstr(&all), "Message-ID: <0abc@example.org>\r\nA: b\r\n");
	buf_clear(&all);
	o.id_domain = "x> y";
	run(&o, SPAN("A: b\r\n"), 100, &all, &facts);
	assert_string_equal(buf_cstr(&all), "Message-ID: <0abc@x??y>\r\nA: b\r\n");
	buf_fini(&all);
}

static void nul_in_a_header_is_told_and_stays(void **state)
{
	static const struct {
		struct span in;
		bool has_nul;
	} messages[] = { { SPAN("Date: d\r\nX: a\0b\r\n\r\nbody"), true },
			 { SPAN("Date: d\r\n\r\nbo\0dy"), false },
			 { SPAN("no header \0\r\n"), false } };
	struct fixup_options o = { .hostname = "h", .id = "i", .no_trace = true };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t piece = 1; piece < 30; piece++) {
			struct fixup_facts facts;
			struct buf all;

			buf_init(&all, 1000);
			run(&o, messages[i].in, piece, &all, &facts);
			assert_int_equal(facts.has_nul, messages[i].has_nul);
			assert_memory_equal(all.data + (facts.no_header ? 2 : 0), messages[i].in.data,
					    messages[i].in.len);
			buf_fini(&all);
		}
	}
}

static void a_long_line_is_no_mailbox_line(void **state)
{
	struct fixup_options o = { .hostname = "h", .id = "i", .no_trace = true };
	char text[1200];

	(void)state;
	for (size_t len = 990; len < 1010; len++) {
		for (size_t piece = 100; piece < 2000; piece += 450) {
			struct fixup_facts facts;
			struct buf all;

			memset(text, 'x', sizeof(text));
			memcpy(text, "From joe ", 9);
			memcpy(text + len - 2, "\r\nA: b\r\n\r\n", 10);
			buf_init(&all, 4000);
			run(&o, span_of(text, len + 8), piece, &all, &facts);
			assert_int_equal(facts.no_header, len > 998);
			assert_int_equal(facts.added_bytes, len > 998 ? 2 : 16);
			buf_fini(&all);
		}
	}
}

/* RFC 5322, 2.1.1 is for who writes a message, not for who passes it on. */
static void long_lines_and_long_fields_stay(void **state)
{
	static const size_t lengths[] = { 997, 998, 999, 1000, 4096, 65535, 65536, 200000 };
	struct fixup_options o = { .hostname = "h", .id = "i", .no_trace = true, .qualify = "host.example" };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct fixup_facts facts;
		struct buf in, all;

		buf_init(&in, 1 << 20);
		buf_init(&all, 1 << 20);
		buf_append_str(&in, "Subject: ");
		for (size_t k = 0; k < lengths[i]; k++)
			buf_append_char(&in, 'x');
		buf_append_str(&in, "\r\nX-Folded: a\r\n");
		for (size_t k = 0; k < lengths[i] / 10; k++)
			buf_append_str(&in, "\t b\r\n");
		buf_append_str(&in, "\r\nbody\r\n");
		run(&o, buf_span(&in), 8192, &all, &facts);
		assert_int_equal(facts.header_too_long, in.len > FIXUP_HEADER_MAX);
		assert_true(span_equals(buf_span(&in), buf_span(&all)));
		buf_fini(&in);
		buf_fini(&all);
	}
}

static void facts_are_known_at_the_end_of_the_header(void **state)
{
	struct span in = SPAN("Received: 1\r\nReceived: 2\r\nAuto-Submitted:\r\n auto-generated; x\r\nBcc: b\r\n"
			      "Message-ID:\r\n <a.b@c>\r\nSubject: =?utf-8?q?=C3=BC?=\r\n\r\n");
	struct span out[FIXUP_SPANS];
	struct fixup f;

	(void)state;
	fixup_init(&f, &plain);
	assert_false(fixup_facts(&f)->ready);
	assert_int_equal(fixup_feed(&f, span_first(in, 20), out), 0);
	assert_false(fixup_facts(&f)->ready);
	fixup_feed(&f, span_from(in, 20), out);
	assert_true(fixup_facts(&f)->ready);
	assert_int_equal(fixup_facts(&f)->received, 2);
	assert_true(fixup_facts(&f)->is_auto);
	assert_true(fixup_facts(&f)->has_bcc);
	assert_true(fixup_facts(&f)->has_to);
	assert_false(fixup_facts(&f)->has_date);
	assert_true(fixup_facts(&f)->has_message_id);
	assert_string_equal(fixup_facts(&f)->message_id, "a.b@c");
	assert_string_equal(fixup_facts(&f)->subject, "\xc3\xbc");
	fixup_fini(&f);
}

static void the_added_message_id_is_a_fact_too(void **state)
{
	struct span out[FIXUP_SPANS];
	struct fixup f;

	(void)state;
	fixup_init(&f, &plain);
	fixup_feed(&f, SPAN("Auto-Submitted: No (really)\r\n\r\n"), out);
	assert_string_equal(fixup_facts(&f)->message_id, "0abc@host.example");
	assert_false(fixup_facts(&f)->has_message_id);
	assert_false(fixup_facts(&f)->is_auto);
	assert_string_equal(fixup_facts(&f)->subject, "");
	fixup_fini(&f);
}

static void a_header_in_one_piece_is_not_copied(void **state)
{
	struct span in = SPAN("Date: d\r\nFrom: f\r\nMessage-ID: <m>\r\n\r\nbody\r\n");
	struct span out[FIXUP_SPANS];
	struct fixup f;

	(void)state;
	fixup_init(&f, &plain);
	assert_int_equal(fixup_feed(&f, in, out), 2);
	assert_ptr_equal(out[1].data, in.data);
	assert_int_equal(out[1].len, in.len);
	assert_int_equal(fixup_end(&f, out), 0);
	fixup_fini(&f);
}

static void check_endless(struct span in, size_t piece, bool too_long, const char *before, const char *between)
{
	struct fixup_facts facts;
	struct buf all;

	buf_init(&all, 2 * in.len + 65536);
	run(&plain, in, piece, &all, &facts);
	assert_int_equal(facts.header_too_long, too_long);
	assert_int_equal(facts.no_header, !too_long);
	assert_int_equal(all.len, strlen(before) + strlen(between) + in.len);
	assert_memory_equal(all.data, before, strlen(before));
	assert_memory_equal(all.data + strlen(before), between, strlen(between));
	assert_memory_equal(all.data + strlen(before) + strlen(between), in.data, in.len);
	buf_fini(&all);
}

static void an_endless_header_passes_with_a_trace_field_only(void **state)
{
	static const size_t pieces[] = { 1000, FIXUP_HEADER_MAX - 1, FIXUP_HEADER_MAX, FIXUP_HEADER_MAX + 1, 1 << 20 };
	const size_t len = 2 * FIXUP_HEADER_MAX;
	char *text = malloc(len);

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		for (size_t at = 0; at < len; at++) /* many fields */
			text[at] = "X-A: b\r\n"[at % 8];
		check_endless(span_of(text, len), pieces[i], true, RECEIVED, "");
		memcpy(text + len - 8, "\r\n\r\nbody", 8); /* it ends, but too late */
		check_endless(span_of(text, len), pieces[i], true, RECEIVED, "");
		memset(text + 5, 'x', len - 5); /* one endless field */
		check_endless(span_of(text, len), pieces[i], true, RECEIVED, "");
		memset(text, 'x', len); /* one endless line that is no field */
		check_endless(span_of(text, len), pieces[i], false, RECEIVED DATE FROM ID, "\r\n");
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_added_in_front_and_the_rest_stays_byte_by_byte),
		cmocka_unit_test(the_trace_field_says_where_the_message_came_from),
		cmocka_unit_test(no_text_from_outside_starts_a_line),
		cmocka_unit_test(no_text_from_outside_ends_a_comment_or_a_word),
		cmocka_unit_test(a_new_message_id_may_have_a_domain_of_its_own),
		cmocka_unit_test(nul_in_a_header_is_told_and_stays),
		cmocka_unit_test(a_long_line_is_no_mailbox_line),
		cmocka_unit_test(long_lines_and_long_fields_stay),
		cmocka_unit_test(facts_are_known_at_the_end_of_the_header),
		cmocka_unit_test(the_added_message_id_is_a_fact_too),
		cmocka_unit_test(a_header_in_one_piece_is_not_copied),
		cmocka_unit_test(an_endless_header_passes_with_a_trace_field_only),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
