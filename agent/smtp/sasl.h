/*
 * sasl - the client's side of SASL exchanges (RFC 4422, 4616) over libgsasl, whose only home this is.
 *
 * Owns:    copies of the name and the secret, wiped with the object. One object is one exchange: never used again.
 * Never:   decides whether a connection may carry a secret: that is the caller's (sasl_is_plain() tells).
 * Threads: any, one object per thread.
 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"

/* Strongest first: the order of preference. */
enum sasl_mechanism { SASL_PLAIN, SASL_LOGIN, SASL_NONE };
#define SASL_BIT(mechanism) (1u << (mechanism))
enum { SASL_ALL = (1 << SASL_NONE) - 1 };

const char *sasl_name(enum sasl_mechanism mechanism);
/* By its name, ASCII case folded; SASL_NONE when unknown. */
enum sasl_mechanism sasl_find(struct span name);
/* The best of both masks; SASL_NONE when they share nothing. */
enum sasl_mechanism sasl_choose(unsigned offered, unsigned allowed);
/* The secret itself crosses the wire. */
bool sasl_is_plain(enum sasl_mechanism mechanism);
/* The client speaks first: its first response belongs into the AUTH command (RFC 4954, 4). */
bool sasl_is_client_first(enum sasl_mechanism mechanism);

struct sasl;

/* NULL when the library cannot do it, or when name or secret cannot be sent by it (empty, NUL within). */
struct sasl *sasl_new(enum sasl_mechanism mechanism, struct span user, struct span secret);
void sasl_free(struct sasl *s);

enum sasl_verdict {
	SASL_MORE, /* the response is written; the server has to say more */
	SASL_DONE, /* the response is written and was the last: the server may now accept */
	SASL_BAD,  /* the challenge makes no sense: end the exchange */
};

/* Answers a challenge (base64 as it came after 334, empty for the first response of a client-first mechanism) by
 * appending the response in base64 to `out`; "=" stands for an empty first response, nothing for an empty later one.
 * SASL_BAD also when `out` is full. */
enum sasl_verdict sasl_step(struct sasl *s, struct span challenge, struct buf *out);

#endif
