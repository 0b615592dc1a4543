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
	X(SMTPUTF8, "SMTPUTF8")                       /* RFC 6531 */

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
};

/* From the lines of a reply (each ended by '\n'); the first names the host and is skipped. */
struct ehlo ehlo_parse(struct span lines);

#endif
