/*
 * target - the hosts that a lane's mail may be handed to, in the order in which they are tried: a smart host, the hosts of
 *          its SRV records (RFC 6186, 8314), or the MX of a domain (RFC 5321, 5.1).
 *
 * MX are sorted by preference, equals are shuffled, each new resolution anew. A domain without MX that has an address is
 * its own MX; one with a null MX (RFC 7505), or that does not exist, is a permanent failure, and so is one of whose MX
 * this agent itself is the best: it is left out with all that are no better, and a loop if none is left.
 * Faults of name servers are temporary.
 * Promise: the callback never runs from inside target_resolve(); after target_cancel() it never runs.
 * Never:   looks up addresses of the hosts it names, but to see whether one is this agent.
 * Threads: the loop's.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "net/dns.h"
#include "net/loop.h"

enum { TARGET_HOSTS = 16 }; /* most hosts of a lane that are tried */

struct target_host {
	const char *name; /* lower case, A-labels; a literal address without brackets; or a path */
	uint16_t port;
	uint16_t preference;
	enum config_tls tls; /* the configuration's, or what a service of SRV means (_submissions: implicit) */
	/* Whom the certificate must name (RFC 6125: the reference identity). NULL: `name`. Else the domain whose SRV records
	 * led here, because nothing proves that it chose a host outside of it (RFC 6186, 6); never `name` then. */
	const char *reference;
};

enum target_end {
	TARGET_OK,
	TARGET_NEVER,   /* permanent: there is no such domain, it takes no mail, or its mail would come back to us */
	TARGET_NO_HOST, /* the lane's trouble: a smart host without hosts, or DNS at fault */
	TARGET_SILENT,  /* no resolver answers */
};

struct target_result {
	enum target_end end;
	bool by_dns;       /* a resolver gave a real answer */
	bool is_authentic; /* all that led from the domain to the names is (DNSSEC): also "there is no MX"; true of what
	                       the configuration names itself */
	const char *domain;       /* MX: the recipients'; SRV: the one asked for; else NULL */
	const char *domain_alias; /* where the domain's own aliases led (CNAME), or NULL */
	const struct target_host *hosts;
	size_t count;
	const char *status; /* NEVER: "5.1.2", "5.1.10", "5.4.6" … */
	const char *text; /* for people, without the status; also when OK: "MX of example.org: 10 mx1.example.org, …" */
};

struct target_setup {
	struct loop *loop;
	struct dns *dns;
	const struct config *config;
	const struct config_smarthost *host; /* borrowed until the end, as all of it */
	const char *domain;                  /* of an MX lane (or an address literal with brackets), else NULL */
	/* True where this agent itself listens: no mail of MX lanes is sent there. NULL: it does not listen on such a port,
	 * and its own name among the MX means another program. */
	bool (*is_own)(void *arg, const struct dns_address *address, uint16_t port);
	void *is_own_arg;
	uint64_t seed; /* for the shuffle */
};

struct target;
/* `result` is borrowed for the callback, and the target is gone with it. */
struct target *target_resolve(const struct target_setup *setup,
			      void (*done)(void *arg, const struct target_result *result), void *arg);
void target_cancel(struct target *target); /* NULL is fine */

#endif
