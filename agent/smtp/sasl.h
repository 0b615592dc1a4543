/*
 * sasl - the client's side of one SASL exchange (RFC 4422): PLAIN (4616), LOGIN, CRAM-MD5 (2195) and EXTERNAL by
 *        libgsasl, whose home this and sasl_server are; SCRAM by sasl_scram, OAUTHBEARER and XOAUTH2 by sasl_oauth.
 *
 * Owns:    copies of the name and the secret, wiped with the object. One object is one exchange: never used again.
 * Never:   decides whether a connection may carry a secret: that is the caller's (sasl_is_plain() tells). Ends well with
 *          a server of SCRAM that has not proven that it knows the password, too.
 * Threads: any, one object per thread.
 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/*
 * The order of preference. EXTERNAL shows nothing but a name. SCRAM keeps the password from whoever answers, and has him
 * prove that he knows it; -PLUS proves besides that nobody stands between. Tokens and passwords never compete: a
 * configuration allows the ones or the others.
 *
 * CRAM-MD5 comes last. It is only chosen where others are not offered, or may not be used in clear text: over proven TLS
 * it protects little that TLS does not, proves nothing of the server, and asks of it to keep passwords readable. Servers
 * that do not keep this user's so offer it all the same and then say 535, which nobody can tell from a wrong password.
 */
enum sasl_mechanism {
	SASL_EXTERNAL,
	SASL_SCRAM_SHA_256_PLUS,
	SASL_SCRAM_SHA_1_PLUS,
	SASL_SCRAM_SHA_256,
	SASL_SCRAM_SHA_1,
	SASL_OAUTHBEARER,
	SASL_XOAUTH2,
	SASL_PLAIN,
	SASL_LOGIN,
	SASL_CRAM_MD5,
	SASL_NONE,
};
#define SASL_BIT(mechanism) (1u << (mechanism))
enum {
	SASL_ALL = (1 << SASL_NONE) - 1,
	SASL_PLUS = 1 << SASL_SCRAM_SHA_256_PLUS | 1 << SASL_SCRAM_SHA_1_PLUS,
	/* A secret is needed and does not cross the wire. */
	SASL_CHALLENGED = SASL_PLUS | 1 << SASL_SCRAM_SHA_256 | 1 << SASL_SCRAM_SHA_1 | 1 << SASL_CRAM_MD5,
};

const char *sasl_name(enum sasl_mechanism mechanism);
/* By its name, ASCII case folded; SASL_NONE when unknown. */
enum sasl_mechanism sasl_find(struct span name);
/* The best of both masks; SASL_NONE when they share nothing. */
enum sasl_mechanism sasl_choose(unsigned offered, unsigned allowed);
/* The secret itself crosses the wire. */
bool sasl_is_plain(enum sasl_mechanism mechanism);
/* The client speaks first: its first response belongs into the AUTH command (RFC 4954, 4). */
bool sasl_is_client_first(enum sasl_mechanism mechanism);

enum {
	SASL_CHALLENGE_MAX = 12288, /* bytes, decoded */
	SASL_SECRET_MAX = 8192,
	SASL_BINDING_LEN = 32,
};

struct sasl_setup {
	enum sasl_mechanism mechanism;
	struct span user, secret; /* a token for OAUTHBEARER and XOAUTH2; EXTERNAL needs neither, and says the user */
	struct span binding;      /* tls-exporter (RFC 9266); empty: none. -PLUS needs it */
	/* SCRAM without -PLUS, with a binding: the server did not offer -PLUS. It is told that we could have bound, so that
	 * one which did offer it hears that somebody took it away (RFC 5802, 6). */
	bool could_have_bound;
	const char *host; /* connected to, for OAUTHBEARER (RFC 7628, 3.1); NULL: unsaid */
	uint16_t port;
};

struct sasl;

/* All is copied. NULL when the library cannot do it, or when the mechanism cannot carry name or secret: empty, too long,
 * NUL within, for SCRAM and CRAM-MD5 no SASLprep form (RFC 4013), for tokens what RFC 6750 does not allow in one. */
struct sasl *sasl_new(const struct sasl_setup *setup);
void sasl_free(struct sasl *s);

enum sasl_verdict {
	SASL_MORE, /* there is a response; the server has to say more */
	SASL_DONE, /* there is a response and it was the last: the server may now accept */
	SASL_BAD,  /* end the exchange: sasl_why() */
};

/* Answers a challenge (base64 as it came after 334, empty for the first response of a client-first mechanism). The
 * response, in base64, lives until the next step.
 * When the challenge says that the server has refused us (OAuth, SCRAM), the response is what lets it say so by a reply,
 * and the verdict is SASL_MORE: no acceptance counts any more. */
enum sasl_verdict sasl_step(struct sasl *s, struct span challenge, struct span *out_response);

/* After SASL_BAD, for people. */
const char *sasl_why(const struct sasl *s);
/* What a server's challenge said of its refusal, cleaned and without secrets; empty: nothing. Lives with the object. */
struct span sasl_reason(const struct sasl *s);

enum { SASL_HIDDEN_MIN = 8 };
/* Appends a server's text, with "***" for whatever of it is the secret, or SASL_HIDDEN_MIN bytes or more of the secret or
 * of a response: servers repeat what they did not understand. */
void sasl_hide(const struct sasl *s, struct span text, struct buf *out);

#endif
