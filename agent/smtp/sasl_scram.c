#include "smtp/sasl_scram.h"

#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"

enum { MESSAGE_MAX = 40 * 1024, KEY_MAX = CRYPTO_SHA256_LEN };

static const char SENSELESS[] = "the server's challenge makes no sense";

struct sasl_scram {
	enum crypto_digest digest;
	char *password, *nonce;
	size_t password_len;
	struct buf bare;    /* the first message behind its header */
	struct buf binding; /* the header, and what is bound to */
	size_t header_len;
	uint8_t signature[KEY_MAX]; /* the server's, as it has to be */
	bool is_answered;
};

static size_t key_len(enum crypto_digest digest)
{
	return digest == CRYPTO_SHA1 ? CRYPTO_SHA1_LEN : CRYPTO_SHA256_LEN;
}

/* RFC 5802, 5.1: saslname. */
static void append_name(struct buf *out, struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];

		if (c == ',')
			buf_append_str(out, "=2C");
		else if (c == '=')
			buf_append_str(out, "=3D");
		else
			buf_append_char(out, c);
	}
}

struct sasl_scram *sasl_scram_new(const struct sasl_scram_setup *setup)
{
	struct sasl_scram *s = MEM_NEW(struct sasl_scram);

	s->digest = setup->digest;
	s->password = mem_span_dup(setup->password);
	s->password_len = setup->password.len;
	s->nonce = mem_span_dup(setup->nonce);
	buf_init(&s->bare, MESSAGE_MAX);
	buf_init(&s->binding, MESSAGE_MAX);
	buf_append_str(&s->binding, setup->binding.len ? "p=tls-exporter,," : setup->could_have_bound ? "y,," : "n,,");
	s->header_len = s->binding.len;
	buf_append_span(&s->binding, setup->binding);
	buf_append_str(&s->bare, "n=");
	append_name(&s->bare, setup->user);
	buf_printf(&s->bare, ",r=%s", s->nonce);
	return s;
}

void sasl_scram_free(struct sasl_scram *s)
{
	if (!s)
		return;
	mem_wipe_free(s->password, s->password_len);
	mem_free(s->nonce);
	buf_fini(&s->bare);
	buf_fini(&s->binding);
	mem_wipe_free(s, sizeof(*s));
}

bool sasl_scram_begin(struct sasl_scram *s, struct buf *out)
{
	return buf_append_span(out, span_first(buf_span(&s->binding), s->header_len)) &&
	       buf_append_span(out, buf_span(&s->bare));
}

/* ---------------------------------------------------------------- the server's first message */

struct first {
	struct span nonce, salt; /* the salt in base64 */
	uint32_t iterations;
};

/* Takes "x=value" up to the comma, which goes as well; the value is 1 to `max` bytes. */
static bool take(struct span *rest, char name, size_t max, struct span *out)
{
	size_t at = span_find(*rest, ',');

	if (at < 3 || at - 2 > max || rest->data[0] != name || rest->data[1] != '=')
		return false;
	*out = span_of(rest->data + 2, at - 2);
	*rest = span_from(*rest, at + 1);
	return true;
}

/* Ours, and something of the server's own; RFC 5802, 7: printable, without commas. */
static bool is_nonce(const struct sasl_scram *s, struct span nonce)
{
	size_t ours = strlen(s->nonce);

	for (size_t i = 0; i < nonce.len; i++)
		if (nonce.data[i] <= ' ' || nonce.data[i] > '~')
			return false;
	return nonce.len > ours && memcmp(nonce.data, s->nonce, ours) == 0;
}

static const char *read_first(const struct sasl_scram *s, struct span message, struct first *out)
{
	struct span count;
	uint64_t iterations;

	if (!take(&message, 'r', SASL_SCRAM_NONCE_MAX, &out->nonce) || !is_nonce(s, out->nonce) ||
	    !take(&message, 's', SASL_SCRAM_SALT_MAX, &out->salt) || !take(&message, 'i', 20, &count) ||
	    !text_number(count, UINT64_MAX, &iterations))
		return SENSELESS;
	if (iterations < SASL_SCRAM_ITERATIONS_MIN)
		return "the server's challenge would make the password easy to guess (too few iterations)";
	if (iterations > SASL_SCRAM_ITERATIONS_MAX)
		return "the server's challenge would take too long to answer (too many iterations)";
	out->iterations = (uint32_t)iterations;
	return NULL;
}

/* ---------------------------------------------------------------- the proofs (RFC 5802, 3) */

/* Turns the salted password into the client's proof and the server's signature. */
static void prove(struct sasl_scram *s, struct span salt, uint32_t iterations, struct span auth_message,
		  uint8_t out_proof[KEY_MAX])
{
	size_t len = key_len(s->digest);
	uint8_t salted[KEY_MAX], client_key[KEY_MAX], key[KEY_MAX], signature[KEY_MAX];

	crypto_pbkdf2(s->digest, span_of(s->password, s->password_len), salt, iterations, salted, len);
	crypto_hmac(s->digest, span_of(salted, len), SPAN("Client Key"), client_key);
	crypto_hash(s->digest, span_of(client_key, len), key);
	crypto_hmac(s->digest, span_of(key, len), auth_message, signature);
	for (size_t i = 0; i < len; i++)
		out_proof[i] = client_key[i] ^ signature[i];
	crypto_hmac(s->digest, span_of(salted, len), SPAN("Server Key"), key);
	crypto_hmac(s->digest, span_of(key, len), auth_message, s->signature);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client_key, sizeof(client_key));
	explicit_bzero(key, sizeof(key));
}

const char *sasl_scram_answer(struct sasl_scram *s, struct span server_first, struct buf *out)
{
	uint8_t proof[KEY_MAX];
	struct first first;
	struct buf salt, message;
	const char *why = read_first(s, server_first, &first);
	size_t last;

	if (why)
		return why;
	buf_init(&salt, SASL_SCRAM_SALT_MAX);
	buf_init(&message, 2 * MESSAGE_MAX);
	buf_append_span(&message, buf_span(&s->bare));
	buf_append_char(&message, ',');
	buf_append_span(&message, server_first);
	buf_append_char(&message, ',');
	last = message.len;
	buf_append_str(&message, "c=");
	text_base64_encode(&message, buf_span(&s->binding));
	buf_append_str(&message, ",r=");
	if (!text_base64_decode(&salt, first.salt) || !buf_append_span(&message, first.nonce)) {
		why = SENSELESS;
	} else {
		prove(s, buf_span(&salt), first.iterations, buf_span(&message), proof);
		buf_append_span(out, span_from(buf_span(&message), last));
		buf_append_str(out, ",p=");
		why = text_base64_encode(out, span_of(proof, key_len(s->digest))) ? NULL : SENSELESS;
		s->is_answered = true;
	}
	buf_fini(&message);
	buf_fini(&salt);
	return why;
}

bool sasl_scram_is_proof(const struct sasl_scram *s, struct span server_final)
{
	size_t len = key_len(s->digest);
	struct span text;
	struct buf signature;
	bool good;

	if (!s->is_answered || !take(&server_final, 'v', 64, &text))
		return false;
	buf_init(&signature, 64);
	good = text_base64_decode(&signature, text) && signature.len == len &&
	       crypto_equal(signature.data + signature.start, s->signature, len);
	buf_fini(&signature);
	return good;
}

bool sasl_scram_is_error(struct span message, struct span *out_error)
{
	if (message.len < 3 || message.data[0] != 'e' || message.data[1] != '=')
		return false;
	*out_error = span_first(span_from(message, 2), span_find(span_from(message, 2), ','));
	return true;
}
