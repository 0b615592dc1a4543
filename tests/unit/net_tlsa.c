/* TLSA records for themselves: which count, and lengths in DER. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tlsa.h"

static char zeros[64];

static void only_records_that_are_whole_and_known_are_usable(void **state)
{
	static const char sequence[] = { 0x30, 3, 1, 2, 3 }, set[] = { 0x31, 3, 1, 2, 3 };
	static const struct {
		struct tls_tlsa record;
		bool usable;
	} cases[] = {
		{ { 3, 1, 1, { zeros, 32 } }, true },        { { 2, 0, 2, { zeros, 64 } }, true },
		{ { 3, 0, 0, { sequence, 5 } }, true },      { { 0, 1, 1, { zeros, 32 } }, false },
		{ { 1, 1, 1, { zeros, 32 } }, false },       { { 4, 1, 1, { zeros, 32 } }, false },
		{ { 3, 2, 1, { zeros, 32 } }, false },       { { 3, 1, 3, { zeros, 32 } }, false },
		{ { 3, 1, 1, { zeros, 31 } }, false },       { { 3, 1, 1, { zeros, 33 } }, false },
		{ { 3, 1, 1, { zeros, 64 } }, false },       { { 3, 1, 2, { zeros, 32 } }, false },
		{ { 3, 1, 1, { zeros, 0 } }, false },        { { 3, 0, 0, { zeros, 0 } }, false },
		{ { 3, 0, 0, { sequence, 4 } }, false },     { { 3, 0, 0, { set, 5 } }, false },
		{ { 255, 255, 255, { zeros, 32 } }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (tlsa_is_usable(&cases[i].record) != cases[i].usable)
			fail_msg("case %zu", i);
}

static void weaker_digests_give_way_within_their_kind(void **state)
{
	const struct tls_tlsa records[] = {
		{ 3, 1, 1, { zeros, 32 } }, /* gives way to the next */
		{ 3, 1, 2, { zeros, 64 } }, { 3, 0, 1, { zeros, 32 } },
		{ 2, 1, 1, { zeros, 32 } }, { 3, 0, 2, { zeros, 63 } }, /* of no use, so it takes nobody's place */
	};
	struct tls_tlsa chosen[5];

	(void)state;
	assert_int_equal(tlsa_choose(records, 5, chosen), 3);
	assert_int_equal(chosen[0].matching, 2);
	assert_int_equal(chosen[1].selector, 0);
	assert_int_equal(chosen[2].usage, 2);
	assert_int_equal(tlsa_choose(records, 0, chosen), 0);
}

static void records_fit_what_they_were_made_of(void **state)
{
	static const unsigned char abc[] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
	};
	struct tls_tlsa record = { 3, 1, 1, span_of(abc, 32) };
	char text[TLSA_TEXT_SIZE];

	(void)state;
	assert_true(tlsa_fits(&record, SPAN("x"), SPAN("abc")));
	assert_false(tlsa_fits(&record, SPAN("abc"), SPAN("x")));
	record.selector = 0;
	assert_true(tlsa_fits(&record, SPAN("abc"), SPAN("x")));
	record.matching = 0;
	assert_false(tlsa_fits(&record, SPAN("abc"), SPAN("x")));
	record.data = SPAN("abc");
	assert_true(tlsa_fits(&record, SPAN("abc"), SPAN("x")));
	record.matching = 9;
	assert_false(tlsa_fits(&record, SPAN("abc"), SPAN("abc")));
	assert_string_equal(tlsa_text(&record, text), "3 0 9");
	record = (struct tls_tlsa){ 255, 255, 255, SPAN("") };
	assert_string_equal(tlsa_text(&record, text), "255 255 255");
}

/* Fed from a block of exactly that size, so that reading beyond it shows. */
static bool reads(const unsigned char *head, size_t head_len, size_t len)
{
	unsigned char *copy = mem_calloc(1, len + 1);
	struct span element = { NULL, 0 }, content = { NULL, 0 };
	char *exact;
	bool good;

	memcpy(copy, head, head_len < len ? head_len : len);
	exact = mem_dup(copy, len);
	good = tlsa_der(span_of(exact, len), &element, &content);
	if (good)
		assert_true(element.len <= len && content.data + content.len == element.data + element.len);
	mem_free(exact);
	mem_free(copy);
	return good;
}

static void lengths_in_der_are_believed_only_as_far_as_there_are_bytes(void **state)
{
	static const struct {
		unsigned char head[5];
		size_t head_len, whole;
	} cases[] = {
		{ { 0x30, 0 }, 2, 2 },
		{ { 0x30, 5 }, 2, 7 },
		{ { 0x30, 0x7f }, 2, 129 },
		{ { 0x30, 0x81, 0xff }, 3, 258 },
		{ { 0x30, 0x82, 0x01, 0x00 }, 4, 260 },
		{ { 0x30, 0x82, 0xff, 0xff }, 4, 65539 },
	};
	static const unsigned char huge[] = { 0x30, 0x83, 0, 0, 1 }, endless[] = { 0x30, 0x80, 0, 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t len = 0; len < cases[i].whole; len += len < 300 ? 1 : 977)
			assert_false(reads(cases[i].head, cases[i].head_len, len));
		assert_true(reads(cases[i].head, cases[i].head_len, cases[i].whole));
		assert_true(reads(cases[i].head, cases[i].head_len, cases[i].whole + 1));
	}
	assert_false(reads(huge, sizeof(huge), 100));
	assert_false(reads(endless, sizeof(endless), 100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_records_that_are_whole_and_known_are_usable),
		cmocka_unit_test(weaker_digests_give_way_within_their_kind),
		cmocka_unit_test(records_fit_what_they_were_made_of),
		cmocka_unit_test(lengths_in_der_are_believed_only_as_far_as_there_are_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
