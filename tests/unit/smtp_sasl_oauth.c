/* Tokens of OAuth: what is said with one, and what a refusal looks like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/text.h"
#include "smtp/sasl.h"
#include "smtp/sasl_oauth.h"

static struct sasl *start(enum sasl_mechanism mechanism, const char *user, const char *token, const char *host,
			  uint16_t port)
{
	return sasl_new(&(struct sasl_setup){ .mechanism = mechanism,
					      .user = span_str(user),
					      .secret = span_str(token),
					      .host = host,
					      .port = port });
}

static void answers(struct sasl *s, const char *challenge, enum sasl_verdict verdict, const char *response)
{
	struct span said = SPAN("nothing was said");

	assert_int_equal(sasl_step(s, span_str(challenge), &said), verdict);
	if (verdict == SASL_BAD)
		response = "nothing was said";
	assert_int_equal(said.len, strlen(response));
	assert_memory_equal(said.data, response, said.len);
}

static void tokens_are_told_as_published(void **state)
{
	static const struct {
		enum sasl_mechanism mechanism;
		const char *user, *token, *host;
		uint16_t port;
		const char *response;
	} rows[] = {
		/* RFC 7628, 4.1 */
		{ SASL_OAUTHBEARER, "user@example.com",
		  "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143,
		  "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRm"
		  "dDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB" },
		/* RFC 7628, 4.4: the same at port 587, by SMTP */
		{ SASL_OAUTHBEARER, "user@example.com",
		  "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 587,
		  "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRm"
		  "dDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB" },
		{ SASL_OAUTHBEARER, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", NULL, 0,
		  "bixhPXVzZXJAZXhhbXBsZS5jb20sAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0"
		  "Q2c9PQEB" },
		/* https://developers.google.com/gmail/imap/xoauth2-protocol; Microsoft's page shows the same */
		{ SASL_XOAUTH2, "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg", "unsaid", 1,
		  "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1s"
		  "emRHRXVZMjl0Q2cBAQ==" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sasl *s = start(rows[i].mechanism, rows[i].user, rows[i].token, rows[i].host, rows[i].port);

		assert_non_null(s);
		answers(s, "", SASL_DONE, rows[i].response);
		sasl_free(s);
	}
}

static void names_are_quoted_where_they_must_be(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 256);
	assert_true(sasl_oauth_bearer(&out, SPAN("a=b,c"), SPAN("t"), NULL, 0));
	assert_string_equal(buf_cstr(&out), "n,a=a=3Db=2Cc,\1auth=Bearer t\1\1");
	buf_clear(&out);
	assert_true(sasl_oauth_xoauth2(&out, SPAN("a=b,c"), SPAN("t")));
	assert_string_equal(buf_cstr(&out), "user=a=b,c\1auth=Bearer t\1\1");
	buf_fini(&out);
}

static void a_full_buffer_is_told(void **state)
{
	struct buf out;

	(void)state;
	for (size_t max = 0; max < 40; max++) {
		buf_init(&out, max);
		assert_int_equal(sasl_oauth_bearer(&out, SPAN("a,b"), SPAN("token"), "h", 1), max >= 41);
		buf_fini(&out);
		buf_init(&out, max);
		assert_int_equal(sasl_oauth_xoauth2(&out, SPAN("ab"), SPAN("token")), max >= 27);
		buf_fini(&out);
	}
}

static void what_would_part_the_message_elsewhere_is_not_sent(void **state)
{
	static const struct {
		const char *user, *token;
		bool good;
	} rows[] = {
		{ "me@example.org", "aZ09-._~+/==", true },
		{ "j\xc3\xbcrgen@example.org", "t", true },
		{ "me", "a=b", false },
		{ "me", "=", false },
		{ "me", "a b", false },
		{ "me", "a\1auth=Bearer b", false },
		{ "me", "t\xc3\xb6ken", false },
		{ "me\1auth=Bearer x", "t", false },
		{ "me\x7f", "t", false },
		{ "m\xff", "t", false },
		{ "", "t", false },
		{ "me", "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (enum sasl_mechanism m = SASL_OAUTHBEARER; m <= SASL_XOAUTH2; m++) {
			struct sasl *s = start(m, rows[i].user, rows[i].token, NULL, 0);

			if (!s == rows[i].good)
				fail_msg("%s %s", rows[i].user, rows[i].token);
			sasl_free(s);
		}
}

static void the_reason_of_a_refusal_is_read_and_answered(void **state)
{
	/* RFC 7628, 4.3 */
	static const char error[] = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIn0=",
			  text[] = "{\"status\":\"invalid_token\",\"scope\":\"example_scope\"}";
	struct sasl *s = start(SASL_OAUTHBEARER, "user@example.com", "token-that-is-secret", NULL, 0);
	struct span said;

	(void)state;
	assert_int_equal(sasl_step(s, SPAN(""), &said), SASL_DONE);
	answers(s, error, SASL_MORE, "AQ=="); /* RFC 7628, 3.2.3 */
	assert_int_equal(sasl_reason(s).len, strlen(text));
	assert_memory_equal(sasl_reason(s).data, text, sasl_reason(s).len);
	answers(s, error, SASL_BAD, NULL);
	sasl_free(s);
	s = start(SASL_XOAUTH2, "user@example.com", "token-that-is-secret", NULL, 0);
	assert_int_equal(sasl_step(s, SPAN(""), &said), SASL_DONE);
	answers(s, error, SASL_MORE, "");
	answers(s, error, SASL_BAD, NULL);
	sasl_free(s);
}

static void a_reason_is_short_clean_and_tells_no_secret(void **state)
{
	char long_text[3000];
	struct sasl *s = start(SASL_XOAUTH2, "u", "token-that-is-secret", NULL, 0);
	struct buf challenge;
	struct span said, reason;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text, "\x1b[31m token-that-is-secret", 26);
	buf_init(&challenge, 8192);
	assert_true(text_base64_encode(&challenge, span_of(long_text, sizeof(long_text))));
	assert_int_equal(sasl_step(s, SPAN(""), &said), SASL_DONE);
	assert_int_equal(sasl_step(s, buf_span(&challenge), &said), SASL_MORE);
	reason = sasl_reason(s);
	assert_int_equal(reason.len, 200);
	assert_memory_equal(reason.data, "?[31m ***xxx", 12);
	sasl_free(s);
	/* The message itself, sent back. */
	s = start(SASL_XOAUTH2, "u", "token-that-is-secret", NULL, 0);
	assert_int_equal(sasl_step(s, SPAN(""), &said), SASL_DONE);
	buf_clear(&challenge);
	assert_true(text_base64_encode(&challenge, said));
	assert_int_equal(sasl_step(s, buf_span(&challenge), &said), SASL_MORE);
	assert_int_equal(sasl_reason(s).len, 3);
	assert_memory_equal(sasl_reason(s).data, "***", 3);
	sasl_free(s);
	buf_fini(&challenge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_are_told_as_published),
		cmocka_unit_test(names_are_quoted_where_they_must_be),
		cmocka_unit_test(a_full_buffer_is_told),
		cmocka_unit_test(what_would_part_the_message_elsewhere_is_not_sent),
		cmocka_unit_test(the_reason_of_a_refusal_is_read_and_answered),
		cmocka_unit_test(a_reason_is_short_clean_and_tells_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
