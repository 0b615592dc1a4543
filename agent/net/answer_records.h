/*
 * answer_records - what a resolver's answer to a question for MX, SRV, TLSA, TXT or CNAME means, and its records. Pure.
 *
 * One malformed record makes the whole answer bad (DNS_TEMPORARY): half of a list of hosts, or of a list of keys, is
 * another list. A well-formed record whose name no host can have (blanks, slashes, a literal address) is passed over;
 * where that leaves none the answer is bad, too, since "there are none" would mean something else (RFC 5321, 5.1).
 *
 * Owns:    names and joined strings; data of TLSA records lies in the message.
 * Never:   reads outside the message; keeps more than DNS_RECORDS_MAX records.
 * Threads: any.
 */
#ifndef ANSWER_RECORDS_H
#define ANSWER_RECORDS_H

#include "base/mem.h"
#include "net/answer.h"
#include "net/dns.h"

struct answer_records {
	enum dns_status status; /* OK: count > 0; NXDOMAIN, NODATA, TEMPORARY */
	const char *detail;     /* why it is TEMPORARY; static */
	bool authentic;         /* the AD bit */
	uint32_t ttl_s;         /* how long it holds, also of "no" */
	struct dns_record list[DNS_RECORDS_MAX];
	size_t count;
	char name[ANSWER_NAME_SIZE]; /* where the aliases led */
	struct mem_arena text;
};

uint16_t answer_records_type(enum dns_type type);
const char *answer_records_type_name(enum dns_type type); /* "MX" */

/* `name` is what was asked for, lower case. Needs answer_records_fini() whatever the answer. */
void answer_records_read(struct answer_records *out, struct span message, const char *name, enum dns_type type);
void answer_records_fini(struct answer_records *records);

#endif
