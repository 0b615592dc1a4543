#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "message/mime.h"

struct row {
	const char *in, *out;
};

static void quoted_printable_survives_every_transport(void **state)
{
	static const struct row rows[] = {
		{ "", "" },
		{ "plain\r\n", "plain\r\n" },
		{ "no end", "no end\r\n" },
		{ "a = b\r\n", "a =3D b\r\n" },
		{ "blank \r\ntab\t\r\n", "blank=20\r\ntab=09\r\n" },
		{ ".\r\nFrom x\r\n", "=2E\r\n=46rom x\r\n" },
		{ "\xc3\xbc\r\n", "=C3=BC\r\n" },
		{ "a\rb\nc\r\n", "a=0Db=0Ac\r\n" },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n",
		  "012345678901234567890123456789012345678901234567890123456789012345678901234=\r\n5\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_true(mime_quoted_printable(&out, span_str(rows[i].in)));
		assert_string_equal(buf_cstr(&out), rows[i].out);
		buf_fini(&out);
	}
}

static void encode(const char *in, bool phrase, const char *expect)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_true(mime_words_encode(&out, span_str(in), phrase));
	assert_string_equal(buf_cstr(&out), expect);
	buf_fini(&out);
}

static void names_are_quoted_or_encoded_only_where_they_must_be(void **state)
{
	(void)state;
	encode("Cron Daemon", true, "Cron Daemon");
	encode("J. Doe", true, "\"J. Doe\"");
	encode("J. Doe", false, "J. Doe");
	encode("a \"b\" \\", true, "\"a \\\"b\\\" \\\\\"");
	encode("\xc3\xbc", true, "=?UTF-8?B?w7w=?=");
	encode("=?x?q?y?=", false, "=?UTF-8?B?PT94P3E/eT89?=");
	encode("a\r\nBcc: b", false, "a Bcc: b");
	/* 23 times two bytes: the cut does not fall into a character */
	encode("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
	       "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc",
	       false, "=?UTF-8?B?w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7w=?=\r\n =?UTF-8?B?w7w=?=");
}

static void encoded_words_are_read_and_broken_ones_left(void **state)
{
	static const struct row rows[] = {
		{ "a\r\n b", "a b" },
		{ "=?UTF-8?Q?a?= =?utf-8*de?q?b?= c", "ab c" },
		{ "=?utf-8?q?a?=b", "ab" },
		{ "=?utf-8?q?a?= =?x?q?b?=", "a =?x?q?b?=" },
		{ "=?utf-8?b?!?=", "=?utf-8?b?!?=" },
		{ "=?utf-8?q?a b?=", "=?utf-8?q?a b?=" },
		{ "=?utf-8?q?=4?=", "=4" },
		{ "=?utf-8?q?", "=?utf-8?q?" },
		{ "=?utf-8?q", "=?utf-8?q" },
		{ "=?", "=?" },
		{ "=?utf-8?q?"
		  "?=",
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out;

		buf_init(&out, 1000);
		assert_true(mime_words_decode(&out, span_str(rows[i].in)));
		assert_string_equal(buf_cstr(&out), rows[i].out);
		buf_fini(&out);
	}
}

static void a_full_buffer_is_told(void **state)
{
	struct buf out;

	(void)state;
	for (size_t max = 0; max < 9; max++) {
		buf_init(&out, max);
		assert_int_equal(mime_quoted_printable(&out, SPAN("\xfc\xfc\r\n")), max >= 8);
		buf_clear(&out);
		assert_false(mime_words_encode(&out, SPAN("\xc3\xbc"), true));
		buf_clear(&out);
		assert_false(mime_words_decode(&out, SPAN("0123 =?utf-8?q?567?= 9")));
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quoted_printable_survives_every_transport),
		cmocka_unit_test(names_are_quoted_or_encoded_only_where_they_must_be),
		cmocka_unit_test(encoded_words_are_read_and_broken_ones_left),
		cmocka_unit_test(a_full_buffer_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
