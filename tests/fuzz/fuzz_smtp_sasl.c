/*
 * SASL exchanges with any messages of the peer: names are clean, nobody is proven by SCRAM without the secret, and after
 * the end nothing is asked. The first byte chooses the mechanism, the others are messages with a length before each.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/sasl_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char binding[] = "0123456789abcdef0123456789abcdef";

static void check_question(const struct server_auth *question, bool is_scram)
{
	size_t len = strlen(question->user);

	assert(len > 0 && len <= 255);
	for (size_t i = 0; i < len; i++)
		assert((unsigned char)question->user[i] >= ' ' && question->user[i] != 0x7f);
	assert((question->kind == SERVER_AUTH_PASSWORD) == (question->password != NULL));
	assert((question->kind == SERVER_AUTH_FAILED) == (question->why != NULL));
	if (question->password)
		assert(question->password[0]);
	/* It would take the key behind a verifier that nothing was hashed to. */
	assert(!is_scram || question->kind != SERVER_AUTH_PROVEN);
}

/* False: the exchange has ended. */
static bool go_on(struct sasl_server *sasl, enum sasl_server_verdict verdict, bool is_scram, struct buf *out)
{
	const struct server_auth *question;
	struct scram_verifier verifier = {
		.iterations = 4096, .salt = "salt", .salt_len = 4, .stored_key = "nobody's"
	};

	if (verdict != SASL_SERVER_ASK)
		return verdict == SASL_SERVER_SAY;
	question = sasl_server_question(sasl);
	check_question(question, is_scram);
	if (question->kind != SERVER_AUTH_VERIFIER)
		return false;
	verifier.hash = question->hash;
	return go_on(sasl, sasl_server_verifier(sasl, &verifier, out), is_scram, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum server_mechanism mechanisms[] = { SERVER_AUTH_PLAIN,         SERVER_AUTH_LOGIN,
							    SERVER_AUTH_EXTERNAL,      SERVER_AUTH_SCRAM_SHA_1,
							    SERVER_AUTH_SCRAM_SHA_256, SERVER_AUTH_SCRAM_SHA_256_PLUS };
	struct sasl_server_setup setup;
	struct sasl_server *sasl;
	struct buf out;
	bool goes_on = true, is_scram;
	size_t at = 1;

	if (size < 2 || size > 16384)
		return 0;
	setup = (struct sasl_server_setup){ .mechanism = mechanisms[data[0] % 6],
					    .user = data[0] & 64 ? "alice@example.org" : NULL,
					    .binding = span_of(binding, 32),
					    .offers_plus = data[0] & 128 };
	is_scram = setup.mechanism & SERVER_AUTH_SCRAM;
	sasl = sasl_server_new(&setup);
	assert(sasl);
	buf_init(&out, 12288);
	while (goes_on && at < size) {
		size_t len = data[at] < size - at - 1 ? data[at] : size - at - 1;
		char *message = mem_dup(data + at + 1, len);

		buf_clear(&out);
		goes_on = go_on(sasl, sasl_server_step(sasl, span_of(message, len), &out), is_scram, &out);
		mem_free(message);
		at += len + 1;
	}
	sasl_server_free(sasl);
	buf_fini(&out);
	return 0;
}
