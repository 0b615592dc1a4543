/* Verifiers of passwords: the RFCs' own examples, their text, and what is no verifier. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/scram.h"
#include "base/text.h"

/* RFC 5802, 5, and RFC 7677, 3: user "user", password "pencil". The RFCs show messages; stored and server key follow
 * from them, and the proof and the signature are checked against the keys. */
static const struct vector {
	enum scram_hash hash;
	const char *salt;
	const char *bare, *first, *final; /* client-first-bare, server-first, client-final without proof */
	const char *proof, *signature;    /* p= and v= */
} vectors[] = {
	{ SCRAM_SHA_1, "QSXCR+Q6sek8bf92", "n=user,r=fyko+d2lbbFgONRv9qkxdawL",
	  "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
	  "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
	  "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ SCRAM_SHA_256, "W22ZaJ0SNY7soEsUEjb6gQ==", "n=user,r=rOprNGfwEbeRWgbNEkqO",
	  "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
	  "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static struct scram_verifier derived(const struct vector *vector, const char *password)
{
	struct scram_verifier v = { .hash = vector->hash, .iterations = 4096 };
	struct buf salt;

	buf_init(&salt, 64);
	assert_true(text_base64_decode(&salt, span_str(vector->salt)));
	memcpy(v.salt, buf_span(&salt).data, salt.len);
	v.salt_len = salt.len;
	buf_fini(&salt);
	scram_derive(&v, span_str(password));
	return v;
}

static void assert_base64(const uint8_t *data, size_t len, const char *want)
{
	struct buf text;

	buf_init(&text, 256);
	text_base64_encode(&text, span_of(data, len));
	assert_string_equal(buf_cstr(&text), want);
	buf_fini(&text);
}

static void the_keys_make_the_proofs_and_signatures_of_the_rfcs(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct vector *vector = &vectors[i];
		enum crypto_digest digest = vector->hash == SCRAM_SHA_1 ? CRYPTO_SHA1 : CRYPTO_SHA256;
		struct scram_verifier v = derived(vector, "pencil");
		size_t len = scram_key_len(vector->hash);
		uint8_t signature[32], key[32], stored[32];
		struct buf message, proof;

		buf_init(&message, 1024);
		buf_init(&proof, 64);
		buf_printf(&message, "%s,%s,%s", vector->bare, vector->first, vector->final);
		crypto_hmac(digest, span_of(v.server_key, len), buf_span(&message), signature);
		assert_base64(signature, len, vector->signature);
		/* The proof is the client's key under the stored key's signature. */
		crypto_hmac(digest, span_of(v.stored_key, len), buf_span(&message), signature);
		assert_true(text_base64_decode(&proof, span_str(vector->proof)));
		assert_int_equal(proof.len, len);
		for (size_t j = 0; j < len; j++)
			key[j] = signature[j] ^ (uint8_t)buf_span(&proof).data[j];
		crypto_hash(digest, span_of(key, len), stored);
		assert_memory_equal(stored, v.stored_key, len);
		buf_fini(&message);
		buf_fini(&proof);
	}
}

static void a_password_fits_its_verifier_and_no_other(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct scram_verifier v = derived(&vectors[i], "pencil");

		assert_true(scram_fits(&v, SPAN("pencil")));
		assert_false(scram_fits(&v, SPAN("pencil ")));
		assert_false(scram_fits(&v, SPAN("Pencil")));
		assert_false(scram_fits(&v, SPAN("")));
		v.salt[0] ^= 1;
		assert_false(scram_fits(&v, SPAN("pencil")));
	}
}

static void the_text_of_a_verifier_is_read_as_it_was_written(void **state)
{
	struct buf text;
	struct scram_verifier v, again;

	(void)state;
	buf_init(&text, SCRAM_TEXT_MAX);
	for (size_t i = 0; i < 2; i++) {
		v = derived(&vectors[i], "pencil");
		buf_clear(&text);
		assert_true(scram_write(&text, &v));
		assert_true(scram_read(buf_span(&text), &again));
		assert_int_equal(again.hash, v.hash);
		assert_int_equal(again.iterations, 4096);
		assert_int_equal(again.salt_len, v.salt_len);
		assert_memory_equal(again.salt, v.salt, v.salt_len);
		assert_true(scram_fits(&again, SPAN("pencil")));
	}
	/* As RFC 5803 writes it, and PostgreSQL stores it. */
	assert_string_equal(buf_cstr(&text),
			    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
			    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
	/* All of it or nothing. */
	text.max = 100;
	buf_clear(&text);
	assert_false(scram_write(&text, &v));
	assert_int_equal(text.len, 0);
	text.max = SCRAM_TEXT_MAX;
	v.salt_len = SCRAM_SALT_MAX;
	v.iterations = SCRAM_ITERATIONS_MAX;
	assert_true(scram_write(&text, &v));
	buf_fini(&text);
}

static void what_is_no_verifier_is_refused(void **state)
{
	static const char key[] = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", salt[] = "W22ZaJ0SNY7soEsUEjb6gQ==";
	static const struct {
		const char *name, *format;
	} rows[] = {
		{ "too few iterations", "SCRAM-SHA-256$4095:%s$%s:%s" },
		{ "too many iterations", "SCRAM-SHA-256$10000001:%s$%s:%s" },
		{ "no number", "SCRAM-SHA-256$4096x:%s$%s:%s" },
		{ "an unknown hash", "SCRAM-SHA-512$4096:%s$%s:%s" },
		{ "another case", "scram-sha-256$4096:%s$%s:%s" },
		{ "keys that are too long", "SCRAM-SHA-1$4096:%s$%s:%s" },
		{ "something behind it", "SCRAM-SHA-256$4096:%s$%s:%s:" },
		{ "a blank", "SCRAM-SHA-256$4096: %s$%s:%s" },
	};
	struct scram_verifier v;
	struct buf text;

	(void)state;
	buf_init(&text, 1024);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[512];

		buf_clear(&text);
		memset(&v, 7, sizeof(v));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(line, sizeof(line), rows[i].format, salt, key, key);
#pragma GCC diagnostic pop
		if (scram_read(span_str(line), &v))
			fail_msg("%s", rows[i].name);
		assert_int_equal(v.iterations, 0x07070707);
	}
	/* Every beginning of a good one. */
	buf_printf(&text, "SCRAM-SHA-256$4096:%s$%s:%s", salt, key, key);
	assert_true(scram_read(buf_span(&text), &v));
	for (size_t len = 0; len < text.len; len++)
		assert_false(scram_read(span_first(buf_span(&text), len), &v));
	buf_clear(&text);
	buf_printf(&text, "SCRAM-SHA-256$4096:$%s:%s", key, key);
	assert_false(scram_read(buf_span(&text), &v)); /* no salt */
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_keys_make_the_proofs_and_signatures_of_the_rfcs),
		cmocka_unit_test(a_password_fits_its_verifier_and_no_other),
		cmocka_unit_test(the_text_of_a_verifier_is_read_as_it_was_written),
		cmocka_unit_test(what_is_no_verifier_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
