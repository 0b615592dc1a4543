/*
 * tlspolicy - what TLS towards one host of a lane has to prove, and whether the host may be used at all: the
 *             configuration, DANE (RFC 7672), MTA-STS (RFC 8461) and REQUIRETLS (RFC 8689) put together. Pure.
 *
 * The stronger promise wins: what the configuration demands is never weakened by what is looked up; DANE comes before
 * MTA-STS, and a failure of DANE is not healed by MTA-STS (RFC 8461, 2).
 *
 *   tls =          | of a smart host                      | of an MX lane
 *   ---------------+--------------------------------------+----------------------------------------------------------
 *   none           | clear text                           | clear text
 *   opportunistic  | DANE where its name has usable       | DANE where all of DNS is signed and there are usable TLSA
 *                  |   records, else whatever it offers   |   records; else MTA-STS in force; else whatever it offers
 *   starttls,      | authorities (tls_ca) and the host's  | DANE and MTA-STS prove it, too; else a certificate for the
 *   implicit       |   name (tls_name)                    |   MX name where DNS proves that one, else for the
 *                  |                                      |   recipient's domain or a name below it (tls_name)
 *   dane           | DANE or nothing                      | DANE or nothing
 *
 * tls_pins stand in for authorities and names, and make TLS a must also where it is opportunistic; they, tls_name and (for
 * starttls) tls_ca say so exactly that DANE is not asked. tls_verify = no: nothing is checked and nothing looked up.
 * TLSA records that cannot be looked up, signed or not, are never taken for none: the host is skipped for now.
 *
 * Owns:    nothing; what is handed out points into the facts and into the policy itself, which must not be copied.
 * Threads: any.
 */
#ifndef TLSPOLICY_H
#define TLSPOLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "delivery/mtasts.h"
#include "delivery/target.h"
#include "net/dns.h"
#include "net/tls.h"
#include "smtp/client.h"

enum tlspolicy_level {
	TLSPOLICY_NONE,          /* clear text, as configured */
	TLSPOLICY_OPPORTUNISTIC, /* encrypted where it goes, proven by nobody */
	TLSPOLICY_ENCRYPTED,     /* STARTTLS or implicit TLS or nothing, but the check is waived by the configuration */
	TLSPOLICY_VERIFIED,      /* certificate proven by the configuration's authorities, names and pins */
	TLSPOLICY_MTA_STS,       /* by the system's authorities, for a name that the domain's policy names */
	TLSPOLICY_DANE,          /* by TLSA records */
	TLSPOLICY_DANE_ENCRYPT, /* TLSA records exist, none usable: TLS is a must, but proves nothing (RFC 7672, 2.2) */
};
const char *tlspolicy_level_name(enum tlspolicy_level level); /* "opportunistic", "dane" … */

enum tlspolicy_end {
	TLSPOLICY_USE,
	TLSPOLICY_SKIP, /* this host must not be used now; others may. `text` says why */
};

/* What is known when a host is about to be used. */
struct tlspolicy_facts {
	const struct config_smarthost *host; /* the configuration of the lane */
	const struct target_host *target;
	const char *domain;              /* of an MX lane, else NULL */
	const char *domain_alias;        /* where the domain's own aliases led (CNAME), or NULL */
	bool is_authentic;               /* target_result */
	bool is_address_authentic;       /* the answer with the host's addresses, or its aliases */
	const char *tlsa_name;           /* the base name whose TLSA records were taken, "" if nobody asked */
	const struct dns_records *tlsa;  /* NULL: not asked, because it cannot be authentic */
	const struct mtasts_result *sts; /* NULL: not asked */
	bool without_tls;                /* TLS failed here once, and is not promised */
};

enum { TLSPOLICY_NAMES = 8, TLSPOLICY_TLSA = 32, TLSPOLICY_KEY_SIZE = 900 };

struct tlspolicy {
	enum tlspolicy_end end;
	enum tlspolicy_level level;
	enum client_tls tls;      /* for the engine */
	bool is_unproven;         /* nothing that requires TLS goes this way */
	bool is_waived;           /* a line of the configuration waives the proof */
	struct tls_demand demand; /* with its `cache_key`: tickets are kept apart by all that is demanded */
	const char *names[TLSPOLICY_NAMES];
	struct tls_tlsa tlsa[TLSPOLICY_TLSA];
	char below[300]; /* ".example.org" */
	char key[TLSPOLICY_KEY_SIZE];
	char text[640]; /* for people: "DANE: 2 TLSA records of _25._tcp.mx.example.org" */
	/* For reports (RFC 8460, 4.3): NULL, or what went wrong before there was a connection: "sts-policy-invalid" …; also
	 * of a host that is used nevertheless. */
	const char *failure;
};

/* Whether TLSA records of this host are worth asking for: only when they would be authentic and can change anything.
 * Needs all facts but the last four. */
bool tlspolicy_wants_tlsa(const struct tlspolicy_facts *facts);
/* The names whose TLSA records are asked for, in this order, until an authentic answer has some or one cannot be had (RFC
 * 7672, 2.2.2): where the aliases of the host led (`addresses`), when all of them are authentic, then its own. */
enum { TLSPOLICY_BASES = 2 };
size_t tlspolicy_tlsa_bases(const struct tlspolicy_facts *facts, const struct dns_addresses *addresses,
			    const char *out[TLSPOLICY_BASES]);
/* Whether the domain's MTA-STS policy counts. */
bool tlspolicy_wants_sts(const struct config_smarthost *host, const char *domain);
void tlspolicy_decide(const struct tlspolicy_facts *facts, struct tlspolicy *out);
/* The peer is proven as the policy demands, so that a secret, or what requires TLS, may be sent. */
bool tlspolicy_is_proven(const struct tlspolicy *policy, const struct tls_facts *facts);
/* A word for what the session came to: "TLSv1.3 dane", "TLSv1.2 mta-sts", "TLSv1.3 verified", "TLSv1.3 unverified".
 * Returns `out`. */
enum { TLSPOLICY_OUTCOME_SIZE = 40 };
char *tlspolicy_outcome(const struct tlspolicy *policy, const struct tls_facts *facts,
			char out[TLSPOLICY_OUTCOME_SIZE]);

#endif
