/*
 * dns - asynchronous lookups (c-ares), /etc/hosts included; temporary and permanent answers never confused.
 *
 * Owns:    the channel to the resolvers; follows changes of resolv.conf by a new channel, the old one drains.
 * Promise: the callback never runs from inside the starting call; after dns_cancel() it never runs.
 * Threads: the loop's. Only dns.c and dns_channel.c include <ares.h>.
 */
#ifndef DNS_H
#define DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"
#include "net/loop.h"

enum dns_status {
	DNS_OK,
	DNS_NXDOMAIN,  /* the name does not exist: permanent */
	DNS_NODATA,    /* it exists, without records of the type: permanent */
	DNS_TEMPORARY, /* SERVFAIL, REFUSED, bad answer: try again */
	DNS_SILENT,    /* no resolver answered in time, whatever was asked: the network is to blame */
	DNS_BAD_NAME,  /* not a name that can be looked up: permanent */
};
const char *dns_status_text(enum dns_status status);

struct dns_config {
	const char *const *servers; /* "127.0.0.1:53", "[::1]:53"; count 0: resolv.conf */
	size_t server_count;
	bool trust_ad;
	int64_t timeout_ms;      /* whole lookup; 0: 20 s */
	const char *hosts_file;  /* NULL: /etc/hosts */
	const char *resolv_file; /* NULL: /etc/resolv.conf */
};

struct dns;
struct dns_query;

struct dns *dns_new(struct loop *loop, const struct dns_config *config, char *why, size_t why_size);
void dns_free(struct dns *dns);
/* A reloaded configuration, or a changed network: new channel. */
void dns_configure(struct dns *dns, const struct dns_config *config);
/* Where it finds its resolvers; NULL: the configuration names them. */
const char *dns_resolv_file(const struct dns *dns);
/* What resolvers said is asked for anew: somebody may have mended it. NULL is fine. */
void dns_forget(struct dns *dns);

struct dns_address {
	struct sockaddr_storage addr; /* port 0 */
	socklen_t len;
};

struct dns_addresses {
	enum dns_status status; /* OK: count > 0 */
	bool authentic;         /* AD, from a resolver that is trusted */
	const struct dns_address *list;
	size_t count; /* A and AAAA together, as RFC 6724 would roughly order them: v6 first */
	uint32_t ttl_s;
	const char *name; /* where the aliases led: the name that has the addresses, lower case, no last dot */
	char text[256];   /* for people: what was asked of whom and what came back */
};

/* A and AAAA of a host name (or a literal address, or a name of /etc/hosts). DNS_OK if either has addresses; otherwise
 * the more temporary of the two answers. `result` is borrowed for the callback. */
struct dns_query *dns_host(struct dns *dns, const char *name,
			   void (*done)(void *arg, const struct dns_addresses *result), void *arg);
void dns_cancel(struct dns_query *query);

enum dns_type { DNS_MX, DNS_SRV, DNS_TLSA, DNS_TXT, DNS_CNAME };
enum { DNS_RECORDS_MAX = 64 }; /* what an answer has beyond it is passed over */

struct dns_record {
	uint16_t preference;   /* MX; SRV: priority */
	uint16_t weight, port; /* SRV */
	const char *name;      /* MX, SRV, CNAME: lower case, no last dot; "" is the root: null MX, no such service */
	uint8_t usage, selector, matching; /* TLSA (RFC 6698, 2.1) */
	struct span data; /* TLSA: the association data; TXT: the strings put together (RFC 7208, 3.3) */
};

struct dns_records {
	enum dns_status status; /* OK: count > 0 */
	bool authentic;         /* AD, from a resolver that is trusted: also of "no such name" and "no such data" */
	const struct dns_record *list; /* as they came */
	size_t count;
	const char *name; /* where the aliases led */
	uint32_t ttl_s;
	char text[256]; /* for people */
};

/* Records of one type; aliases are followed (but for CNAME). Malformed records count as a bad answer: DNS_TEMPORARY.
 * MX and SRV whose name no host can have are passed over; none left: DNS_TEMPORARY. A name of /etc/hosts, of which DNS
 * knows nothing, has no records: DNS_NODATA. `result` is borrowed for the callback; dns_cancel() ends it. */
struct dns_query *dns_records(struct dns *dns, const char *name, enum dns_type type,
			      void (*done)(void *arg, const struct dns_records *result), void *arg);

#endif
