/* Digests and random bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"

static const char *hex_of(struct crypto_sha256 *h)
{
	static char text[2 * CRYPTO_SHA256_LEN + 1];
	uint8_t digest[CRYPTO_SHA256_LEN];

	crypto_sha256_final(h, digest);
	for (int i = 0; i < CRYPTO_SHA256_LEN; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

static void sha256_gives_the_known_digests_and_starts_anew(void **state)
{
	struct crypto_sha256 *h = crypto_sha256_new();

	(void)state;
	assert_string_equal(hex_of(h), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	crypto_sha256_update(h, "abc", 3);
	assert_string_equal(hex_of(h), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypto_sha256_update(h, "a", 1);
	crypto_sha256_update(h, "", 0);
	crypto_sha256_update(h, "bc", 2);
	assert_string_equal(hex_of(h), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	for (int i = 0; i < 1000; i++)
		crypto_sha256_update(
			h,
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			"aaaaaaaaaaaaaaaa",
			100);
	crypto_sha256_free(h);
	crypto_sha256_free(NULL);
}

static const char *hex(const uint8_t *data, size_t len)
{
	static char text[129];

	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", data[i]);
	return text;
}

/* FIPS 180-4, RFC 2202 and 4231 (case 2), RFC 6070 and 7914 (11). */
static void digests_and_what_is_made_of_them_are_the_known_ones(void **state)
{
	uint8_t out[64];

	(void)state;
	crypto_hash(CRYPTO_SHA256, SPAN("abc"), out);
	assert_string_equal(hex(out, 32), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypto_hash(CRYPTO_SHA1, SPAN("abc"), out);
	assert_string_equal(hex(out, 20), "a9993e364706816aba3e25717850c26c9cd0d89d");
	crypto_hash(CRYPTO_SHA512, SPAN("abc"), out);
	assert_string_equal(hex(out, 64), "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
					  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
	crypto_hmac(CRYPTO_SHA512, SPAN("Jefe"), SPAN("what do ya want for nothing?"), out);
	assert_string_equal(hex(out, 64), "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
					  "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
	crypto_hmac(CRYPTO_SHA1, SPAN("Jefe"), SPAN("what do ya want for nothing?"), out);
	assert_string_equal(hex(out, 20), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
	crypto_hmac(CRYPTO_SHA256, SPAN("Jefe"), SPAN("what do ya want for nothing?"), out);
	assert_string_equal(hex(out, 32), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	crypto_pbkdf2(CRYPTO_SHA1, SPAN("password"), SPAN("salt"), 4096, out, 20);
	assert_string_equal(hex(out, 20), "4b007901b765489abead49d926f721d065a429c1");
	crypto_pbkdf2(CRYPTO_SHA256, SPAN("passwd"), SPAN("salt"), 1, out, 64);
	assert_string_equal(hex(out, 64), "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
					  "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
}

static void equal_is_told_from_unequal(void **state)
{
	(void)state;
	assert_true(crypto_equal("abc", "abd", 2));
	assert_false(crypto_equal("abc", "abd", 3));
	assert_true(crypto_equal("a", "b", 0));
}

static void random_bytes_differ_and_fill_what_they_should(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 }, guard[3] = { 7, 7, 7 };

	(void)state;
	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	crypto_random(guard + 1, 0);
	assert_int_equal(guard[1], 7);
}

static void random_numbers_stay_below_their_bound_and_reach_all_of_it(void **state)
{
	unsigned seen[5] = { 0 };

	(void)state;
	for (int i = 0; i < 2000; i++) {
		uint64_t n = crypto_random_below(5);

		assert_true(n < 5);
		seen[n]++;
		assert_int_equal(crypto_random_below(1), 0);
		assert_true(crypto_random_below(UINT64_MAX) < UINT64_MAX);
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(seen[i], 250, 550);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_gives_the_known_digests_and_starts_anew),
		cmocka_unit_test(digests_and_what_is_made_of_them_are_the_known_ones),
		cmocka_unit_test(equal_is_told_from_unequal),
		cmocka_unit_test(random_bytes_differ_and_fill_what_they_should),
		cmocka_unit_test(random_numbers_stay_below_their_bound_and_reach_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
