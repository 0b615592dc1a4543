/*
 * tlsrpt - what became of TLS towards each domain, day by day (RFC 8460): counted per session, kept in the queue's state,
 *          printed, and sent where the configuration says so.
 *
 * Owns:    the counts of today and of days not yet sent, bounded: TLSRPT_DOMAINS domains a day, TLSRPT_FAILURES kinds of
 *          failure a domain; failures beyond are counted as one kind, domains beyond are not counted.
 * Promise: counts survive a restart but for the last TLSRPT_SAVE_MS. Nothing is written while nothing happened.
 * Threads: the loop's.
 */
#ifndef TLSRPT_H
#define TLSRPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "delivery/tlspolicy.h"
#include "net/dns.h"
#include "net/loop.h"
#include "queue/queue.h"

struct helper;
struct tlsrpt;

enum { TLSRPT_DOMAINS = 2000, TLSRPT_FAILURES = 20, TLSRPT_SAVE_MS = 60 * 1000 };

struct tlsrpt_setup {
	struct loop *loop;
	struct queue *queue;
	struct dns *dns;
	struct helper *helper;
	struct config *config; /* takes a reference */
};
struct tlsrpt *tlsrpt_new(const struct tlsrpt_setup *setup);
void tlsrpt_configure(struct tlsrpt *t, struct config *config);
void tlsrpt_free(struct tlsrpt *t); /* NULL is fine */

/* One attempt at a session with a host of an MX lane. Texts are borrowed for the call. */
struct tlsrpt_session {
	const char *domain;
	const struct tlspolicy *policy;
	const struct mtasts_result *sts; /* or NULL */
	bool ok;                         /* TLS was as the policy demands, or no TLS was demanded and some was had */
	const char *failure; /* not ok: "starttls-not-supported", "certificate-expired", "validation-failure",
	                        "certificate-host-mismatch", "certificate-not-trusted", "tlsa-invalid",
	                        "dnssec-invalid", "dane-required", "sts-policy-fetch-error", … */
	const char *text;    /* for people, or "" */
	const char *mx, *local_ip, *remote_ip, *helo; /* or "" */
};
/* `t` NULL: nobody counts. */
void tlsrpt_note(struct tlsrpt *t, const struct tlsrpt_session *session, int64_t wall_ms);

/* As traffic.h says. */
size_t tlsrpt_reports(struct tlsrpt *t, int64_t day, const char *domain,
		      void (*report)(void *arg, const char *domain, const char *json), void *arg);

#endif
