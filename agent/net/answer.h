/*
 * answer - read a DNS message that came from a resolver (RFC 1035, 4), without trusting any length in it.
 *
 * Owns:    nothing: records are spans into the message.
 * Never:   reads outside the message; follows more than ANSWER_HOPS aliases or a compression pointer that does not
 *          point backwards; takes time beyond a few milliseconds: the records, and the pointers of a name, have a cap.
 * Threads: any.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum {
	ANSWER_A = 1,
	ANSWER_NS = 2,
	ANSWER_CNAME = 5,
	ANSWER_SOA = 6,
	ANSWER_MX = 15,
	ANSWER_TXT = 16,
	ANSWER_AAAA = 28,
	ANSWER_SRV = 33,
	ANSWER_TLSA = 52,
};

enum { ANSWER_HOPS = 12, ANSWER_NAME_SIZE = 1024 };

/* Response codes (RFC 1035, 4.1.1). */
enum {
	ANSWER_NOERROR = 0,
	ANSWER_FORMERR = 1,
	ANSWER_SERVFAIL = 2,
	ANSWER_NXDOMAIN = 3,
	ANSWER_NOTIMP = 4,
	ANSWER_REFUSED = 5
};

struct answer {
	struct span message;
	unsigned rcode;
	bool authentic; /* the AD bit (RFC 4035, 3.2.3) */
	bool truncated;
	bool referral;               /* no answer, and name servers instead of an SOA: not a proof of "no data" */
	bool looping;                /* the chain of aliases does not end */
	uint32_t ttl_s;              /* the least of the aliases followed and the records taken so far */
	uint32_t negative_ttl_s;     /* how long "no such name" and "no data" hold (RFC 2308, 5); 0: not at all */
	char name[ANSWER_NAME_SIZE]; /* the name at the end of the chain, lower case, without the last dot */
	size_t at, left;             /* the next record of the answer section, and how many are left */
};

struct answer_record {
	uint16_t type;
	uint32_t ttl_s;
	struct span data;
};

/* What a code is called that is neither NOERROR nor NXDOMAIN. */
const char *answer_rcode_text(unsigned rcode);

/* False: not a well-formed answer. `name` is what was asked for; aliases are followed unless they are what was. */
bool answer_open(struct answer *answer, struct span message, const char *name, bool aliases);
/* The next record of `type` at the end of the chain; false: no more. */
bool answer_next(struct answer *answer, uint16_t type, struct answer_record *out);

/* The name at *at of the message as text, and *at behind it; `text` may be NULL. A byte that a host name has no use for
 * stands there as \DDD. False: malformed. */
bool answer_take_name(struct span message, size_t *at, char text[ANSWER_NAME_SIZE]);

#endif
