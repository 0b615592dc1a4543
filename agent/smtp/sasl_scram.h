/*
 * sasl_scram - the client's side of SCRAM (RFC 5802, 7677), with channel binding by tls-exporter (RFC 9266).
 *
 * It is written here and not left to libgsasl, whose client (2.2) cannot tell a server without -PLUS that it could have
 * bound ("y"), answers any iteration count, and leaves the salted password behind in memory.
 *
 * Owns:    copies of what it was given and what was derived, wiped with the object.
 * Never:   draws random numbers: the nonce comes in. Prepares names or passwords (SASLprep, RFC 4013): they come so.
 * Threads: any, one object per thread.
 */
#ifndef SMTP_SASL_SCRAM_H
#define SMTP_SASL_SCRAM_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/span.h"

enum {
	SASL_SCRAM_ITERATIONS_MIN = 4096, /* RFC 7677, 4: fewer would make the password cheap to guess */
	/* They are counted in the agent's one thread: half a second of it. Common are 4096 to 600000. */
	SASL_SCRAM_ITERATIONS_MAX = 1000000,
	SASL_SCRAM_NONCE_MAX = 512,
	SASL_SCRAM_SALT_MAX = 256, /* in base64 */
};

struct sasl_scram_setup {
	enum crypto_digest digest;
	struct span user, password;
	struct span nonce;     /* ours: unpredictable, printable ASCII without commas */
	struct span binding;   /* bound to; empty: without -PLUS */
	bool could_have_bound; /* without -PLUS: "y" instead of "n" (RFC 5802, 6) */
};

struct sasl_scram;

struct sasl_scram *sasl_scram_new(const struct sasl_scram_setup *setup);
void sasl_scram_free(struct sasl_scram *s); /* NULL is fine */

/* The client's first message. False: `out` is full. */
bool sasl_scram_begin(struct sasl_scram *s, struct buf *out);
/* The client's final message, in answer to the server's first. Why that must not be answered, for people; NULL: it was. */
const char *sasl_scram_answer(struct sasl_scram *s, struct span server_first, struct buf *out);
/* After that: the server's final message proves that it knows the password (what is kept of it). */
bool sasl_scram_is_proof(const struct sasl_scram *s, struct span server_final);

/* "e=…": the server refuses; *out_error is what it says. */
bool sasl_scram_is_error(struct span message, struct span *out_error);

#endif
