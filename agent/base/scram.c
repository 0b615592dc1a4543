#include "base/scram.h"

#include "base/crypto.h"
#include "base/text.h"

static const struct {
	const char *name;
	enum crypto_digest digest;
	size_t key_len;
} rows[] = {
	[SCRAM_SHA_256] = { "SCRAM-SHA-256", CRYPTO_SHA256, 32 },
	[SCRAM_SHA_1] = { "SCRAM-SHA-1", CRYPTO_SHA1, 20 },
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == SCRAM_HASHES, "a row for each hash");

const char *scram_name(enum scram_hash hash)
{
	return rows[hash].name;
}

size_t scram_key_len(enum scram_hash hash)
{
	return rows[hash].key_len;
}

/* RFC 5802, 3: SaltedPassword, ClientKey, StoredKey, ServerKey. */
void scram_derive(struct scram_verifier *verifier, struct span password)
{
	enum crypto_digest digest = rows[verifier->hash].digest;
	size_t len = rows[verifier->hash].key_len;
	uint8_t salted[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX];
	struct span salt = span_of(verifier->salt, verifier->salt_len);

	crypto_pbkdf2(digest, password, salt, verifier->iterations, salted, len);
	crypto_hmac(digest, span_of(salted, len), SPAN("Client Key"), client);
	crypto_hash(digest, span_of(client, len), verifier->stored_key);
	crypto_hmac(digest, span_of(salted, len), SPAN("Server Key"), verifier->server_key);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
}

bool scram_fits(const struct scram_verifier *verifier, struct span password)
{
	struct scram_verifier other = *verifier;
	bool fits;

	scram_derive(&other, password);
	fits = crypto_equal(other.stored_key, verifier->stored_key, rows[verifier->hash].key_len);
	explicit_bzero(&other, sizeof(other));
	return fits;
}

/* ---------------------------------------------------------------- text */

/* What stands before `end`, which is taken off as well. False: there is no `end`. */
static bool take_until(struct span *rest, char end, struct span *out)
{
	size_t at = span_find(*rest, end);

	if (at == rest->len)
		return false;
	*out = span_first(*rest, at);
	*rest = span_from(*rest, at + 1);
	return true;
}

static bool decode(struct span base64, size_t least, size_t most, uint8_t *out, size_t *out_len)
{
	struct buf decoded;
	struct span s;
	bool good;

	buf_init(&decoded, SCRAM_SALT_MAX);
	good = text_base64_decode(&decoded, base64);
	s = buf_span(&decoded);
	good = good && s.len >= least && s.len <= most;
	if (good) {
		memcpy(out, s.data, s.len);
		*out_len = s.len;
	}
	buf_fini(&decoded);
	return good;
}

bool scram_read(struct span text, struct scram_verifier *out)
{
	struct scram_verifier verifier = { .hash = 0 };
	struct span name, iterations, salt, stored;
	uint64_t number;
	size_t len, ignored;

	if (!take_until(&text, '$', &name) || !take_until(&text, ':', &iterations) || !take_until(&text, '$', &salt) ||
	    !take_until(&text, ':', &stored))
		return false;
	while (verifier.hash < SCRAM_HASHES && !span_equals(name, span_str(rows[verifier.hash].name)))
		verifier.hash++;
	if (verifier.hash == SCRAM_HASHES || !text_number(iterations, SCRAM_ITERATIONS_MAX, &number) ||
	    number < SCRAM_ITERATIONS_MIN)
		return false;
	verifier.iterations = (uint32_t)number;
	len = rows[verifier.hash].key_len;
	if (!decode(salt, 1, SCRAM_SALT_MAX, verifier.salt, &verifier.salt_len) ||
	    !decode(stored, len, len, verifier.stored_key, &ignored) ||
	    !decode(text, len, len, verifier.server_key, &ignored))
		return false;
	*out = verifier;
	return true;
}

bool scram_write(struct buf *out, const struct scram_verifier *verifier)
{
	size_t before = out->len, len = rows[verifier->hash].key_len;
	bool good = buf_printf(out, "%s$%u:", rows[verifier->hash].name, verifier->iterations) &&
		    text_base64_encode(out, span_of(verifier->salt, verifier->salt_len)) && buf_append_char(out, '$') &&
		    text_base64_encode(out, span_of(verifier->stored_key, len)) && buf_append_char(out, ':') &&
		    text_base64_encode(out, span_of(verifier->server_key, len));

	if (!good)
		buf_truncate(out, before);
	return good;
}
