/* SCRAM as a client: a server of our own that keeps to the RFCs' vectors, what hostile ones say, and libgsasl's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <gsasl.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"
#include "smtp/sasl.h"
#include "smtp/sasl_scram.h"

static const char here[] = "0123456789abcdef0123456789abcdef", there[] = "0123456789abcdef0123456789abcdeX";

/* ---------------------------------------------------------------- RFC 5802, 3, written down once more */

struct keys {
	char proof[64], signature[64]; /* base64 */
};

static void encode(struct span bytes, char out[64])
{
	struct buf text;

	buf_init(&text, 63);
	assert_true(text_base64_encode(&text, bytes));
	snprintf(out, 64, "%s", buf_cstr(&text));
	buf_fini(&text);
}

static struct keys derive(enum crypto_digest digest, const char *password, struct span salt, uint32_t iterations,
			  const char *auth_message)
{
	size_t len = digest == CRYPTO_SHA1 ? CRYPTO_SHA1_LEN : CRYPTO_SHA256_LEN;
	uint8_t salted[32], client_key[32], stored_key[32], server_key[32], signature[32];
	struct span message = span_str(auth_message);
	struct keys keys;

	crypto_pbkdf2(digest, span_str(password), salt, iterations, salted, len);
	crypto_hmac(digest, span_of(salted, len), SPAN("Client Key"), client_key);
	crypto_hash(digest, span_of(client_key, len), stored_key);
	crypto_hmac(digest, span_of(stored_key, len), message, signature);
	for (size_t i = 0; i < len; i++)
		client_key[i] ^= signature[i];
	encode(span_of(client_key, len), keys.proof);
	crypto_hmac(digest, span_of(salted, len), SPAN("Server Key"), server_key);
	crypto_hmac(digest, span_of(server_key, len), message, signature);
	encode(span_of(signature, len), keys.signature);
	return keys;
}

static void the_server_below_keeps_to_the_published_vectors(void **state)
{
	struct keys keys;
	struct buf salt;

	(void)state;
	buf_init(&salt, 64);
	/* RFC 5802, 5 */
	text_base64_decode(&salt, SPAN("QSXCR+Q6sek8bf92"));
	keys = derive(CRYPTO_SHA1, "pencil", buf_span(&salt), 4096,
		      "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
		      "s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j");
	assert_string_equal(keys.proof, "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
	assert_string_equal(keys.signature, "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
	/* RFC 7677, 3 */
	buf_clear(&salt);
	text_base64_decode(&salt, SPAN("W22ZaJ0SNY7soEsUEjb6gQ=="));
	keys = derive(CRYPTO_SHA256, "pencil", buf_span(&salt), 4096,
		      "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		      "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
	assert_string_equal(keys.proof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	assert_string_equal(keys.signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	buf_fini(&salt);
}

/* ---------------------------------------------------------------- an exchange */

/* Challenge and response as text; *out_text is to be freed. */
static enum sasl_verdict step(struct sasl *s, const char *challenge, char **out_text)
{
	struct span response = SPAN("");
	struct buf text;
	enum sasl_verdict verdict;

	buf_init(&text, 16384);
	assert_true(text_base64_encode(&text, span_str(challenge)));
	verdict = sasl_step(s, buf_span(&text), &response);
	buf_clear(&text);
	assert_true(text_base64_decode(&text, response));
	*out_text = buf_take(&text);
	buf_fini(&text);
	return verdict;
}

struct talk {
	struct sasl *sasl;
	enum crypto_digest digest;
	char header[64]; /* gs2 */
	char bare[256];  /* the first message without it */
	char first[512]; /* the server's */
	struct keys keys;
};

static struct talk begin(const struct sasl_setup *setup)
{
	struct talk talk = { .sasl = sasl_new(setup) };
	char *text;
	const char *bare;

	talk.digest = setup->mechanism == SASL_SCRAM_SHA_1 || setup->mechanism == SASL_SCRAM_SHA_1_PLUS ? CRYPTO_SHA1
													: CRYPTO_SHA256;
	assert_non_null(talk.sasl);
	assert_int_equal(step(talk.sasl, "", &text), SASL_MORE);
	bare = strstr(text, "n=");
	assert_non_null(bare);
	snprintf(talk.header, sizeof(talk.header), "%.*s", (int)(bare - text), text);
	snprintf(talk.bare, sizeof(talk.bare), "%s", bare);
	mem_free(text);
	return talk;
}

/* The proof must be right, and what it is bound to be `binding`. */
static void answer_first(struct talk *talk, const char *password, const char *binding)
{
	const char *nonce = strstr(talk->bare, ",r=") + 3;
	char *text, *bound = mem_printf("%s%s", talk->header, binding), *message, *expected;
	char channel[128];
	struct buf encoded;

	snprintf(talk->first, sizeof(talk->first), "r=%sSERVER,s=cGVwcGVy,i=4096", nonce);
	assert_int_equal(step(talk->sasl, talk->first, &text), SASL_MORE);
	buf_init(&encoded, sizeof(channel) - 1);
	assert_true(text_base64_encode(&encoded, span_str(bound)));
	snprintf(channel, sizeof(channel), "%s", buf_cstr(&encoded));
	buf_fini(&encoded);
	message = mem_printf("%s,%s,c=%s,r=%sSERVER", talk->bare, talk->first, channel, nonce);
	talk->keys = derive(talk->digest, password, SPAN("pepper"), 4096, message);
	expected = mem_printf("c=%s,r=%sSERVER,p=%s", channel, nonce, talk->keys.proof);
	assert_string_equal(text, expected);
	mem_free(expected);
	mem_free(message);
	mem_free(bound);
	mem_free(text);
}

static enum sasl_verdict answer_last(struct talk *talk, const char *form, const char *signature)
{
	char *challenge = mem_printf(form, signature), *text;
	enum sasl_verdict verdict = step(talk->sasl, challenge, &text);

	assert_string_equal(text, "");
	mem_free(text);
	mem_free(challenge);
	return verdict;
}

static struct sasl_setup setup_of(enum sasl_mechanism mechanism)
{
	return (struct sasl_setup){ .mechanism = mechanism, .user = SPAN("user"), .secret = SPAN("pencil") };
}

static void who_knows_the_password_proves_it_and_has_it_proven(void **state)
{
	(void)state;
	for (enum sasl_mechanism i = SASL_SCRAM_SHA_256; i <= SASL_SCRAM_SHA_1; i++) {
		struct sasl_setup setup = setup_of(i);
		struct talk talk = begin(&setup);
		char *text;

		assert_string_equal(talk.header, "n,,");
		assert_memory_equal(talk.bare, "n=user,r=", 9);
		answer_first(&talk, "pencil", "");
		assert_int_equal(answer_last(&talk, "v=%s", talk.keys.signature), SASL_DONE);
		/* And that is all. */
		assert_int_equal(step(talk.sasl, "", &text), SASL_BAD);
		mem_free(text);
		sasl_free(talk.sasl);
	}
}

static void names_and_passwords_are_prepared_and_quoted(void **state)
{
	struct sasl_setup setup = setup_of(SASL_SCRAM_SHA_256);
	struct talk talk;

	(void)state;
	setup.user = SPAN("a=b,c\xc2\xad");   /* a soft hyphen, mapped to nothing */
	setup.secret = SPAN("\xe2\x85\xa8x"); /* the Roman nine, compatible with IX */
	talk = begin(&setup);
	assert_memory_equal(talk.bare, "n=a=3Db=2Cc,r=", 14);
	answer_first(&talk, "IXx", "");
	assert_int_equal(answer_last(&talk, "v=%s", talk.keys.signature), SASL_DONE);
	sasl_free(talk.sasl);
}

static void a_server_that_does_not_know_the_password_is_found_out(void **state)
{
	struct sasl_setup setup = setup_of(SASL_SCRAM_SHA_256);

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct talk talk = begin(&setup);
		const char *why = "the server cannot prove that it knows the password";

		answer_first(&talk, "pencil", "");
		/* Another's signature; one that is cut; none; our own proof sent back. */
		if (i == 0) {
			assert_int_equal(answer_last(&talk, "v=%s", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
					 SASL_BAD);
		} else if (i == 1) {
			talk.keys.signature[4] = '\0';
			assert_int_equal(answer_last(&talk, "v=%s", talk.keys.signature), SASL_BAD);
		} else if (i == 2) {
			assert_int_equal(answer_last(&talk, "v=%s", ""), SASL_BAD);
		} else {
			assert_int_equal(answer_last(&talk, "v=%s", talk.keys.proof), SASL_BAD);
		}
		assert_string_equal(sasl_why(talk.sasl), why);
		sasl_free(talk.sasl);
	}
}

static void a_refusal_in_a_challenge_is_answered_once_and_never_ends_well(void **state)
{
	struct sasl_setup setup = setup_of(SASL_SCRAM_SHA_256);
	struct talk talk = begin(&setup);

	(void)state;
	answer_first(&talk, "pencil", "");
	assert_int_equal(answer_last(&talk, "%s", "e=invalid-proof,pencil"), SASL_MORE);
	assert_int_equal(sasl_reason(talk.sasl).len, strlen("invalid-proof"));
	assert_memory_equal(sasl_reason(talk.sasl).data, "invalid-proof", 13);
	assert_int_equal(answer_last(&talk, "v=%s", talk.keys.signature), SASL_BAD);
	sasl_free(talk.sasl);
	talk = begin(&setup);
	assert_int_equal(answer_last(&talk, "%s", "e=say \1 pencil"), SASL_MORE);
	assert_memory_equal(sasl_reason(talk.sasl).data, "say ? ***", sasl_reason(talk.sasl).len);
	assert_int_equal(answer_last(&talk, "%s", "e=more"), SASL_BAD);
	sasl_free(talk.sasl);
}

/* ---------------------------------------------------------------- binding (RFC 5802, 6; RFC 9266) */

static void what_is_said_of_binding_is_what_is_true(void **state)
{
	static const struct {
		enum sasl_mechanism mechanism;
		bool has_binding, could;
		const char *header;
	} rows[] = {
		{ SASL_SCRAM_SHA_256, false, false, "n,," },
		{ SASL_SCRAM_SHA_256, false, true, "n,," }, /* nothing to bind to */
		{ SASL_SCRAM_SHA_256, true, false, "n,," }, /* the server offers -PLUS, which is not wanted */
		{ SASL_SCRAM_SHA_256, true, true, "y,," },
		{ SASL_SCRAM_SHA_1, true, true, "y,," },
		{ SASL_SCRAM_SHA_256_PLUS, true, false, "p=tls-exporter,," },
		{ SASL_SCRAM_SHA_1_PLUS, true, true, "p=tls-exporter,," },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sasl_setup setup = setup_of(rows[i].mechanism);
		struct talk talk;

		setup.could_have_bound = rows[i].could;
		setup.binding = rows[i].has_binding ? span_str(here) : SPAN("");
		talk = begin(&setup);
		assert_string_equal(talk.header, rows[i].header);
		answer_first(&talk, "pencil", rows[i].header[0] == 'p' ? here : "");
		assert_int_equal(answer_last(&talk, "v=%s", talk.keys.signature), SASL_DONE);
		sasl_free(talk.sasl);
	}
}

/* ---------------------------------------------------------------- hostile challenges */

static void only_sensible_first_messages_are_answered(void **state)
{
	static const struct {
		const char *text; /* %s: our nonce */
		const char *why;
	} rows[] = {
		{ "", "makes no sense" },
		{ "r=%sX", "makes no sense" },
		{ "r=%sX,s=cGVwcGVy", "makes no sense" },
		{ "r=%sX,i=4096,s=cGVwcGVy", "makes no sense" },
		{ "r=,s=cGVwcGVy,i=4096", "makes no sense" },
		{ "r=%sX,s=,i=4096", "makes no sense" },
		{ "r=%sX,s=cGVwcGVy,i=", "makes no sense" },
		{ "r=%sX,s=cGVwcGVy,i=+4096", "makes no sense" },
		{ "r=%sX,s=cGVwcGVy,i=40x96", "makes no sense" },
		{ "r=%sX,s=cGVwcGVy,i=4096\n", "makes no sense" },
		{ "r=%sX,s=cGVwcGVy,i=99999999999999999999", "makes no sense" },
		{ "r=%sX,s=%%%%%%%%,i=4096", "makes no sense" },
		{ "r=somebody's,s=cGVwcGVy,i=4096", "makes no sense" },
		{ "r=%s,s=cGVwcGVy,i=4096", "makes no sense" }, /* nothing of the server's own */
		{ "m=x,r=%sX,s=cGVwcGVy,i=4096", "makes no sense" },
		{ "n,,n=user,r=%sX", "makes no sense" },
		{ "r=%sX,s=cGVwcGVy,i=1", "too few iterations" },
		{ "r=%sX,s=cGVwcGVy,i=4095", "too few iterations" },
		{ "r=%sX,s=cGVwcGVy,i=1000001", "too many iterations" },
		{ "r=%sX,s=cGVwcGVy,i=4294967295", "too many iterations" },
		{ "r=%sX,s=cGVwcGVy,i=18446744073709551615", "too many iterations" },
	};
	struct sasl_setup setup = setup_of(SASL_SCRAM_SHA_1);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct talk talk = begin(&setup);
		char message[512], *text;

		snprintf(message, sizeof(message), rows[i].text, strstr(talk.bare, ",r=") + 3);
		if (step(talk.sasl, message, &text) != SASL_BAD || !strstr(sasl_why(talk.sasl), rows[i].why))
			fail_msg("%s: %s, %s", message, text, sasl_why(talk.sasl));
		assert_string_equal(text, "");
		mem_free(text);
		sasl_free(talk.sasl);
	}
}

static struct sasl_scram *with_nonce(enum crypto_digest digest, const char *nonce)
{
	return sasl_scram_new(&(struct sasl_scram_setup){
		.digest = digest, .user = SPAN("user"), .password = SPAN("pencil"), .nonce = span_str(nonce) });
}

static void the_published_exchanges_are_ours(void **state)
{
	static const struct {
		enum crypto_digest digest;
		const char *nonce, *first, *server_first, *final, *server_final;
	} rows[] = {
		/* RFC 5802, 5 */
		{ CRYPTO_SHA1, "fyko+d2lbbFgONRv9qkxdawL", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
		  "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		  "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		  "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
		/* RFC 7677, 3 */
		{ CRYPTO_SHA256, "rOprNGfwEbeRWgbNEkqO", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		  "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
		  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		  "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		  "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sasl_scram *s = with_nonce(rows[i].digest, rows[i].nonce);
		struct buf out;

		buf_init(&out, 1024);
		assert_true(sasl_scram_begin(s, &out));
		assert_string_equal(buf_cstr(&out), rows[i].first);
		assert_false(sasl_scram_is_proof(s, span_str(rows[i].server_final)));
		buf_clear(&out);
		assert_null(sasl_scram_answer(s, span_str(rows[i].server_first), &out));
		assert_string_equal(buf_cstr(&out), rows[i].final);
		assert_true(sasl_scram_is_proof(s, span_str(rows[i].server_final)));
		assert_false(sasl_scram_is_proof(s, span_first(span_str(rows[i].server_final), 20)));
		assert_false(sasl_scram_is_proof(s, SPAN("v=")));
		assert_false(sasl_scram_is_proof(s, SPAN("")));
		buf_fini(&out);
		sasl_scram_free(s);
	}
	sasl_scram_free(NULL);
}

static const char *mistake(const char *form, size_t len)
{
	struct sasl_scram *s = with_nonce(CRYPTO_SHA1, "A");
	char *big = mem_alloc(len + 1), *message;
	struct buf out;
	const char *why;

	memset(big, 'A', len);
	big[len] = '\0';
	message = mem_printf(form, big);
	buf_init(&out, 2048);
	why = sasl_scram_answer(s, span_str(message), &out);
	buf_fini(&out);
	mem_free(message);
	mem_free(big);
	sasl_scram_free(s);
	return why;
}

static void what_grows_has_a_cap(void **state)
{
	(void)state;
	assert_null(mistake("r=%s,s=AAAA,i=4096", SASL_SCRAM_NONCE_MAX));
	assert_non_null(mistake("r=%s,s=AAAA,i=4096", SASL_SCRAM_NONCE_MAX + 1));
	assert_null(mistake("r=AB,s=%s,i=4096", SASL_SCRAM_SALT_MAX));
	assert_non_null(mistake("r=AB,s=%s,i=4096", SASL_SCRAM_SALT_MAX + 4));
	assert_null(mistake("r=AB,s=AAAA,i=1000000,x=%s", 1));
}

/* ---------------------------------------------------------------- libgsasl as the server */

static int callback(Gsasl *library, Gsasl_session *session, Gsasl_property property)
{
	(void)library;
	switch ((int)property) {
	case GSASL_PASSWORD: return gsasl_property_set(session, GSASL_PASSWORD, "p\xc3\xa4ncil, =");
	case GSASL_VALIDATE_SIMPLE:
		return strcmp(gsasl_property_get(session, GSASL_AUTHID), "j\xc3\xbcrgen,=") == 0 &&
				       strcmp(gsasl_property_get(session, GSASL_PASSWORD), "p\xc3\xa4ncil, =") == 0
			       ? GSASL_OK
			       : GSASL_AUTHENTICATION_ERROR;
	case GSASL_VALIDATE_EXTERNAL:
		return strcmp(gsasl_property_get(session, GSASL_AUTHZID), "j\xc3\xbcrgen,=") == 0
			       ? GSASL_OK
			       : GSASL_AUTHENTICATION_ERROR;
	default: return GSASL_NO_CALLBACK;
	}
}

struct row {
	enum sasl_mechanism mechanism;
	const char *secret, *exporter, *unique; /* the client's; the server's bindings, or NULL */
	int result;                             /* the server's */
};

static void bind_server(Gsasl_session *session, Gsasl_property property, const char *value)
{
	char *text = NULL;

	if (!value)
		return;
	assert_int_equal(gsasl_base64_to(value, 32, &text, NULL), GSASL_OK);
	gsasl_property_set(session, property, text);
	gsasl_free(text);
}

/* What the server says at its end. */
static int converse(struct sasl *client, Gsasl_session *server, bool client_first, bool *out_client_is_done)
{
	struct span response = SPAN("");
	enum sasl_verdict verdict = client_first ? sasl_step(client, SPAN(""), &response) : SASL_MORE;
	char *challenge = NULL, *line;
	int rc = GSASL_NEEDS_MORE;

	while (rc == GSASL_NEEDS_MORE && verdict != SASL_BAD) {
		line = mem_span_dup(response);
		rc = gsasl_step64(server, line, &challenge);
		mem_free(line);
		/* What comes with its last step comes before the acceptance (RFC 4954, 4). */
		if (rc == GSASL_NEEDS_MORE || (rc == GSASL_OK && challenge && *challenge))
			verdict = sasl_step(client, span_str(challenge), &response);
		gsasl_free(challenge);
		challenge = NULL;
	}
	*out_client_is_done = verdict == SASL_DONE;
	return rc;
}

static void libgsasl_lets_in_who_it_should(void **state)
{
	static const char right[] = "p\xc3\xa4ncil, =", wrong[] = "p\xc3\xa4ncil";
	static const struct row rows[] = {
		{ SASL_PLAIN, right, NULL, NULL, GSASL_OK },
		{ SASL_PLAIN, wrong, NULL, NULL, GSASL_AUTHENTICATION_ERROR },
		{ SASL_LOGIN, right, NULL, NULL, GSASL_OK },
		{ SASL_LOGIN, wrong, NULL, NULL, GSASL_AUTHENTICATION_ERROR },
		{ SASL_CRAM_MD5, right, NULL, NULL, GSASL_OK },
		{ SASL_CRAM_MD5, wrong, NULL, NULL, GSASL_AUTHENTICATION_ERROR },
		{ SASL_EXTERNAL, "", NULL, NULL, GSASL_OK },
		{ SASL_SCRAM_SHA_1, right, NULL, NULL, GSASL_OK },
		{ SASL_SCRAM_SHA_1, wrong, NULL, NULL, GSASL_AUTHENTICATION_ERROR },
		{ SASL_SCRAM_SHA_256, right, NULL, NULL, GSASL_OK },
		{ SASL_SCRAM_SHA_256, wrong, NULL, NULL, GSASL_AUTHENTICATION_ERROR },
		{ SASL_SCRAM_SHA_1_PLUS, right, here, NULL, GSASL_OK },
		{ SASL_SCRAM_SHA_256_PLUS, right, here, NULL, GSASL_OK },
		{ SASL_SCRAM_SHA_256_PLUS, wrong, here, NULL, GSASL_AUTHENTICATION_ERROR },
		/* One that could take either; the other end of another connection; one that can only take the other. */
		{ SASL_SCRAM_SHA_1_PLUS, right, here, there, GSASL_OK },
		{ SASL_SCRAM_SHA_256_PLUS, right, here, there, GSASL_OK },
		{ SASL_SCRAM_SHA_1_PLUS, right, there, NULL, GSASL_AUTHENTICATION_ERROR },
		{ SASL_SCRAM_SHA_256_PLUS, right, there, NULL, GSASL_AUTHENTICATION_ERROR },
		{ SASL_SCRAM_SHA_256_PLUS, right, there, here, GSASL_AUTHENTICATION_ERROR },
		{ SASL_SCRAM_SHA_256_PLUS, right, NULL, here, GSASL_NO_CB_TLS_EXPORTER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct sasl_setup setup = { .mechanism = row->mechanism,
					    .user = SPAN("j\xc3\xbcrgen,="),
					    .secret = span_str(row->secret),
					    .binding = row->exporter || row->unique ? span_str(here) : SPAN("") };
		struct sasl *client = sasl_new(&setup);
		bool is_done;
		Gsasl *library;
		Gsasl_session *server;
		int rc;

		assert_non_null(client);
		assert_int_equal(gsasl_init(&library), GSASL_OK);
		gsasl_callback_set(library, callback);
		assert_int_equal(gsasl_server_start(library, sasl_name(row->mechanism), &server), GSASL_OK);
		bind_server(server, GSASL_CB_TLS_EXPORTER, row->exporter);
		bind_server(server, GSASL_CB_TLS_UNIQUE, row->unique);
		rc = converse(client, server, sasl_is_client_first(row->mechanism), &is_done);
		if (rc != row->result || (rc == GSASL_OK && !is_done))
			fail_msg("row %zu, %s: %s, %s", i, sasl_name(row->mechanism), gsasl_strerror(rc),
				 sasl_why(client));
		gsasl_finish(server);
		gsasl_done(library);
		sasl_free(client);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_server_below_keeps_to_the_published_vectors),
		cmocka_unit_test(who_knows_the_password_proves_it_and_has_it_proven),
		cmocka_unit_test(names_and_passwords_are_prepared_and_quoted),
		cmocka_unit_test(a_server_that_does_not_know_the_password_is_found_out),
		cmocka_unit_test(a_refusal_in_a_challenge_is_answered_once_and_never_ends_well),
		cmocka_unit_test(what_is_said_of_binding_is_what_is_true),
		cmocka_unit_test(only_sensible_first_messages_are_answered),
		cmocka_unit_test(the_published_exchanges_are_ours),
		cmocka_unit_test(what_grows_has_a_cap),
		cmocka_unit_test(libgsasl_lets_in_who_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
