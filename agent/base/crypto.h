/*
 * crypto - digests, what is made of them, and random bytes (GnuTLS).
 *
 * A struct crypto_sha256 owns a library handle from crypto_sha256_new() to its end or free.
 * Threads: any, one object per thread.
 */
#ifndef CRYPTO_H
#define CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { CRYPTO_SHA256_LEN = 32, CRYPTO_SHA1_LEN = 20, CRYPTO_SHA512_LEN = 64 };

enum crypto_digest { CRYPTO_SHA256, CRYPTO_SHA1, CRYPTO_SHA512 };

struct crypto_sha256;

struct crypto_sha256 *crypto_sha256_new(void);
void crypto_sha256_update(struct crypto_sha256 *h, const void *data, size_t len);
/* Writes the digest of all bytes so far and starts anew. */
void crypto_sha256_final(struct crypto_sha256 *h, uint8_t out[CRYPTO_SHA256_LEN]);
void crypto_sha256_free(struct crypto_sha256 *h);

/* The same in one call; `out` has room for the digest. */
void crypto_hash(enum crypto_digest digest, struct span data, uint8_t *out);
/* RFC 2104. */
void crypto_hmac(enum crypto_digest digest, struct span key, struct span data, uint8_t *out);
/* RFC 8018, 5.2, with the HMAC of that digest; `out_len` bytes. */
void crypto_pbkdf2(enum crypto_digest digest, struct span password, struct span salt, uint32_t iterations, uint8_t *out,
		   size_t out_len);
/* Takes as long whatever the answer. */
bool crypto_equal(const void *a, const void *b, size_t len);

/* Unpredictable bytes; aborts when the system has none. */
void crypto_random(void *out, size_t len);
/* Uniform in [0, below); below > 0. */
uint64_t crypto_random_below(uint64_t below);

#endif
