/*
 * scram - what a server keeps of a password (RFC 5802, 7677): a salted verifier, and its text (RFC 5803).
 *
 * "SCRAM-SHA-256$65536:SALT$STORED:SERVER", the last three in base64. Who reads it cannot log in with it, only try
 * passwords, each of which costs as many hashes as the iteration count says.
 *
 * Owns nothing; pure. Passwords are taken as they are: SASLprep is the caller's.
 * Threads: any.
 */
#ifndef SCRAM_H
#define SCRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum scram_hash { SCRAM_SHA_256, SCRAM_SHA_1, SCRAM_HASHES };

enum {
	SCRAM_KEY_MAX = 32,
	SCRAM_SALT_LEN = 16, /* of verifiers made here */
	SCRAM_SALT_MAX = 64,
	SCRAM_ITERATIONS = 65536,    /* of verifiers made here: some 30 ms for the client, and for whoever guesses */
	SCRAM_ITERATIONS_MIN = 4096, /* RFC 7677, 4 */
	SCRAM_ITERATIONS_MAX = 10000000,
	SCRAM_TEXT_MAX = 256, /* bytes of the text at most */
};

struct scram_verifier {
	enum scram_hash hash;
	uint32_t iterations;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint8_t stored_key[SCRAM_KEY_MAX]; /* scram_key_len() bytes of each */
	uint8_t server_key[SCRAM_KEY_MAX];
};

/* "SCRAM-SHA-256" */
const char *scram_name(enum scram_hash hash);
size_t scram_key_len(enum scram_hash hash);

/* Fills in the keys; hash, iterations and salt are set. */
void scram_derive(struct scram_verifier *verifier, struct span password);
/* Takes as long whatever the answer. */
bool scram_fits(const struct scram_verifier *verifier, struct span password);

bool scram_read(struct span text, struct scram_verifier *out);
bool scram_write(struct buf *out, const struct scram_verifier *verifier);

#endif
