/*
 * ehlo - what an EHLO reply offers (RFC 5321, 4.1.1.1).
 *
 * Owns nothing; pure. A keyword that is not in the table means nothing to us.
 * Threads: any.
 */
#ifndef SMTP_EHLO_H
#define SMTP_EHLO_H

#include <stdint.h>

#include "base/span.h"

/* enumerator, keyword */
#define EHLO_EXTENSIONS(X)                                           \
	X(PIPELINING, "PIPELINING")                   /* RFC 2920 */ \
	X(SIZE, "SIZE")                               /* RFC 1870 */ \
	X(8BITMIME, "8BITMIME")                       /* RFC 6152 */ \
	X(STARTTLS, "STARTTLS")                       /* RFC 3207 */ \
	X(AUTH, "AUTH")                               /* RFC 4954 */ \
	X(ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES") /* RFC 2034 */ \
	X(SMTPUTF8, "SMTPUTF8")                       /* RFC 6531 */ \
	X(DSN, "DSN")                                 /* RFC 3461 */ \
	X(CHUNKING, "CHUNKING")                       /* RFC 3030 */ \
	X(BINARYMIME, "BINARYMIME")                   /* RFC 3030 */ \
	X(REQUIRETLS, "REQUIRETLS")                   /* RFC 8689 */ \
	X(MT_PRIORITY, "MT-PRIORITY")                 /* RFC 6710 */ \
	X(DELIVERBY, "DELIVERBY")                     /* RFC 2852 */ \
	X(LIMITS, "LIMITS")                           /* RFC 9422 */

enum ehlo_extension {
#define X(name, keyword) EHLO_##name,
	EHLO_EXTENSIONS(X)
#undef X
};
#define EHLO_BIT(extension) (1u << (extension))

struct ehlo {
	unsigned extensions; /* EHLO_BIT() */
	unsigned auth;       /* SASL_BIT() of the mechanisms we know */
	uint64_t size_bytes; /* largest message; 0: not said */
	int64_t by_min_ms;   /* DELIVERBY: the shortest time that is taken with mode R; 0: not said */
	/* LIMITS; 0: not said */
	uint32_t mail_max;   /* transactions of a session */
	uint32_t rcpt_max;   /* recipients of a transaction */
	uint32_t domain_max; /* domains among them */
};

/* From the lines of a reply (each ended by '\n'); the first names the host and is skipped. */
struct ehlo ehlo_parse(struct span lines);

#endif
