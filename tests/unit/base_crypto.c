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
		cmocka_unit_test(random_bytes_differ_and_fill_what_they_should),
		cmocka_unit_test(random_numbers_stay_below_their_bound_and_reach_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
