/*
 * approach - the way to a next hop before anything is spoken: the account's secret, the hosts that the mail may go to, what
 *            TLS has to prove there (DANE, MTA-STS), addresses, a connected socket.
 *
 * Hosts are tried in their order, each with a policy of its own, and all addresses of each. When one of them disappoints,
 * approach_next() goes on with the others.
 * Owns:    the secret until it is taken or the approach ends; copies of all that was looked up.
 * Promise: `done` and `step` never run from inside a call; after approach_free() they never run. It ends: at most
 *          TARGET_HOSTS hosts of APPROACH_ADDRESSES addresses, APPROACH_CONNECTIONS connections, APPROACH_MS of work.
 * Never:   logs, or speaks to the scheduler: it says what happened. Knows nothing of messages.
 * Threads: the loop's.
 *
 * With a SOCKS proxy no address of a host is looked up: the proxy is asked for the name. MX and SRV records come from DNS
 * all the same. TLSA records are asked for only where the zone of the host's own name is signed, which a question for its
 * alias tells; names below .onion are never asked for.
 */
#ifndef APPROACH_H
#define APPROACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "delivery/account.h"
#include "delivery/mtasts.h"
#include "delivery/target.h"
#include "delivery/tlspolicy.h"
#include "net/dial.h"
#include "net/dns.h"

enum {
	APPROACH_ADDRESSES = 16,   /* most addresses of a host that are tried */
	APPROACH_CONNECTIONS = 20, /* most that are handed out */
	APPROACH_MS = 5 * 60 * 1000,
	APPROACH_STORY_MAX = 480, /* bytes of text for people */
};

enum approach_end {
	APPROACH_OK,        /* `fd` is the caller's */
	APPROACH_NEVER,     /* for good: DNS says that the domain takes no mail, see target.h; `status` */
	APPROACH_NO_SECRET, /* the account's trouble */
	APPROACH_NO_HOST,   /* the lane's: no hosts, no addresses, or none that may be used now */
	APPROACH_REFUSED,   /* the lane's: nobody answers there */
	APPROACH_SILENT,    /* no resolver answers */
	APPROACH_OFFLINE,   /* no network */
	APPROACH_LOCAL,     /* our own trouble: descriptors, memory */
	APPROACH_LOOKED,    /* `only_look`: all was looked up */
};

struct approach_result {
	enum approach_end end;
	bool by_dns;     /* a resolver gave a real answer */
	bool by_host;    /* the network gave one: a connection, or a refusal */
	bool is_refused; /* NO_SECRET: the server refused the only one there is */
	int fd;
	const char *status; /* NEVER: "5.1.10" … */
	const char *text;   /* for people: what became of each host */
};

enum approach_step_kind {
	APPROACH_SECRET,
	APPROACH_TARGET,  /* MX or SRV records */
	APPROACH_STS,     /* the domain's MTA-STS policy */
	APPROACH_ADDRESS, /* a host's addresses, or the proxy's */
	APPROACH_ALIAS,   /* whether a host's name is signed */
	APPROACH_TLSA,
	APPROACH_POLICY,  /* what TLS has to prove; not ok: the host is passed over */
	APPROACH_CONNECT, /* one address */
};

/* What came of a step; all is borrowed for the call. */
struct approach_step {
	enum approach_step_kind kind;
	bool ok;
	int64_t took_ms;                 /* -1: no time was needed, or (CONNECT) it was not begun */
	const char *host;                /* its name, or "" */
	const char *where;               /* CONNECT: "192.0.2.1:25"; else "" */
	const char *text;                /* one line */
	const struct tlspolicy *policy;  /* POLICY, else NULL */
	const struct mtasts_result *sts; /* STS, POLICY, or NULL */
};

struct approach_setup {
	struct account_setup account; /* with the loop */
	struct dns *dns;
	struct mtasts *mtasts; /* NULL: no policies */
	const struct config *config;
	const struct config_smarthost *host; /* of it; borrowed until approach_free(), as all of this */
	const char *domain;                  /* of an MX lane, else NULL */
	unsigned turn;      /* smart host: which of its addresses comes first, after a failure another one */
	uint64_t seed;      /* shuffles hosts */
	int avoid_family;   /* AF_INET, AF_INET6: only where nothing else is left; 0: none */
	const char *prefer; /* a host that comes before its equals, or NULL; and an address of it */
	struct dns_address prefer_address;
	bool only_look; /* no secret and no connection: hosts and policies only */
	void (*step)(void *arg, const struct approach_step *step); /* or NULL */
	void *step_arg;
};

struct approach;

struct approach *approach_new(const struct approach_setup *setup,
			      void (*done)(void *arg, const struct approach_result *result), void *arg);
void approach_free(struct approach *approach); /* NULL is fine */

struct span approach_secret(const struct approach *approach); /* empty: none */
void approach_forget_secret(struct approach *approach);
/* The server refused it, with these words. True, once: it is a token of which another one may be had, by approach_renew(),
 * which fetches it and connects to the same address again; `done` comes again. */
bool approach_refuse(struct approach *approach, const char *text);
void approach_renew(struct approach *approach);

/* ---- of the connection that was handed out; valid until approach_next() */

const struct target_host *approach_host(const struct approach *approach);
const struct tlspolicy *approach_policy(const struct approach *approach);
const struct mtasts_result *approach_sts(const struct approach *approach);   /* NULL: not asked */
const struct dns_address *approach_address(const struct approach *approach); /* with a proxy, the proxy's */
/* Addresses of this family were not connected to yet, here or (`maybe`) perhaps at further hosts. */
bool approach_has_family(const struct approach *approach, int family, bool *out_maybe);

/* ---- and when it disappointed */

/* Why, for approach_story(): what was said of each host and address so far. */
void approach_note(struct approach *approach, const char *text);
const char *approach_story(struct approach *approach);
/* Addresses of this family come last from now on. */
void approach_avoid(struct approach *approach, int family);
bool approach_has_next(const struct approach *approach);
/* Connects to one that was not connected to yet; `without_tls`: to the last one once more, without TLS, which its policy
 * must leave open. `done` comes again. */
void approach_next(struct approach *approach, bool without_tls);

#endif
