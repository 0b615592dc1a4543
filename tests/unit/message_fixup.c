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
		cmocka_unit_test(facts_are_known_at_the_end_of_the_header),
		cmocka_unit_test(the_added_message_id_is_a_fact_too),
		cmocka_unit_test(a_header_in_one_piece_is_not_copied),
		cmocka_unit_test(an_endless_header_passes_with_a_trace_field_only),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
