/*
 * sasl_scram - what a client looks at in a SCRAM server's messages (RFC 5802, 7) before the library may see them.
 *
 * Owns nothing; pure.
 * Threads: any.
 */
#ifndef SMTP_SASL_SCRAM_H
#define SMTP_SASL_SCRAM_H

#include <stdbool.h>

#include "base/span.h"

enum {
	SASL_SCRAM_ITERATIONS_MIN = 4096, /* RFC 7677, 4: fewer would make the password cheap to guess */
	/* They are counted in the agent's one thread: half a second of it. Common are 4096 to 600000. */
	SASL_SCRAM_ITERATIONS_MAX = 1000000,
	SASL_SCRAM_NONCE_MAX = 512,
	SASL_SCRAM_SALT_MAX = 256, /* in base64 */
};

/* Why the server's first message must not be answered, for people; NULL: it may be. */
const char *sasl_scram_first_mistake(struct span message);
/* "e=…": the server refuses; *out_error is what it says. */
bool sasl_scram_is_error(struct span message, struct span *out_error);

#endif
