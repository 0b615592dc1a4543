/*
 * A client's SASL exchanges with any challenges: nobody is believed by SCRAM without the secret, responses are base64 and
 * few, and what is shown of a challenge is clean, short and holds no secret. First byte: the mechanism and what is there to
 * bind to; then challenges with a length before each, put into base64 here or (first byte, 64) taken as they are. 0xfe in
 * one stands for the nonce of our first message.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "smtp/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 3 };

static const char binding[] = "0123456789abcdef0123456789abcdef", secret[] = "correct-horse/battery";

static void check_response(struct span response)
{
	struct buf decoded;

	buf_init(&decoded, 65536);
	assert(text_base64_decode(&decoded, response));
	buf_fini(&decoded);
}

static void check_words(struct sasl *s, struct span challenge)
{
	struct span reason = sasl_reason(s);
	struct buf shown;

	assert(reason.len <= 200 && text_is_utf8(reason) && !memmem(reason.data, reason.len, secret, strlen(secret)));
	for (size_t i = 0; i < reason.len; i++)
		assert((unsigned char)reason.data[i] >= ' ' && reason.data[i] != 0x7f);
	buf_init(&shown, 65536);
	sasl_hide(s, challenge, &shown);
	assert(!memmem(shown.data ? shown.data : "", shown.len, secret, strlen(secret)));
	buf_fini(&shown);
}

/* The nonce of a SCRAM's first message, given in base64. */
static void keep_nonce(struct span response, struct buf *out)
{
	struct buf message;
	struct span text;

	buf_init(&message, 65536);
	text_base64_decode(&message, response);
	text = buf_span(&message);
	while (text.len > 3 && memcmp(text.data, ",r=", 3) != 0)
		text = span_from(text, 1);
	if (text.len > 3)
		buf_append_span(out, span_from(text, 3));
	buf_fini(&message);
}

static void make_challenge(const uint8_t *data, size_t len, struct span nonce, bool is_raw, struct buf *out)
{
	struct buf plain;

	buf_init(&plain, 65536);
	for (size_t i = 0; i < len; i++)
		if (data[i] == 0xfe)
			buf_append_span(&plain, nonce);
		else
			buf_append_char(&plain, (char)data[i]);
	if (is_raw)
		buf_append_span(out, buf_span(&plain));
	else
		text_base64_encode(out, buf_span(&plain));
	buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sasl_setup setup = { .user = SPAN("alice@example.org"), .secret = SPAN("correct-horse/battery") };
	struct buf nonce, challenge;
	struct span response = SPAN("");
	enum sasl_verdict verdict = SASL_MORE;
	size_t at = 1, messages = 0;
	struct sasl *s;

	if (size < 1 || size > 16384)
		return 0;
	setup.mechanism = (enum sasl_mechanism)((data[0] & 15) % SASL_NONE);
	setup.binding = data[0] & 16 || SASL_BIT(setup.mechanism) & SASL_PLUS ? span_of(binding, 32) : SPAN("");
	setup.could_have_bound = data[0] & 32;
	s = sasl_new(&setup);
	assert(s);
	buf_init(&nonce, 256);
	buf_init(&challenge, 131072);
	if (sasl_is_client_first(setup.mechanism)) {
		verdict = sasl_step(s, SPAN(""), &response);
		assert(verdict != SASL_BAD);
		messages++;
		keep_nonce(response, &nonce);
	}
	while (verdict != SASL_BAD && at < size) {
		size_t len = data[at] < size - at - 1 ? data[at] : size - at - 1;

		buf_clear(&challenge);
		make_challenge(data + at + 1, len, buf_span(&nonce), data[0] & 64, &challenge);
		verdict = sasl_step(s, buf_span(&challenge), &response);
		assert(verdict == SASL_BAD || ++messages <= MESSAGES_MAX);
		/* The server would have to sign with a key that it does not have. */
		assert(verdict != SASL_DONE || !(SASL_BIT(setup.mechanism) & SASL_CHALLENGED) ||
		       setup.mechanism == SASL_CRAM_MD5);
		if (verdict != SASL_BAD)
			check_response(response);
		else
			assert(sasl_why(s)[0]);
		check_words(s, span_of(data + at + 1, len));
		at += len + 1;
	}
	sasl_free(s);
	buf_fini(&nonce);
	buf_fini(&challenge);
	return 0;
}
