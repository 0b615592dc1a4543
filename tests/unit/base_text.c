/* The small readers and writers of text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))
#define MIN        (60 * (int64_t)1000)
#define HOUR       (60 * MIN)
#define DAY        (24 * HOUR)

static struct buf out;

static int setup(void **state)
{
	(void)state;
	buf_init(&out, 4096);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

/* ---------------------------------------------------------------- numbers, durations, sizes, rates */

static void durations_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "0", 0 },         { "0s", 0 },          { "90s", 90000 },   { "5m", 5 * MIN },
		{ "4h", 4 * HOUR }, { "5d", 5 * DAY },    { "2w", 14 * DAY }, { "1h30m", 90 * MIN },
		{ "250ms", 250 },   { "1m1s1ms", 61001 }, { "1s1s", 2000 },   { "3650d", 3650 * DAY },
		{ "007s", 7000 },
	};
	static const char *const bad[] = { "",
					   "5",
					   "s",
					   "5x",
					   "-5s",
					   " 5s",
					   "5s ",
					   "5 s",
					   "1.5h",
					   "5S",
					   "5mm",
					   "1h30",
					   "3651d",
					   "00",
					   "1000000001s",
					   "5ms5",
					   "99999999999999999999d",
					   "1000000000w",
					   "+5s" };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		int64_t ms = -1;

		if (!text_duration(span_str(rows[i].text), &ms) || ms != rows[i].ms)
			fail_msg("%s: %lld", rows[i].text, (long long)ms);
		/* Cut at every byte: read, or refused and untouched. */
		for (size_t cut = 0; cut < strlen(rows[i].text); cut++) {
			int64_t part = -7;

			if (!text_duration(span_of(rows[i].text, cut), &part))
				assert_int_equal(part, -7);
			else
				assert_true(part >= 0);
		}
	}
	for (size_t i = 0; i < ROWS(bad); i++) {
		int64_t ms = -7;

		if (text_duration(span_str(bad[i]), &ms))
			fail_msg("\"%s\" is taken", bad[i]);
		assert_int_equal(ms, -7);
	}
}

static void durations_are_printed_for_people(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ -5, "0s" },
		{ 0, "0s" },
		{ 999, "0s" },
		{ 45000, "45s" },
		{ 60000, "1m00s" },
		{ 250000, "4m10s" },
		{ 3600000, "1h00m" },
		{ 11100000, "3h05m" },
		{ DAY, "1d00h" },
		{ 2 * DAY + 4 * HOUR, "2d04h" },
		{ 3650 * DAY, "3650d00h" },
		{ INT64_MAX, "106751991167d07h" },
	};
	char text[TEXT_DURATION_SIZE];

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		assert_string_equal(text_duration_print(rows[i].ms, text), rows[i].text);
}

static void sizes_are_read_and_printed(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		const char *printed;
	} rows[] = {
		{ "0", 0, "0B" },
		{ "1000", 1000, "1000B" },
		{ "1023", 1023, "1023B" },
		{ "1k", 1024, "1.0k" },
		{ "512K", 512 << 10, "512k" },
		{ "50M", 50 << 20, "50M" },
		{ "4g", (uint64_t)4 << 30, "4.0G" },
		{ "2T", (uint64_t)2 << 40, "2.0T" },
		{ "4194304T", (uint64_t)1 << 62, "4.0E" },
		{ "4611686018427387904", (uint64_t)1 << 62, "4.0E" },
	};
	static const char *const bad[] = { "",
					   "k",
					   "5x",
					   "5kb",
					   "5 k",
					   "-1",
					   "4194305T",
					   "4611686018427387905",
					   "18446744073709551616",
					   "99999999999999999999999",
					   "1.5M",
					   "5P" };
	char text[TEXT_SIZE_SIZE];

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		uint64_t bytes = 7;

		if (!text_size(span_str(rows[i].text), &bytes) || bytes != rows[i].bytes)
			fail_msg("%s: %llu", rows[i].text, (unsigned long long)bytes);
		assert_string_equal(text_size_print(rows[i].bytes, text), rows[i].printed);
	}
	for (size_t i = 0; i < ROWS(bad); i++) {
		uint64_t bytes = 7;

		if (text_size(span_str(bad[i]), &bytes))
			fail_msg("\"%s\" is taken", bad[i]);
		assert_int_equal(bytes, 7);
	}
	assert_string_equal(text_size_print(UINT64_MAX, text), "16E");
}

static void rates_are_read(void **state)
{
	static const struct {
		const char *text;
		uint32_t count;
		int64_t per_ms;
	} rows[] = {
		{ "30/min", 30, MIN },
		{ "10/s", 10, 1000 },
		{ "10/sec", 10, 1000 },
		{ "100/h", 100, HOUR },
		{ "1/hour", 1, HOUR },
		{ "500/day", 500, DAY },
		{ "500/d", 500, DAY },
		{ "7/m", 7, MIN },
		{ "0", 0, 1000 },
		{ "0/min", 0, MIN },
		{ "1000000000/s", 1000000000, 1000 },
	};
	static const char *const bad[] = { "",        "30",      "/min",   "30/",          "30/week",       "30/Min",
					   "30 /min", "30/min ", "-1/min", "1000000001/s", "99999999999/s", "30\\min" };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		uint32_t count = 9;
		int64_t per_ms = 9;

		if (!text_rate(span_str(rows[i].text), &count, &per_ms) || count != rows[i].count ||
		    per_ms != rows[i].per_ms)
			fail_msg("%s: %u per %lld", rows[i].text, count, (long long)per_ms);
	}
	for (size_t i = 0; i < ROWS(bad); i++) {
		uint32_t count = 9;
		int64_t per_ms = 9;

		if (text_rate(span_str(bad[i]), &count, &per_ms))
			fail_msg("\"%s\" is taken", bad[i]);
		assert_int_equal(count, 9);
		assert_int_equal(per_ms, 9);
	}
}

static void numbers_are_digits_up_to_a_bound(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "101", "18446744073709551617" };
	uint64_t n = 7;

	(void)state;
	assert_true(text_number(span_str("100"), 100, &n) && n == 100);
	assert_true(text_number(span_str("000"), 0, &n) && n == 0);
	assert_true(text_number(span_str("18446744073709551615"), UINT64_MAX, &n) && n == UINT64_MAX);
	assert_false(text_number(span_str("18446744073709551616"), UINT64_MAX, &n));
	assert_false(text_number(span_str("1"), 0, &n));
	assert_false(text_number(span_str("9"), 5, &n));
	n = 7;
	for (size_t i = 0; i < ROWS(bad); i++)
		if (text_number(span_str(bad[i]), 100, &n))
			fail_msg("\"%s\" is taken", bad[i]);
	assert_int_equal(n, 7);
}

/* ---------------------------------------------------------------- base64, xtext, ids */

static void base64_has_the_rows_of_rfc_4648(void **state)
{
	static const struct {
		struct span plain;
		const char *coded;
	} rows[] = {
		{ { "", 0 }, "" },
		{ { "f", 1 }, "Zg==" },
		{ { "fo", 2 }, "Zm8=" },
		{ { "foo", 3 }, "Zm9v" },
		{ { "foob", 4 }, "Zm9vYg==" },
		{ { "fooba", 5 }, "Zm9vYmE=" },
		{ { "foobar", 6 }, "Zm9vYmFy" },
		{ { "\0me\0pw", 6 }, "AG1lAHB3" },
		{ { "\xff\xfe\xfd", 3 }, "//79" },
		{ { "\xfb\xff", 2 }, "+/8=" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct span coded = span_str(rows[i].coded);

		buf_clear(&out);
		assert_true(text_base64_encode(&out, rows[i].plain));
		assert_string_equal(buf_cstr(&out), rows[i].coded);
		buf_clear(&out);
		assert_true(text_base64_decode(&out, coded));
		assert_true(span_equals(buf_span(&out), rows[i].plain));
		for (size_t cut = 0; cut < coded.len; cut++) {
			buf_clear(&out);
			assert_int_equal(text_base64_decode(&out, span_first(coded, cut)), cut % 4 == 0);
			assert_true(span_equals(buf_span(&out), span_first(rows[i].plain, out.len)));
		}
	}
}

static void base64_that_is_not_strict_is_refused(void **state)
{
	static const char *const bad[] = { "Z",        "Zg",   "Zg=",  "Zg===", "=",       "====",    "Z===",
					   "Zg==Zg==", "Zh==", "Zm9=", "Zm8\n", " Zg==",   "Zg= =",   "Z-9v",
					   "Z_9v",     "Zm=v", "=m8=", "Zm9v=", "Zm9\xc3", "Zg==\r\n" };

	(void)state;
	buf_append_str(&out, "kept");
	for (size_t i = 0; i < ROWS(bad); i++) {
		if (text_base64_decode(&out, span_str(bad[i])))
			fail_msg("\"%s\" is taken", bad[i]);
		assert_string_equal(buf_cstr(&out), "kept");
	}
	assert_false(text_base64_decode(&out, span_of("Zm\0v", 4)));
}

static void coding_stops_at_the_cap_of_the_buffer(void **state)
{
	struct buf small;

	(void)state;
	buf_init(&small, 5);
	assert_false(text_base64_encode(&small, SPAN("abcd")));
	assert_true(text_base64_encode(&small, SPAN("abc")));
	assert_false(text_base64_decode(&small, SPAN("Zm9v")));
	assert_string_equal(buf_cstr(&small), "YWJj");
	assert_false(text_xtext_decode(&small, SPAN("ab")));
	assert_string_equal(buf_cstr(&small), "YWJj");
	assert_false(text_xtext_encode(&small, SPAN("+")));
	assert_false(text_clean(&small, SPAN("ab"), 100));
	assert_false(text_base64_encode(&small, span_of("", SIZE_MAX)));
	buf_fini(&small);
}

static void xtext_is_that_of_rfc_3461(void **state)
{
	static const struct {
		struct span plain;
		const char *coded;
	} rows[] = {
		{ { "", 0 }, "" },
		{ { "user@example.org", 16 }, "user@example.org" },
		{ { "a+b=c", 5 }, "a+2Bb+3Dc" },
		{ { "a b\n", 4 }, "a+20b+0A" },
		{ { "\0\x7f\xff", 3 }, "+00+7F+FF" },
		{ { "!~", 2 }, "!~" },
	};
	static const char *const bad[] = { "+",    "+2",   "+2b",      "+G0",  "a b", "a=b",
					   "a\tb", "\x7f", "\xc3\xa4", "+2\n", "++41" };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		buf_clear(&out);
		assert_true(text_xtext_encode(&out, rows[i].plain));
		assert_string_equal(buf_cstr(&out), rows[i].coded);
		buf_clear(&out);
		assert_true(text_xtext_decode(&out, span_str(rows[i].coded)));
		assert_true(span_equals(buf_span(&out), rows[i].plain));
	}
	buf_clear(&out);
	buf_append_str(&out, "kept");
	for (size_t i = 0; i < ROWS(bad); i++) {
		if (text_xtext_decode(&out, span_str(bad[i])))
			fail_msg("\"%s\" is taken", bad[i]);
		assert_string_equal(buf_cstr(&out), "kept");
	}
}

static void addresses_beyond_ascii_are_written_as_rfc_6533_wants(void **state)
{
	(void)state;
	buf_clear(&out);
	assert_true(text_utf8_xtext_encode(
		&out, SPAN("a+b=c\\ d\x7f\xc2\x80\xc2\xa0\xc3\xbc\xe2\x82\xac\xf0\x9f\x93\xa7"), false));
	assert_string_equal(buf_cstr(&out),
			    "a\\x{2B}b\\x{3D}c\\x{5C}\\x{20}d\\x{7F}\\x{80}\\x{A0}\\x{FC}\\x{20AC}\\x{1F4E7}");
	buf_clear(&out);
	assert_true(text_utf8_xtext_encode(&out, SPAN("+\xc2\x80\xc2\xa0\xc3\xbc\xf0\x9f\x93\xa7"), true));
	assert_string_equal(buf_cstr(&out), "\\x{2B}\\x{80}\xc2\xa0\xc3\xbc\xf0\x9f\x93\xa7");
}

static void a_hash_is_the_same_whatever_the_case(void **state)
{
	(void)state;
	assert_int_equal(text_hash(SPAN("")), 0x811c9dc5);
	assert_int_equal(text_hash(SPAN("foobar")), 0xbf9cf968);
	assert_int_equal(text_hash(SPAN("FooBAR")), 0xbf9cf968);
}

static void ids_come_back_and_sort_by_age(void **state)
{
	static const uint64_t ids[] = { 0, 1, 31, 32, 0x123456789abcdef0, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX };
	static const char *const bad[] = { "",
					   "000000000000",
					   "00000000000000",
					   "g000000000000",
					   "zzzzzzzzzzzzz",
					   "000000000000i",
					   "000000000000l",
					   "000000000000o",
					   "000000000000u",
					   "000000000000-",
					   " 00000000000",
					   "000000000000\xff" };
	char text[TEXT_ID_SIZE], before[TEXT_ID_SIZE] = "";
	uint64_t id = 7;

	(void)state;
	for (size_t i = 0; i < ROWS(ids); i++) {
		assert_int_equal(strlen(text_id_print(ids[i], text)), TEXT_ID_LEN);
		assert_true(strcmp(before, text) < 0);
		assert_true(text_id(span_str(text), &id) && id == ids[i]);
		for (size_t cut = 0; cut < TEXT_ID_LEN; cut++)
			assert_false(text_id(span_of(text, cut), &id));
		memcpy(before, text, sizeof(text));
	}
	assert_string_equal(text_id_print(UINT64_MAX, text), "fzzzzzzzzzzzz");
	assert_true(text_id(SPAN("FZZZZZZZZZZZZ"), &id) && id == UINT64_MAX);
	id = 7;
	for (size_t i = 0; i < ROWS(bad); i++)
		if (text_id(span_str(bad[i]), &id))
			fail_msg("\"%s\" is taken", bad[i]);
	assert_false(text_id(span_of("000000000000\0", 13), &id));
	assert_int_equal(id, 7);
}

/* ---------------------------------------------------------------- globs, cleaning, distance */

static void globs_match_as_people_expect(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} rows[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "*", "", true },
		{ "**", "", true },
		{ "?", "", false },
		{ "?", "a", true },
		{ "?*", "", false },
		{ "*@example.com", "me@EXAMPLE.com", true },
		{ "*@example.com", "me@example.com.evil", false },
		{ "*@*.example.com", "me@example.com", false },
		{ "*@*.example.com", "me@a.b.example.com", true },
		{ "a*b*c", "aXbXbXc", true },
		{ "a*b*c", "aXbXbX", false },
		{ "a*a", "a", false },
		{ "a*a", "aa", true },
		{ "*a*b", "xxaxxab", true },
		{ "abc", "abcd", false },
		{ "abcd", "abc", false },
		{ "a[b]", "ab", false },
		{ "a[b]", "A[B]", true },
		{ "a\\*", "a\\x", true },
		{ "***a***", "bab", true },
	};
	char pattern[64] = "", text[4096];

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (text_glob(rows[i].pattern, span_str(rows[i].text)) != rows[i].matches)
			fail_msg("%s on %s", rows[i].pattern, rows[i].text);
	assert_true(text_glob("a?b", span_of("a\0b", 3)));
	assert_false(text_glob("a", span_of("a\0b", 3)));
	/* Exponential matchers never come back from this. */
	for (int i = 0; i < 30; i++)
		strcat(pattern, "a*");
	strcat(pattern, "b");
	memset(text, 'a', sizeof(text));
	assert_false(text_glob(pattern, span_of(text, sizeof(text))));
}

static const char *clean(const char *text, size_t len, size_t max)
{
	buf_clear(&out);
	assert_true(text_clean(&out, span_of(text, len), max));
	return buf_cstr(&out);
}

static void strangers_text_is_cleaned(void **state)
{
	static const struct {
		struct span text;
		const char *cleaned;
	} rows[] = {
		{ { "", 0 }, "" },
		{ { "  550  no\r\n such\tuser ", 22 }, "550 no such user" },
		{ { "a\x1b[31mb\x07", 8 }, "a?[31mb?" },
		{ { "a\0b", 3 }, "a?b" },
		{ { "gr\xc3\xbc\xc3\x9f", 6 }, "gr\xc3\xbc\xc3\x9f" },
		{ { "\xf0\x9f\x98\x80", 4 }, "\xf0\x9f\x98\x80" },
		{ { "\xc2\x85\xc2\x9b", 4 }, "??" }, /* C1 controls */
		{ { "\xc2\xa0", 2 }, "\xc2\xa0" },
		{ { "\xff\xfe", 2 }, "??" },
		{ { "\xc3", 1 }, "?" },      /* cut */
		{ { "\xc0\xaf", 2 }, "??" }, /* overlong */
		{ { "\xe0\x80\xaf", 3 }, "???" },
		{ { "\xed\xa0\x80", 3 }, "???" },      /* surrogate */
		{ { "\xf4\x90\x80\x80", 4 }, "????" }, /* beyond Unicode */
		{ { "\xf0\x80\x80\xaf", 4 }, "????" },
		{ { "\x7f", 1 }, "?" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		assert_string_equal(clean(rows[i].text.data, rows[i].text.len, 1000), rows[i].cleaned);
		for (size_t cut = 0; cut <= rows[i].text.len; cut++)
			assert_true(text_is_utf8(span_str(clean(rows[i].text.data, cut, 1000))));
	}
}

static void cleaned_text_is_cut_between_characters(void **state)
{
	(void)state;
	assert_string_equal(clean("abcdef", 6, 3), "abc");
	assert_string_equal(clean("ab\xc3\xbc", 4, 3), "ab");
	assert_string_equal(clean("ab\xc3\xbc", 4, 4), "ab\xc3\xbc");
	assert_string_equal(clean("abc", 3, 0), "");
	buf_clear(&out);
	buf_append_str(&out, "said: ");
	assert_true(text_clean(&out, SPAN("hello"), 2));
	assert_string_equal(buf_cstr(&out), "said: he");
}

static void utf8_and_ascii_are_told_apart(void **state)
{
	(void)state;
	assert_true(text_is_ascii(SPAN("plain \x01")));
	assert_false(text_is_ascii(SPAN("gr\xc3\xbcn")));
	assert_true(text_is_ascii(SPAN("")));
	assert_true(text_is_utf8(SPAN("gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80")));
	assert_true(text_is_utf8(SPAN("")));
	assert_false(text_is_utf8(SPAN("\xfc")));
	assert_false(text_is_utf8(SPAN("\xe2\x82")));
	assert_false(text_is_utf8(SPAN("\x80")));
	assert_true(text_is_utf8(SPAN("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf")));
}

static void distances_count_edits(void **state)
{
	char longest[66];

	(void)state;
	assert_int_equal(text_distance("", ""), 0);
	assert_int_equal(text_distance("host", "host"), 0);
	assert_int_equal(text_distance("", "abc"), 3);
	assert_int_equal(text_distance("abc", ""), 3);
	assert_int_equal(text_distance("kitten", "sitting"), 3);
	assert_int_equal(text_distance("host", "hsot"), 1); /* a swap is one */
	assert_int_equal(text_distance("secret_file", "secretfile"), 1);
	assert_int_equal(text_distance("user", "users"), 1);
	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	assert_int_equal(text_distance(longest, longest), 0);
	assert_int_equal(text_distance(longest, ""), 64);
	longest[64] = 'a';
	longest[65] = '\0';
	assert_true(text_distance(longest, "x") == SIZE_MAX);
	assert_true(text_distance("x", longest) == SIZE_MAX);
}

static void numbers_are_printed_in_decimal(void **state)
{
	static const struct {
		int64_t number;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ 10, "10" },
		{ -17, "-17" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};
	char room[TEXT_NUMBER_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(text_number_print(rows[i].number, room), rows[i].text);
}

static void strings_are_joined_as_far_as_they_fit(void **state)
{
	char room[8] = "1234567";

	(void)state;
	assert_string_equal(text_join(room, sizeof(room), "ab", "", "cd", NULL), "abcd");
	assert_string_equal(text_join(room, sizeof(room), "abcd", "efghij", "k", NULL), "abcdefg");
	assert_string_equal(text_join(room, 1, "a", NULL), "");
	assert_string_equal(text_join(room, sizeof(room), NULL), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(durations_are_read),
		TEST(durations_are_printed_for_people),
		TEST(sizes_are_read_and_printed),
		TEST(rates_are_read),
		TEST(numbers_are_digits_up_to_a_bound),
		TEST(base64_has_the_rows_of_rfc_4648),
		TEST(base64_that_is_not_strict_is_refused),
		TEST(coding_stops_at_the_cap_of_the_buffer),
		TEST(xtext_is_that_of_rfc_3461),
		TEST(addresses_beyond_ascii_are_written_as_rfc_6533_wants),
		TEST(a_hash_is_the_same_whatever_the_case),
		TEST(ids_come_back_and_sort_by_age),
		TEST(globs_match_as_people_expect),
		TEST(strangers_text_is_cleaned),
		TEST(cleaned_text_is_cut_between_characters),
		TEST(utf8_and_ascii_are_told_apart),
		TEST(distances_count_edits),
		TEST(numbers_are_printed_in_decimal),
		TEST(strings_are_joined_as_far_as_they_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
