/*
 * crypto - digests and random bytes (GnuTLS).
 *
 * A struct crypto_sha256 owns a library handle from crypto_sha256_new() to its end or free.
 * Threads: any, one object per thread.
 */
#ifndef CRYPTO_H
#define CRYPTO_H

#include <stddef.h>
#include <stdint.h>

enum { CRYPTO_SHA256_LEN = 32 };

struct crypto_sha256;

struct crypto_sha256 *crypto_sha256_new(void);
void crypto_sha256_update(struct crypto_sha256 *h, const void *data, size_t len);
/* Writes the digest of all bytes so far and starts anew. */
void crypto_sha256_final(struct crypto_sha256 *h, uint8_t out[CRYPTO_SHA256_LEN]);
void crypto_sha256_free(struct crypto_sha256 *h);

/* Unpredictable bytes; aborts when the system has none. */
void crypto_random(void *out, size_t len);
/* Uniform in [0, below); below > 0. */
uint64_t crypto_random_below(uint64_t below);

#endif
