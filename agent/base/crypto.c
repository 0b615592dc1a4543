#include "base/crypto.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"

struct crypto_sha256 {
	gnutls_hash_hd_t handle;
};

struct crypto_sha256 *crypto_sha256_new(void)
{
	struct crypto_sha256 *h = MEM_NEW(struct crypto_sha256);

	if (gnutls_hash_init(&h->handle, GNUTLS_DIG_SHA256) != 0)
		abort();
	return h;
}

void crypto_sha256_update(struct crypto_sha256 *h, const void *data, size_t len)
{
	if (gnutls_hash(h->handle, data, len) != 0)
		abort();
}

void crypto_sha256_final(struct crypto_sha256 *h, uint8_t out[CRYPTO_SHA256_LEN])
{
	gnutls_hash_output(h->handle, out);
}

void crypto_sha256_free(struct crypto_sha256 *h)
{
	if (!h)
		return;
	gnutls_hash_deinit(h->handle, NULL);
	mem_free(h);
}

static gnutls_mac_algorithm_t mac_of(enum crypto_digest digest)
{
	switch (digest) {
	case CRYPTO_SHA256: return GNUTLS_MAC_SHA256;
	case CRYPTO_SHA1: return GNUTLS_MAC_SHA1;
	case CRYPTO_SHA512: return GNUTLS_MAC_SHA512;
	}
	abort();
}

void crypto_hash(enum crypto_digest digest, struct span data, uint8_t *out)
{
	/* The library numbers a digest and the HMAC made of it alike. */
	if (gnutls_hash_fast((gnutls_digest_algorithm_t)mac_of(digest), data.data, data.len, out) != 0)
		abort();
}

void crypto_hmac(enum crypto_digest digest, struct span key, struct span data, uint8_t *out)
{
	if (gnutls_hmac_fast(mac_of(digest), key.data, key.len, data.data, data.len, out) != 0)
		abort();
}

static gnutls_datum_t datum_of(struct span s)
{
	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)s.data, (unsigned)s.len };
}

void crypto_pbkdf2(enum crypto_digest digest, struct span password, struct span salt, uint32_t iterations, uint8_t *out,
		   size_t out_len)
{
	gnutls_datum_t key = datum_of(password), with = datum_of(salt);

	if (gnutls_pbkdf2(mac_of(digest), &key, &with, iterations, out, out_len) != 0)
		abort();
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return gnutls_memcmp(a, b, len) == 0;
}

void crypto_random(void *out, size_t len)
{
	unsigned char *p = out;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}

uint64_t crypto_random_below(uint64_t below)
{
	/* Values below 2^64 mod `below` would favour small results: draw again. */
	uint64_t skip = -below % below, value;

	do {
		crypto_random(&value, sizeof(value));
	} while (value < skip);
	return value % below;
}
