/*
 * mtasts - MTA-STS policies of domains (RFC 8461): found by DNS, fetched by sendoff-helper over HTTPS, kept in the queue's
 *          state for as long as they say.
 *
 * Promise: a policy that is kept counts until its max_age has passed, whatever DNS or HTTPS say meanwhile, unless a newer
 *          one was fetched; it is fetched again when the id in DNS is another one, and now and then before it ends.
 *          Without a kept policy a domain whose record or policy cannot be had just now counts as having none (RFC 8461,
 *          3.3, 5.1), and is not asked again for a while. The callback never runs from inside mtasts_lookup().
 * Owns:    queries under way (at most one a domain, all who ask share it), a bounded cache in memory.
 * Threads: the loop's. Logs new and failing policies.
 */
#ifndef MTASTS_H
#define MTASTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "config.h"
#include "net/dns.h"
#include "net/loop.h"
#include "queue/queue.h"

struct helper;
struct mtasts;
struct mtasts_lookup;

enum mtasts_mode { MTASTS_NONE, MTASTS_TESTING, MTASTS_ENFORCE };

enum { MTASTS_MX_MAX = 64, MTASTS_ID_SIZE = 33 };

struct mtasts_policy {
	enum mtasts_mode mode;
	char id[MTASTS_ID_SIZE]; /* of the TXT record that led to it */
	int64_t max_age_s;
	int64_t fetched_wall_ms;
	const char *mx[MTASTS_MX_MAX]; /* "mx.example.org", "*.example.net"; lower case */
	size_t mx_count;
	struct span text; /* the policy as fetched, for reports */
};

struct mtasts_result {
	const struct mtasts_policy *policy; /* NULL: there is none, or none can be had */
	const char *failure; /* RFC 8460, 4.3: "sts-policy-fetch-error", "sts-webpki-invalid" …, or NULL */
	const char *text;    /* for people: what was found, and where it comes from */
};

struct mtasts_setup {
	struct loop *loop;
	struct queue *queue;
	struct dns *dns;
	struct helper *helper; /* NULL: no policy can be fetched */
};

struct mtasts *mtasts_new(const struct mtasts_setup *setup);
void mtasts_free(struct mtasts *m); /* NULL is fine; after all lookups have ended or were cancelled */
/* `host`: authorities and port of the HTTPS; borrowed for the call. The result is borrowed for the callback. */
struct mtasts_lookup *mtasts_lookup(struct mtasts *m, const struct config_smarthost *host, const char *domain,
				    void (*done)(void *arg, const struct mtasts_result *result), void *arg);
void mtasts_cancel(struct mtasts_lookup *lookup); /* NULL is fine */

/* Whether the policy names this MX (RFC 8461, 4.1). */
bool mtasts_names(const struct mtasts_policy *policy, const char *mx);

#endif
