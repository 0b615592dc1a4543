/*
 * sasl_server - the server's side of one SASL exchange (RFC 4422): PLAIN (4616), LOGIN, EXTERNAL, and SCRAM (5802, 7677)
 * by libgsasl.
 *
 * Messages go in and out decoded; the frame of base64 and 334 is server_auth's. What only the driver knows is asked for.
 *
 * Owns:    what the peer has said, wiped with the object. One object is one exchange: never used again.
 * Never:   knows a user; decides whether a mechanism may be used on a connection.
 * Threads: any, one object per thread.
 */
#ifndef SMTP_SASL_SERVER_H
#define SMTP_SASL_SERVER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "smtp/server.h"

struct sasl_server;

struct sasl_server_setup {
	enum server_mechanism mechanism;
	const char *user;    /* EXTERNAL: whom the certificate proves; borrowed */
	struct span binding; /* tls-exporter, borrowed; empty: none */
	bool offers_plus;    /* a client that could bind was told so: one that says otherwise was lied to on the way */
};

/* NULL when the library cannot do it. */
struct sasl_server *sasl_server_new(const struct sasl_server_setup *setup);
void sasl_server_free(struct sasl_server *s); /* NULL is fine */

enum sasl_server_verdict {
	SASL_SERVER_SAY, /* a challenge (perhaps empty) was appended: the peer's response is wanted */
	SASL_SERVER_ASK, /* sasl_server_question() is to be answered, by sasl_server_verifier() or by the end */
	SASL_SERVER_BAD, /* what came makes no sense: the end */
};

/* The challenge before any response. */
enum sasl_server_verdict sasl_server_begin(struct sasl_server *s, struct buf *out);
/* A response; the initial one comes without sasl_server_begin(). */
enum sasl_server_verdict sasl_server_step(struct sasl_server *s, struct span response, struct buf *out);
enum sasl_server_verdict sasl_server_verifier(struct sasl_server *s, const struct scram_verifier *verifier,
					      struct buf *out);
/* Valid until the next call. */
const struct server_auth *sasl_server_question(const struct sasl_server *s);

/* Name or password in the one form that all spellings of it share (SASLprep, RFC 4013; characters that it does not know
 * yet are let through). To be freed by mem_free(). NULL: not UTF-8, control characters, or nothing is left of it. */
char *sasl_server_prepare(struct span text);

#endif
