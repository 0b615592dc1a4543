#include "bodyhash.h"

#include "base/crypto.h"

static void *begin(void)
{
	return crypto_sha256_new();
}

static void update(void *h, const void *data, size_t len)
{
	crypto_sha256_update(h, data, len);
}

static void finish(void *h, uint8_t out[32])
{
	crypto_sha256_final(h, out);
}

static void drop(void *h)
{
	crypto_sha256_free(h);
}

const struct queue_hash bodyhash_sha256 = { .new = begin, .update = update, .final = finish, .free = drop };
