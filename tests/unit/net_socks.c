/* SOCKS5 from the client's side: what is said, what is understood, whole and cut at every byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/socks.h"

#define NAME "mx.example.org"
/* VER REP RSV ATYP and an address of the proxy's */
#define BOUND "\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34"

struct row {
	const char *name;
	const char *host, *user, *password;
	struct span said;  /* by the proxy */
	struct span asked; /* by us */
	enum socks_verdict verdict;
	const char *text;
	size_t behind; /* bytes of `said` that it never asks for */
};

static const struct row rows[] = {
	{ "a name", NAME, NULL, NULL, SPAN("\x05\x00" BOUND), SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"),
	  SOCKS_DONE, "", 0 },
	{ "an IPv4 address", "192.0.2.1", NULL, NULL, SPAN("\x05\x00" BOUND),
	  SPAN("\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x19"), SOCKS_DONE, "", 0 },
	{ "an IPv6 address", "2001:db8::1", NULL, NULL, SPAN("\x05\x00" BOUND),
	  SPAN("\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x19"), SOCKS_DONE, "", 0 },
	{ "a server that speaks at once", NAME, NULL, NULL, SPAN("\x05\x00" BOUND "220 hello\r\n"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_DONE, "", 11 },
	{ "an answer with an IPv6 address", NAME, NULL, NULL,
	  SPAN("\x05\x00\x05\x00\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_DONE, "", 0 },
	{ "an answer with a name", NAME, NULL, NULL, SPAN("\x05\x00\x05\x00\x00\x03\x02pc\x12\x34"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_DONE, "", 0 },
	{ "an answer with an empty name", NAME, NULL, NULL, SPAN("\x05\x00\x05\x00\x00\x03\x00\x12\x34"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_DONE, "", 0 },
	{ "user and password", NAME, "me", "secret", SPAN("\x05\x02\x01\x00" BOUND),
	  SPAN("\x05\x02\x00\x02\x01\x02me\x06secret\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_DONE, "", 0 },
	{ "a user without password", NAME, "me", NULL, SPAN("\x05\x02\x01\x00" BOUND),
	  SPAN("\x05\x02\x00\x02\x01\x02me\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_DONE, "", 0 },
	{ "a password that nobody wants", NAME, "me", "secret", SPAN("\x05\x00" BOUND),
	  SPAN("\x05\x02\x00\x02\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_DONE, "", 0 },
	{ "a wrong password", NAME, "me", "secret", SPAN("\x05\x02\x01\x01"),
	  SPAN("\x05\x02\x00\x02\x01\x02me\x06secret"), SOCKS_BAD, "it refuses user and password", 0 },
	{ "a login where there is no user", NAME, NULL, NULL, SPAN("\x05\xff"), SPAN("\x05\x01\x00"), SOCKS_BAD,
	  "it wants a login, and the configuration names no user", 0 },
	{ "a login that was not offered", NAME, NULL, NULL, SPAN("\x05\x02"), SPAN("\x05\x01\x00"), SOCKS_BAD,
	  "it chose a way to log in that it was not offered", 0 },
	{ "GSSAPI that was not offered", NAME, "me", "secret", SPAN("\x05\x01"), SPAN("\x05\x02\x00\x02"), SOCKS_BAD,
	  "it chose a way to log in that it was not offered", 0 },
	{ "nothing that was offered", NAME, "me", "secret", SPAN("\x05\xff"), SPAN("\x05\x02\x00\x02"), SOCKS_BAD,
	  "it takes neither user and password nor nobody", 0 },
	{ "SOCKS4", NAME, NULL, NULL, SPAN("\x00\x5b"), SPAN("\x05\x01\x00"), SOCKS_BAD, "it does not speak SOCKS5",
	  0 },
	{ "an SMTP server in its place", NAME, NULL, NULL, SPAN("22"), SPAN("\x05\x01\x00"), SOCKS_BAD,
	  "it does not speak SOCKS5", 0 },
	{ "another version behind the login", NAME, NULL, NULL, SPAN("\x05\x00\x04\x00"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_BAD, "its answer is not SOCKS5", 0 },
	{ "an address of no kind", NAME, NULL, NULL, SPAN("\x05\x00\x05\x00\x00\x02\x00"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_BAD, "its answer is not SOCKS5", 0 },
	{ "connection refused", NAME, NULL, NULL, SPAN("\x05\x00\x05\x05"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_REFUSED, "the host refuses the connection",
	  0 },
	{ "host unreachable", NAME, NULL, NULL, SPAN("\x05\x00\x05\x04"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_REFUSED, "the host cannot be reached", 0 },
	{ "not allowed", NAME, NULL, NULL, SPAN("\x05\x00\x05\x02"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_REFUSED,
	  "its rules do not allow the connection", 0 },
	{ "an unknown failure", NAME, NULL, NULL, SPAN("\x05\x00\x05\xf0"),
	  SPAN("\x05\x01\x00\x05\x01\x00\x03\x0e" NAME "\x00\x19"), SOCKS_REFUSED,
	  "it failed with the unknown code 240", 0 },
};

/* Feeds at most `piece` bytes at once; what is left over was never asked for. */
static enum socks_verdict play(const struct row *row, size_t piece, struct buf *asked, size_t *out_left, char *text)
{
	struct socks_setup setup = { .host = row->host, .port = 25, .user = row->user, .password = row->password };
	enum socks_verdict verdict = SOCKS_MORE;
	struct span left = row->said;
	struct socks s;

	assert_true(socks_init(&s, &setup));
	for (;;) {
		size_t want = socks_wants(&s), len = want < left.len ? want : left.len;
		char *copy;

		buf_append_span(asked, socks_output(&s));
		socks_sent(&s, socks_output(&s).len);
		if (verdict != SOCKS_MORE || !len)
			break;
		len = len < piece ? len : piece;
		copy = mem_dup(left.data, len);
		verdict = socks_feed(&s, span_of(copy, len));
		left = span_from(left, len);
		mem_free(copy);
	}
	if (verdict != SOCKS_MORE)
		assert_int_equal(socks_wants(&s), 0);
	strcpy(text, socks_text(&s));
	*out_left = left.len;
	socks_fini(&s);
	return verdict;
}

static void what_is_said_and_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (size_t piece = 1; piece <= 300; piece = piece == 1 ? 2 : piece == 2 ? 3 : piece == 3 ? 300 : 301) {
			const struct row *row = &rows[i];
			struct buf asked;
			size_t left;
			char text[SOCKS_TEXT_SIZE];
			enum socks_verdict verdict;

			buf_init(&asked, 2048);
			verdict = play(row, piece, &asked, &left, text);
			if (verdict != row->verdict || strcmp(text, row->text) != 0 ||
			    (verdict == SOCKS_DONE && left != row->behind) ||
			    !span_equals(buf_span(&asked), row->asked))
				fail_msg("%s in pieces of %zu: verdict %d, \"%s\", %zu left, %zu asked", row->name,
					 piece, verdict, text, left, asked.len);
			buf_fini(&asked);
		}
}

static void an_answer_that_is_cut_off_is_none(void **state)
{
	const struct row *row = &rows[7];

	(void)state;
	for (size_t len = 0; len < row->said.len; len++) {
		struct row cut = *row;
		struct buf asked;
		size_t left;
		char text[SOCKS_TEXT_SIZE];

		cut.said.len = len;
		buf_init(&asked, 2048);
		assert_int_equal(play(&cut, 300, &asked, &left, text), SOCKS_MORE);
		buf_fini(&asked);
	}
}

static void what_cannot_be_said_is_refused_at_once(void **state)
{
	char longest[300];
	struct socks_setup setup = { .host = longest, .port = 25 };
	struct socks s;

	(void)state;
	memset(longest, 'a', sizeof longest);
	longest[256] = '\0';
	assert_false(socks_init(&s, &setup));
	assert_true(socks_text(&s)[0]);
	assert_int_equal(socks_wants(&s), 0);
	longest[255] = '\0';
	assert_true(socks_init(&s, &setup));
	setup = (struct socks_setup){ .host = "", .port = 25 };
	assert_false(socks_init(&s, &setup));
	longest[255] = 'a';
	setup = (struct socks_setup){ .host = "a", .port = 25, .user = longest };
	assert_false(socks_init(&s, &setup));
	setup = (struct socks_setup){ .host = "a", .port = 25, .user = "a", .password = longest };
	assert_false(socks_init(&s, &setup));
}

static void a_proxy_that_does_not_wait_is_understood(void **state)
{
	char user[256], password[256], host[256];
	struct socks_setup setup = { .host = host, .port = 25, .user = user, .password = password };
	struct socks s;

	(void)state;
	memset(user, 'u', 255), user[255] = '\0';
	memset(password, 'p', 255), password[255] = '\0';
	memset(host, 'h', 255), host[255] = '\0';
	assert_true(socks_init(&s, &setup));
	/* All of it stands in the output, of which nothing was sent yet. */
	assert_int_equal(socks_feed(&s, span_of("\x05\x02", 2)), SOCKS_MORE);
	assert_int_equal(socks_feed(&s, span_of("\x01\x00", 2)), SOCKS_MORE);
	assert_int_equal(socks_output(&s).len, 4 + 3 + 510 + 4 + 256 + 2);
	socks_fini(&s);
}

static void the_password_is_gone_when_it_was_sent(void **state)
{
	struct socks_setup setup = { .host = NAME, .port = 25, .user = "me", .password = "hush-hush" };
	struct socks s;

	(void)state;
	assert_true(socks_init(&s, &setup));
	socks_sent(&s, 4);
	assert_int_equal(socks_feed(&s, span_of("\x05\x02", 2)), SOCKS_MORE);
	socks_sent(&s, socks_output(&s).len);
	assert_null(memmem(s.out, sizeof s.out, "hush", 4));
	socks_fini(&s);
	assert_null(memmem(&s, sizeof s, "hush", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_and_understood),
		cmocka_unit_test(an_answer_that_is_cut_off_is_none),
		cmocka_unit_test(what_cannot_be_said_is_refused_at_once),
		cmocka_unit_test(a_proxy_that_does_not_wait_is_understood),
		cmocka_unit_test(the_password_is_gone_when_it_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
