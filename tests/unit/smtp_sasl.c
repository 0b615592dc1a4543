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

static struct sasl *start(enum sasl_mechanism mechanism, struct span user, struct span secret)
{
	return sasl_new(&(struct sasl_setup){ .mechanism = mechanism, .user = user, .secret = secret });
}

/* One step; what is said is compared in base64. */
static void answers(struct sasl *s, const char *challenge, enum sasl_verdict verdict, const char *response)
{
	struct span said = SPAN("nothing was said");

	assert_int_equal(sasl_step(s, span_str(challenge), &said), verdict);
	if (verdict == SASL_BAD)
		response = "nothing was said";
	assert_int_equal(said.len, strlen(response));
	assert_memory_equal(said.data, response, said.len);
}

static void the_strongest_that_both_sides_know_is_chosen(void **state)
{
	static const enum sasl_mechanism order[] = { SASL_EXTERNAL,
						     SASL_SCRAM_SHA_256_PLUS,
						     SASL_SCRAM_SHA_1_PLUS,
						     SASL_SCRAM_SHA_256,
						     SASL_SCRAM_SHA_1,
						     SASL_OAUTHBEARER,
						     SASL_XOAUTH2,
						     SASL_PLAIN,
						     SASL_LOGIN,
						     SASL_CRAM_MD5 };
	unsigned offered = SASL_ALL;

	(void)state;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		assert_int_equal(sasl_choose(offered, SASL_ALL), order[i]);
		assert_int_equal(sasl_choose(SASL_ALL, offered), order[i]);
		offered &= ~SASL_BIT(order[i]);
	}
	assert_int_equal(offered, 0);
	assert_int_equal(sasl_choose(offered, SASL_ALL), SASL_NONE);
	assert_int_equal(sasl_choose(SASL_BIT(SASL_LOGIN), SASL_BIT(SASL_PLAIN)), SASL_NONE);
}

static void names_are_found_in_any_case_and_only_whole(void **state)
{
	(void)state;
	assert_int_equal(sasl_find(SPAN("PLAIN")), SASL_PLAIN);
	assert_int_equal(sasl_find(SPAN("login")), SASL_LOGIN);
	assert_int_equal(sasl_find(SPAN("PLAI")), SASL_NONE);
	assert_int_equal(sasl_find(SPAN("PLAIN2")), SASL_NONE);
	assert_int_equal(sasl_find(SPAN("SCRAM-SHA-256")), SASL_SCRAM_SHA_256);
	assert_int_equal(sasl_find(SPAN("SCRAM-SHA-256-PLUS")), SASL_SCRAM_SHA_256_PLUS);
	assert_int_equal(sasl_find(SPAN("")), SASL_NONE);
	for (enum sasl_mechanism i = 0; i < SASL_NONE; i++)
		assert_int_equal(sasl_find(span_str(sasl_name(i))), i);
}

static void only_these_show_the_secret(void **state)
{
	unsigned plain = 0;

	(void)state;
	for (enum sasl_mechanism i = 0; i <= SASL_NONE; i++)
		plain |= sasl_is_plain(i) ? SASL_BIT(i) : 0;
	assert_int_equal(plain, SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_XOAUTH2) |
					SASL_BIT(SASL_OAUTHBEARER));
	assert_int_equal(plain & SASL_CHALLENGED, 0);
}

static void plain_says_all_in_its_first_response(void **state)
{
	struct sasl *s = start(SASL_PLAIN, SPAN("tim"), SPAN("tanstaaftanstaaf"));

	(void)state;
	assert_non_null(s);
	answers(s, "", SASL_DONE, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"); /* RFC 4616, 4 */
	answers(s, "", SASL_BAD, NULL);
	sasl_free(s);
}

static void login_answers_twice(void **state)
{
	struct sasl *s = start(SASL_LOGIN, SPAN("user"), SPAN("secret"));

	(void)state;
	assert_non_null(s);
	answers(s, "VXNlcm5hbWU6", SASL_MORE, "dXNlcg==");
	answers(s, "UGFzc3dvcmQ6", SASL_DONE, "c2VjcmV0");
	answers(s, "VXNlcm5hbWU6", SASL_BAD, NULL);
	sasl_free(s);
}

static void cram_md5_answers_as_its_rfc_shows(void **state)
{
	struct sasl *s = start(SASL_CRAM_MD5, SPAN("tim"), SPAN("tanstaaftanstaaf"));

	(void)state;
	assert_non_null(s);
	/* RFC 2195, 2 */
	answers(s, "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", SASL_DONE,
		"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw");
	answers(s, "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", SASL_BAD, NULL);
	sasl_free(s);
}

static void empty_challenges_do_not_go_on_for_ever(void **state)
{
	struct sasl *s = start(SASL_CRAM_MD5, SPAN("tim"), SPAN("tanstaaftanstaaf"));
	struct span said;

	(void)state;
	assert_int_not_equal(sasl_step(s, SPAN(""), &said), SASL_DONE);
	answers(s, "", SASL_BAD, NULL);
	assert_string_equal(sasl_why(s), "the server's challenge makes no sense");
	sasl_free(s);
}

static void external_says_nothing_but_the_name(void **state)
{
	struct sasl *s = start(SASL_EXTERNAL, SPAN("fred@example.com"), SPAN(""));

	(void)state;
	assert_non_null(s);
	answers(s, "", SASL_DONE, "ZnJlZEBleGFtcGxlLmNvbQ==");
	answers(s, "", SASL_BAD, NULL);
	sasl_free(s);
	s = start(SASL_EXTERNAL, SPAN(""), SPAN(""));
	assert_non_null(s);
	answers(s, "", SASL_DONE, "");
	sasl_free(s);
	assert_null(start(SASL_EXTERNAL, SPAN("a\1b"), SPAN("")));
}

static void a_challenge_that_is_no_base64_ends_the_exchange(void **state)
{
	static const char *const bad[] = { "VXNlcm5hbWU", "VX%lcm5hbWU6", "=", "VXNl cm5hbWU6" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sasl *s = start(SASL_LOGIN, SPAN("user"), SPAN("secret"));

		answers(s, bad[i], SASL_BAD, NULL);
		answers(s, "VXNlcm5hbWU6", SASL_BAD, NULL);
		sasl_free(s);
	}
}

static void what_cannot_be_sent_is_refused(void **state)
{
	static const char binding[SASL_BINDING_LEN] = "x";
	char big[9000];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_null(start(SASL_PLAIN, SPAN(""), SPAN("secret")));
	assert_null(start(SASL_PLAIN, SPAN("user"), SPAN("")));
	assert_null(start(SASL_PLAIN, SPAN("us\0er"), SPAN("secret")));
	assert_null(start(SASL_LOGIN, SPAN("user"), SPAN("sec\0ret")));
	assert_null(start(SASL_PLAIN, SPAN("user"), span_of(big, sizeof(big))));
	assert_null(start(SASL_NONE, SPAN("user"), SPAN("secret")));
	/* RFC 4013: not UTF-8, and control characters. */
	assert_null(start(SASL_SCRAM_SHA_256, SPAN("user"), SPAN("sec\xff")));
	assert_null(start(SASL_SCRAM_SHA_1, SPAN("us\1er"), SPAN("secret")));
	assert_null(start(SASL_CRAM_MD5, SPAN("user"), SPAN("sec\xff")));
	/* No binding, no -PLUS. */
	assert_null(start(SASL_SCRAM_SHA_256_PLUS, SPAN("user"), SPAN("secret")));
	assert_null(sasl_new(&(struct sasl_setup){ .mechanism = SASL_SCRAM_SHA_1_PLUS,
						   .user = SPAN("user"),
						   .secret = SPAN("secret"),
						   .binding = span_of(binding, 12) }));
	sasl_free(NULL);
}

static void bytes_of_a_secret_are_sent_as_they_are(void **state)
{
	struct sasl *s = start(SASL_LOGIN, SPAN("us er"), SPAN("p\xc3\xa4ss\xff \n"));
	struct span said;

	(void)state;
	assert_int_equal(sasl_step(s, SPAN(""), &said), SASL_MORE);
	answers(s, "", SASL_DONE, "cMOkc3P/IAo=");
	sasl_free(s);
}

static void the_longest_name_and_secret_fit(void **state)
{
	char user[SASL_SECRET_MAX], secret[SASL_SECRET_MAX];
	struct span said;

	(void)state;
	memset(user, 'u', sizeof(user));
	memset(secret, 's', sizeof(secret));
	for (enum sasl_mechanism i = SASL_OAUTHBEARER; i <= SASL_PLAIN; i++) {
		struct sasl *s = start(i, span_of(user, sizeof(user)), span_of(secret, sizeof(secret)));

		assert_non_null(s);
		assert_int_equal(sasl_step(s, SPAN(""), &said), SASL_DONE);
		assert_true(said.len > 21000);
		sasl_free(s);
	}
}

/* ---------------------------------------------------------------- hiding */

static void shows(const struct sasl *s, const char *text, const char *shown)
{
	struct buf out;

	buf_init(&out, 4096);
	sasl_hide(s, span_str(text), &out);
	assert_string_equal(buf_cstr(&out), shown);
	buf_fini(&out);
}

static void a_server_that_repeats_a_secret_is_not_repeated(void **state)
{
	struct sasl *s = start(SASL_PLAIN, SPAN("tim"), SPAN("tanstaaftanstaaf"));
	struct span said;

	(void)state;
	assert_int_equal(sasl_step(s, SPAN(""), &said), SASL_DONE);
	shows(s, "", "");
	shows(s, "5.7.8 wrong", "5.7.8 wrong");
	shows(s, "tanstaaftanstaaf is wrong, tim", "*** is wrong, tim");
	shows(s, "syntax: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "syntax: AUTH PLAIN ***");
	/* Cut anywhere, as long as a piece says something; shorter pieces are words. */
	shows(s, "...pbQB0YW5zdG...", "...***...");
	shows(s, "aftansta", "***");
	shows(s, "aftanst", "aftanst");
	shows(s, "tanstaaftanstaaftanstaaf", "******");
	sasl_free(s);
	s = start(SASL_LOGIN, SPAN("tim"), SPAN("abc"));
	shows(s, "abcabdab", "***abdab"); /* a short one only whole */
	answers(s, "", SASL_MORE, "dGlt");
	answers(s, "", SASL_DONE, "YWJj");
	shows(s, "YWJj", "***");
	sasl_free(s);
	s = start(SASL_EXTERNAL, SPAN(""), SPAN(""));
	shows(s, "certificate unknown", "certificate unknown");
	sasl_free(s);
}

/* ---------------------------------------------------------------- EHLO */

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
	assert_int_equal(e.auth, SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_XOAUTH2));
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
		cmocka_unit_test(only_these_show_the_secret),
		cmocka_unit_test(plain_says_all_in_its_first_response),
		cmocka_unit_test(login_answers_twice),
		cmocka_unit_test(cram_md5_answers_as_its_rfc_shows),
		cmocka_unit_test(empty_challenges_do_not_go_on_for_ever),
		cmocka_unit_test(external_says_nothing_but_the_name),
		cmocka_unit_test(a_challenge_that_is_no_base64_ends_the_exchange),
		cmocka_unit_test(what_cannot_be_sent_is_refused),
		cmocka_unit_test(bytes_of_a_secret_are_sent_as_they_are),
		cmocka_unit_test(the_longest_name_and_secret_fit),
		cmocka_unit_test(a_server_that_repeats_a_secret_is_not_repeated),
		cmocka_unit_test(what_ehlo_offers_is_read),
		cmocka_unit_test(the_first_line_of_ehlo_offers_nothing),
		cmocka_unit_test(a_size_that_is_no_number_is_no_limit),
		cmocka_unit_test(auth_is_also_read_as_it_was_once_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
