/*
 * tlsreport - the report on TLS of one day towards one domain (RFC 8460): as JSON, as the mail that carries it, and the
 *             TXT record that says who wants it.
 *
 * Owns:    nothing; it writes into the caller's buffers. Texts of a report are valid UTF-8 without control characters.
 * Never:   reads a clock, makes up an id, or lets text from outside start a line of its own.
 * Threads: any. Only tlsreport.c includes <jansson.h> here: JSON belongs to the report as its header fields do.
 */
#ifndef TLSREPORT_H
#define TLSREPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum {
	TLSREPORT_STRINGS = 80,
	TLSREPORT_MX = 64,
	TLSREPORT_FAILURES = 20,
	TLSREPORT_POLICIES = 4,
	TLSREPORT_JSON = 60 * 1024,  /* enough for every report that means well; larger ones are not made */
	TLSREPORT_MAIL = 128 * 1024, /* enough for the mail around it */
	TLSREPORT_DAY_MS = 24 * 3600 * 1000,
};

enum tlsreport_type { TLSREPORT_NO_POLICY, TLSREPORT_TLSA, TLSREPORT_STS, TLSREPORT_TYPES };
const char *tlsreport_type_name(enum tlsreport_type type); /* "tlsa", "sts", "no-policy-found" */

/* RFC 8460, 4.4: "failure-details". Texts but `type` may be "". */
struct tlsreport_failure {
	const char *type; /* "starttls-not-supported" … (4.3) */
	const char *local_ip, *mx, *helo, *remote_ip;
	const char *reason; /* "failure-reason-code": what went wrong, in words */
	uint64_t count;
};

struct tlsreport_policy {
	enum tlsreport_type type;
	const char *strings[TLSREPORT_STRINGS]; /* TLSA records, or lines of the MTA-STS policy */
	size_t string_count;
	const char *mx[TLSREPORT_MX]; /* patterns of the MTA-STS policy */
	size_t mx_count;
	uint64_t success, failure;
	struct tlsreport_failure failures[TLSREPORT_FAILURES];
	size_t failure_count;
};

struct tlsreport {
	const char *organization, *contact; /* contact: an address */
	const char *id;                     /* unlike every other's */
	const char *domain;
	int64_t day; /* since 1970, UTC */
	const struct tlsreport_policy *const *policies;
	size_t policy_count;
};

/* RFC 8460, 4. False: `out` is full. */
bool tlsreport_json(struct buf *out, const struct tlsreport *report);

struct tlsreport_mail {
	const struct tlsreport *report;
	const char *hostname; /* the submitter */
	const char *from;
	const char *const *to;
	size_t to_count;
	const char *message_id; /* without <> */
	const char *boundary;   /* 1 to 60 of 0-9 A-Z a-z */
	int64_t now_ms;
	struct span json;
};
/* RFC 8460, 5.3: the whole message, all of it ASCII. False: `out` is full. */
bool tlsreport_mail(struct buf *out, const struct tlsreport_mail *mail);

enum { TLSREPORT_TARGETS = 4, TLSREPORT_URL_SIZE = 1024 };
struct tlsreport_rua {
	char mailto[TLSREPORT_TARGETS][257]; /* addresses */
	size_t mailto_count;
	char https[TLSREPORT_TARGETS][TLSREPORT_URL_SIZE];
	size_t https_count;
};
/* Whether a TXT record of _smtp._tls.DOMAIN is one of TLSRPT at all; exactly one must be (RFC 8460, 3). */
bool tlsreport_is_record(struct span txt);
/* Who wants the reports: what is neither mailto nor https, is malformed, or comes too late in the list is passed over.
 * False: it is not well-formed, or nobody is left. */
bool tlsreport_rua(struct span txt, struct tlsreport_rua *out);

#endif
