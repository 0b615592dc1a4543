/* SASL exchanges of a client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "smtp/ehlo.h"
#include "smtp/sasl.h"

static void the_strongest_that_both_sides_know_is_chosen(void **state)
{
	(void)state;
	assert_int_equal(sasl_choose(SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN), SASL_ALL), SASL_PLAIN);
	assert_int_equal(sasl_choose(SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN), SASL_BIT(SASL_LOGIN)), SASL_LOGIN);
	assert_int_equal(sasl_choose(SASL_BIT(SASL_LOGIN), SASL_BIT(SASL_PLAIN)), SASL_NONE);
	assert_int_equal(sasl_choose(0, SASL_ALL), SASL_NONE);
}

static void names_are_found_in_any_case_and_only_whole(void **state)
{
	(void)state;
	assert_int_equal(sasl_find(SPAN("PLAIN")), SASL_PLAIN);
	assert_int_equal(sasl_find(SPAN("login")), SASL_LOGIN);
	assert_int_equal(sasl_find(SPAN("PLAI")), SASL_NONE);
	assert_int_equal(sasl_find(SPAN("PLAIN2")), SASL_NONE);
	assert_int_equal(sasl_find(SPAN("")), SASL_NONE);
}

static void plain_says_all_in_its_first_response(void **state)
{
	struct sasl *s = sasl_new(SASL_PLAIN, SPAN("tim"), SPAN("tanstaaftanstaaf"));
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	assert_non_null(s);
	assert_int_equal(sasl_step(s, SPAN(""), &out), SASL_DONE);
	assert_string_equal(buf_cstr(&out), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"); /* RFC 4616, 4 */
	assert_int_equal(sasl_step(s, SPAN(""), &out), SASL_BAD);
	assert_string_equal(buf_cstr(&out), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
	sasl_free(s);
	buf_fini(&out);
}

static void login_answers_twice(void **state)
{
	struct sasl *s = sasl_new(SASL_LOGIN, SPAN("user"), SPAN("secret"));
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	assert_non_null(s);
	assert_int_equal(sasl_step(s, SPAN("VXNlcm5hbWU6"), &out), SASL_MORE);
	assert_string_equal(buf_cstr(&out), "dXNlcg==");
	buf_clear(&out);
	assert_int_equal(sasl_step(s, SPAN("UGFzc3dvcmQ6"), &out), SASL_DONE);
	assert_string_equal(buf_cstr(&out), "c2VjcmV0");
	buf_clear(&out);
	assert_int_equal(sasl_step(s, SPAN("VXNlcm5hbWU6"), &out), SASL_BAD);
	assert_int_equal(out.len, 0);
	sasl_free(s);
	buf_fini(&out);
}

static void a_challenge_that_is_no_base64_ends_the_exchange(void **state)
{
	static const struct span bad[] = {
		{ "VXNlcm5hbWU", 11 }, { "VX%lcm5hbWU6", 12 }, { "=", 1 }, { "VXNl cm5hbWU6", 13 }
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sasl *s = sasl_new(SASL_LOGIN, SPAN("user"), SPAN("secret"));

		assert_int_equal(sasl_step(s, bad[i], &out), SASL_BAD);
		assert_int_equal(sasl_step(s, SPAN("VXNlcm5hbWU6"), &out), SASL_BAD);
		assert_int_equal(out.len, 0);
		sasl_free(s);
	}
	buf_fini(&out);
}

static void what_cannot_be_sent_is_refused(void **state)
{
	char big[9000];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_null(sasl_new(SASL_PLAIN, SPAN(""), SPAN("secret")));
	assert_null(sasl_new(SASL_PLAIN, SPAN("user"), SPAN("")));
	assert_null(sasl_new(SASL_PLAIN, SPAN("us\0er"), SPAN("secret")));
	assert_null(sasl_new(SASL_LOGIN, SPAN("user"), SPAN("sec\0ret")));
	assert_null(sasl_new(SASL_PLAIN, SPAN("user"), span_of(big, sizeof(big))));
	assert_null(sasl_new(SASL_NONE, SPAN("user"), SPAN("secret")));
	sasl_free(NULL);
}

static void a_full_buffer_ends_the_exchange(void **state)
{
	struct sasl *s = sasl_new(SASL_PLAIN, SPAN("user"), SPAN("secret"));
	struct buf out;

	(void)state;
	buf_init(&out, 4);
	assert_int_equal(sasl_step(s, SPAN(""), &out), SASL_BAD);
	assert_int_equal(out.len, 0);
	sasl_free(s);
	buf_fini(&out);
}

static void bytes_of_a_secret_are_sent_as_they_are(void **state)
{
	struct sasl *s = sasl_new(SASL_LOGIN, SPAN("us er"), SPAN("p\xc3\xa4ss\xff \n"));
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	assert_int_equal(sasl_step(s, SPAN(""), &out), SASL_MORE);
	buf_clear(&out);
	assert_int_equal(sasl_step(s, SPAN(""), &out), SASL_DONE);
	assert_string_equal(buf_cstr(&out), "cMOkc3P/IAo=");
	sasl_free(s);
	buf_fini(&out);
}

static void what_ehlo_offers_is_read(void **state)
{
	struct ehlo e = ehlo_parse(
		SPAN("PIPELINING.example.org\nsize 35882577\npipelining\n8BITMIME \nAUTH LOGIN  PLAIN XOAUTH2\n"
		     "STARTTLS\nXSIZE 7\nENHANCEDSTATUSCODES\n\nAUTHX PLAIN\n"));

	(void)state;
	assert_int_equal(e.extensions, EHLO_BIT(EHLO_PIPELINING) | EHLO_BIT(EHLO_SIZE) | EHLO_BIT(EHLO_8BITMIME) |
					       EHLO_BIT(EHLO_AUTH) | EHLO_BIT(EHLO_STARTTLS) |
					       EHLO_BIT(EHLO_ENHANCEDSTATUSCODES));
	assert_int_equal(e.size_bytes, 35882577);
	assert_int_equal(e.auth, SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN));
}

static void the_first_line_of_ehlo_offers_nothing(void **state)
{
	(void)state;
	assert_int_equal(ehlo_parse(SPAN("PIPELINING\n")).extensions, 0);
	assert_int_equal(ehlo_parse(SPAN("")).extensions, 0);
	assert_int_equal(ehlo_parse(SPAN("x\nPIPELINING\n")).extensions, EHLO_BIT(EHLO_PIPELINING));
}

static void a_size_that_is_no_number_is_no_limit(void **state)
{
	static const char *const lines[] = { "x\nSIZE\n", "x\nSIZE x\n", "x\nSIZE -1\n",
					     "x\nSIZE 99999999999999999999\n", "x\nSIZE 0\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct ehlo e = ehlo_parse(span_str(lines[i]));

		assert_int_equal(e.extensions, EHLO_BIT(EHLO_SIZE));
		assert_int_equal(e.size_bytes, 0);
	}
}

static void auth_is_also_read_as_it_was_once_written(void **state)
{
	struct ehlo e = ehlo_parse(SPAN("x\nAUTH=LOGIN\n"));

	(void)state;
	assert_int_equal(e.auth, SASL_BIT(SASL_LOGIN));
	assert_int_equal(e.extensions, EHLO_BIT(EHLO_AUTH));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_strongest_that_both_sides_know_is_chosen),
		cmocka_unit_test(names_are_found_in_any_case_and_only_whole),
		cmocka_unit_test(plain_says_all_in_its_first_response),
		cmocka_unit_test(login_answers_twice),
		cmocka_unit_test(a_challenge_that_is_no_base64_ends_the_exchange),
		cmocka_unit_test(what_cannot_be_sent_is_refused),
		cmocka_unit_test(a_full_buffer_ends_the_exchange),
		cmocka_unit_test(bytes_of_a_secret_are_sent_as_they_are),
		cmocka_unit_test(what_ehlo_offers_is_read),
		cmocka_unit_test(the_first_line_of_ehlo_offers_nothing),
		cmocka_unit_test(a_size_that_is_no_number_is_no_limit),
		cmocka_unit_test(auth_is_also_read_as_it_was_once_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
