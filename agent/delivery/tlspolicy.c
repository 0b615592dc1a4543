#include "delivery/tlspolicy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/addr.h"
#include "net/tlsa.h"

const char *tlspolicy_level_name(enum tlspolicy_level level)
{
	switch (level) {
	case TLSPOLICY_NONE: return "none";
	case TLSPOLICY_OPPORTUNISTIC: return "opportunistic";
	case TLSPOLICY_ENCRYPTED: return "encrypted";
	case TLSPOLICY_VERIFIED: return "verified";
	case TLSPOLICY_MTA_STS: return "mta-sts";
	case TLSPOLICY_DANE: return "dane";
	case TLSPOLICY_DANE_ENCRYPT: return "dane-encrypt";
	}
	return "";
}

/* ---------------------------------------------------------------- what is asked for, and what was found */

/* Of this host, by the configuration. */
enum asked {
	ASKED_NONE,
	ASKED_OPPORTUNISTIC,
	ASKED_PROVEN,
	ASKED_DANE,
	ASKED_LEVELS,
};

enum dane {
	DANE_ABSENT, /* not possible, or the domain does not use it */
	DANE_UNKNOWN,
	DANE_UNUSABLE,
	DANE_USABLE,
	DANE_STATES,
};

enum sts {
	STS_ABSENT,
	STS_TESTS,       /* mode testing, and the host is in the policy */
	STS_TESTS_OTHER, /* it is not */
	STS_ENFORCES,
	STS_ENFORCES_OTHER,
	STS_STATES,
};

/* What DANE leads to: an end, or a place in the next table. */
enum next { OPEN, ENCRYPT, CONFIGURED, DANE, NOT_LOOKED_UP, NOT_THERE, NOT_USABLE, NEXTS };

static const enum next by_dane[ASKED_LEVELS][DANE_STATES] = {
	/*                         ABSENT      UNKNOWN        UNUSABLE    USABLE */
	[ASKED_OPPORTUNISTIC] = { OPEN, NOT_LOOKED_UP, ENCRYPT, DANE },
	[ASKED_PROVEN] = { CONFIGURED, NOT_LOOKED_UP, CONFIGURED, DANE },
	[ASKED_DANE] = { NOT_THERE, NOT_LOOKED_UP, NOT_USABLE, DANE },
};

/* What MTA-STS makes of it where DANE is silent. */
enum final { USE_OPEN, NOTE_OPEN, USE_ENCRYPT, NOTE_ENCRYPT, USE_CONFIGURED, USE_STS, SKIP_STS };

static const enum final by_sts[CONFIGURED + 1][STS_STATES] = {
	/*                ABSENT          TESTS           TESTS_OTHER     ENFORCES  ENFORCES_OTHER */
	[OPEN] = { USE_OPEN, NOTE_OPEN, USE_OPEN, USE_STS, SKIP_STS },
	[ENCRYPT] = { USE_ENCRYPT, NOTE_ENCRYPT, USE_ENCRYPT, USE_STS, SKIP_STS },
	[CONFIGURED] = { USE_CONFIGURED, USE_CONFIGURED, USE_CONFIGURED, USE_STS, SKIP_STS },
};

static bool is_mx(const struct config_smarthost *host)
{
	return !host->host;
}

static bool is_address(const char *name)
{
	struct sockaddr_storage addr;
	socklen_t len;

	return name[0] == '/' || name[0] == '[' || addr_literal(name, &addr, &len);
}

static enum asked asked_of(const struct config_smarthost *host, enum config_tls tls)
{
	switch (host->tls == CONFIG_TLS_DANE ? CONFIG_TLS_DANE : tls) {
	case CONFIG_TLS_NONE: return ASKED_NONE;
	case CONFIG_TLS_OPPORTUNISTIC: return host->tls_pins.count ? ASKED_PROVEN : ASKED_OPPORTUNISTIC;
	case CONFIG_TLS_STARTTLS:
	case CONFIG_TLS_IMPLICIT: return ASKED_PROVEN;
	case CONFIG_TLS_DANE: return ASKED_DANE;
	}
	return ASKED_PROVEN;
}

/* Whether the configuration leaves a say to DANE. */
static bool may_be_dane(const struct config_smarthost *host, enum asked asked)
{
	switch (asked) {
	case ASKED_NONE: return false;
	case ASKED_OPPORTUNISTIC:
	case ASKED_DANE: return host->tls_verify;
	case ASKED_PROVEN:
		return host->tls_verify && is_mx(host) && !host->tls_name && !host->tls_ca && !host->tls_pins.count;
	case ASKED_LEVELS: break;
	}
	return false;
}

bool tlspolicy_wants_tlsa(const struct tlspolicy_facts *facts)
{
	return may_be_dane(facts->host, asked_of(facts->host, facts->target->tls)) &&
	       !is_address(facts->target->name) && facts->is_authentic && facts->is_address_authentic;
}

size_t tlspolicy_tlsa_bases(const struct tlspolicy_facts *facts, const struct dns_addresses *addresses,
			    const char *out[TLSPOLICY_BASES])
{
	const char *own = facts->target->name;
	size_t count = 0;

	if (addresses->authentic && addresses->name && *addresses->name &&
	    !span_equals_fold(span_str(addresses->name), span_str(own)))
		out[count++] = addresses->name;
	out[count++] = own;
	return count;
}

bool tlspolicy_wants_sts(const struct config_smarthost *host, const char *domain)
{
	enum asked asked = asked_of(host, host->tls);

	return host->mta_sts && is_mx(host) && domain && !is_address(domain) && host->tls_verify &&
	       (asked == ASKED_OPPORTUNISTIC || (asked == ASKED_PROVEN && !host->tls_name && !host->tls_pins.count));
}

/* The records that count go into the policy. */
static size_t choose(const struct dns_records *records, struct tlspolicy *out)
{
	struct tls_tlsa all[DNS_RECORDS_MAX], chosen[DNS_RECORDS_MAX];
	size_t count = 0;

	for (; count < records->count && count < DNS_RECORDS_MAX; count++) {
		const struct dns_record *r = &records->list[count];

		all[count] = (struct tls_tlsa){ r->usage, r->selector, r->matching, r->data };
	}
	count = tlsa_choose(all, count, chosen);
	if (count > TLSPOLICY_TLSA)
		count = TLSPOLICY_TLSA;
	memcpy(out->tlsa, chosen, count * sizeof(chosen[0]));
	return count;
}

static enum dane dane_of(const struct tlspolicy_facts *facts, struct tlspolicy *out)
{
	if (!tlspolicy_wants_tlsa(facts))
		return DANE_ABSENT;
	if (!facts->tlsa)
		return DANE_UNKNOWN;
	switch (facts->tlsa->status) {
	case DNS_OK:
		if (!facts->tlsa->authentic)
			return DANE_ABSENT;
		out->demand.tlsa_count = choose(facts->tlsa, out);
		return out->demand.tlsa_count ? DANE_USABLE : DANE_UNUSABLE;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
	case DNS_BAD_NAME: return DANE_ABSENT;
	case DNS_TEMPORARY:
	case DNS_SILENT: break;
	}
	return DANE_UNKNOWN;
}

static enum sts sts_of(const struct tlspolicy_facts *facts)
{
	const struct mtasts_policy *policy = facts->sts ? facts->sts->policy : NULL;
	bool named;

	if (!policy || !tlspolicy_wants_sts(facts->host, facts->domain))
		return STS_ABSENT;
	named = mtasts_names(policy, facts->target->name);
	switch (policy->mode) {
	case MTASTS_NONE: break;
	case MTASTS_TESTING: return named ? STS_TESTS : STS_TESTS_OTHER;
	case MTASTS_ENFORCE: return named ? STS_ENFORCES : STS_ENFORCES_OTHER;
	}
	return STS_ABSENT;
}

/* ---------------------------------------------------------------- demands */

static void add_name(struct tlspolicy *out, const char *name)
{
	size_t *count = &out->demand.more_name_count;

	if (!name || !*name || *count == TLSPOLICY_NAMES)
		return;
	for (size_t i = 0; i < *count; i++)
		if (span_equals_fold(span_str(out->names[i]), span_str(name)))
			return;
	out->names[(*count)++] = name;
	out->demand.more_names = out->names;
}

static void demand_open(const struct tlspolicy_facts *facts, enum tlspolicy_level level, struct tlspolicy *out)
{
	out->level = level;
	out->is_unproven = true;
	out->demand.name = facts->target->name;
	out->demand.tlsa_count = 0;
}

/* RFC 8461, 4.2: for the name of the MX, whatever else is said of names. */
static void demand_sts(const struct tlspolicy_facts *facts, struct tlspolicy *out)
{
	out->demand.name = facts->target->name;
	out->demand.verify = true;
	out->demand.tlsa_count = 0;
}

/* RFC 7672, 8.1: the name asked for is the base; 3.2.2: and which names fit besides, where names count. */
static void demand_dane(const struct tlspolicy_facts *facts, struct tlspolicy *out)
{
	out->level = TLSPOLICY_DANE;
	out->demand.name = *facts->tlsa_name ? facts->tlsa_name : facts->target->name;
	out->demand.verify = true;
	out->demand.tlsa = out->tlsa;
	if (is_mx(facts->host)) {
		add_name(out, facts->domain);
		add_name(out, facts->domain_alias);
	} else {
		add_name(out, facts->target->name);
	}
	snprintf(out->text, sizeof(out->text), "DANE: %zu TLSA record%s of _%u._tcp.%s", out->demand.tlsa_count,
		 out->demand.tlsa_count == 1 ? "" : "s", facts->target->port, out->demand.name);
}

/* Without DNSSEC anybody may have named the MX: then it is the domain that must be proven, by itself or by a name that
 * only it can give. */
static void demand_configured(const struct tlspolicy_facts *facts, struct tlspolicy *out)
{
	const struct config_smarthost *host = facts->host;
	const char *whose = host->tls_name ? host->tls_name : facts->target->reference;
	const char *below = "";

	out->demand.name = facts->target->name;
	out->demand.tlsa_count = 0;
	out->is_waived = out->is_unproven = !host->tls_verify;
	out->level = host->tls_verify ? TLSPOLICY_VERIFIED : TLSPOLICY_ENCRYPTED;
	if (out->is_waived) {
		snprintf(out->text, sizeof(out->text), "TLS is a must, but proves nothing: tls_verify = no");
		return;
	}
	out->demand.verify = true;
	if (!whose && is_mx(host) && !facts->is_authentic && facts->domain && !is_address(facts->domain)) {
		whose = facts->domain;
		snprintf(out->below, sizeof(out->below), ".%s", whose);
		add_name(out, out->below);
		below = " or a name below it";
	}
	out->demand.check_name = whose;
	if (host->tls_pins.count)
		snprintf(out->text, sizeof(out->text), "TLS: a certificate with a key of tls_pins");
	else
		snprintf(out->text, sizeof(out->text), "TLS: a certificate for %s%s, issued by an authority of %s",
			 whose ? whose : facts->target->name, below, host->tls_ca ? host->tls_ca : "this system");
}

/* ---------------------------------------------------------------- ends */

static void skip(struct tlspolicy *out, const char *failure)
{
	out->end = TLSPOLICY_SKIP;
	out->failure = failure;
	out->is_unproven = true;
	out->demand.tlsa_count = 0;
}

static const char *base_of(const struct tlspolicy_facts *facts)
{
	return facts->tlsa_name && *facts->tlsa_name ? facts->tlsa_name : facts->target->name;
}

static void say_not_there(const struct tlspolicy_facts *facts, struct tlspolicy *out)
{
	const char *name = facts->target->name, *what = "the addresses", *whose = name;

	if (is_address(name)) {
		snprintf(out->text, sizeof(out->text), "DANE is demanded, but %s has no name", name);
		return;
	}
	if (!facts->is_authentic) {
		what = is_mx(facts->host) ? "the MX" : "the SRV records";
		whose = facts->domain ? facts->domain : name;
	}
	if (facts->is_authentic && facts->is_address_authentic)
		snprintf(out->text, sizeof(out->text),
			 "DANE is demanded, but _%u._tcp.%s has no TLSA records that are signed", facts->target->port,
			 base_of(facts));
	else
		snprintf(out->text, sizeof(out->text),
			 "DANE is demanded, but %s of %s are not signed, or the resolver is not trusted to say so",
			 what, whose);
}

static void end_by_dane(const struct tlspolicy_facts *facts, enum next next, struct tlspolicy *out)
{
	switch (next) {
	case DANE: demand_dane(facts, out); break;
	case NOT_LOOKED_UP:
		skip(out, "dnssec-invalid");
		snprintf(out->text, sizeof(out->text),
			 "DANE: the TLSA records of _%u._tcp.%s cannot be looked up: %.200s", facts->target->port,
			 base_of(facts), facts->tlsa ? facts->tlsa->text : "nobody asked");
		break;
	case NOT_THERE:
		skip(out, "dane-required");
		say_not_there(facts, out);
		break;
	case NOT_USABLE:
		skip(out, "tlsa-invalid");
		snprintf(out->text, sizeof(out->text),
			 "DANE is demanded, but none of the TLSA records of _%u._tcp.%s can be used",
			 facts->target->port, base_of(facts));
		break;
	case OPEN:
	case ENCRYPT:
	case CONFIGURED:
	case NEXTS: break;
	}
}

static const char open_text[] = "TLS where it is offered, whoever answers";

static void end_by_sts(const struct tlspolicy_facts *facts, enum final end, struct tlspolicy *out)
{
	switch (end) {
	case NOTE_OPEN:
	case USE_OPEN:
		demand_open(facts, TLSPOLICY_OPPORTUNISTIC, out);
		out->is_waived = !facts->host->tls_verify;
		snprintf(out->text, sizeof(out->text), "%s%s", open_text,
			 end == NOTE_OPEN ? "; MTA-STS is being tested" : "");
		break;
	case NOTE_ENCRYPT:
	case USE_ENCRYPT:
		demand_open(facts, TLSPOLICY_DANE_ENCRYPT, out);
		snprintf(out->text, sizeof(out->text),
			 "DANE: none of the TLSA records of _%u._tcp.%s can be used: TLS is a must, but proves nothing",
			 facts->target->port, base_of(facts));
		break;
	case USE_CONFIGURED: demand_configured(facts, out); break;
	case USE_STS:
		out->level = TLSPOLICY_MTA_STS;
		demand_sts(facts, out);
		snprintf(out->text, sizeof(out->text), "MTA-STS: a certificate for %s, which the policy of %s names",
			 facts->target->name, facts->domain);
		break;
	case SKIP_STS:
		skip(out, "validation-failure");
		snprintf(out->text, sizeof(out->text), "MTA-STS: the policy of %s does not name %s", facts->domain,
			 facts->target->name);
		break;
	}
	if (end == NOTE_OPEN || end == NOTE_ENCRYPT) {
		demand_sts(facts, out);
		out->demand.only_notes = true;
	}
}

/* ---------------------------------------------------------------- the decision */

static enum client_tls tls_of(const struct tlspolicy_facts *facts, const struct tlspolicy *out)
{
	switch (out->level) {
	case TLSPOLICY_NONE: return CLIENT_TLS_NONE;
	case TLSPOLICY_OPPORTUNISTIC: return facts->without_tls ? CLIENT_TLS_NONE : CLIENT_TLS_OPPORTUNISTIC;
	case TLSPOLICY_ENCRYPTED:
	case TLSPOLICY_VERIFIED:
	case TLSPOLICY_MTA_STS:
	case TLSPOLICY_DANE:
	case TLSPOLICY_DANE_ENCRYPT: break;
	}
	return facts->target->tls == CONFIG_TLS_IMPLICIT ? CLIENT_TLS_IMPLICIT : CLIENT_TLS_STARTTLS;
}

void tlspolicy_decide(const struct tlspolicy_facts *facts, struct tlspolicy *out)
{
	const struct config_smarthost *host = facts->host;
	enum asked asked = asked_of(host, facts->target->tls);
	enum sts sts = sts_of(facts);

	*out = (struct tlspolicy){ .end = TLSPOLICY_USE, .level = TLSPOLICY_NONE, .is_unproven = true };
	if (asked == ASKED_NONE) {
		snprintf(out->text, sizeof(out->text), "clear text: tls = none");
	} else if (!host->tls_verify && asked != ASKED_OPPORTUNISTIC) {
		demand_configured(facts, out);
	} else {
		enum next next = by_dane[asked][dane_of(facts, out)];

		out->is_unproven = false;
		if (sts == STS_TESTS_OTHER)
			out->failure = "validation-failure";
		else if (facts->sts && !facts->sts->policy && tlspolicy_wants_sts(host, facts->domain))
			out->failure = facts->sts->failure;
		if (next <= CONFIGURED)
			end_by_sts(facts, by_sts[next][sts], out);
		else
			end_by_dane(facts, next, out);
	}
	out->tls = tls_of(facts, out);
	if (out->tls == CLIENT_TLS_NONE)
		return;
	out->demand.ca_file = host->tls_ca;
	out->demand.pins = (const char *const *)host->tls_pins.list;
	out->demand.pin_count = out->demand.verify ? host->tls_pins.count : 0;
	out->demand.certificate_file = host->tls_certificate;
	out->demand.key_file = host->tls_key;
	out->demand.minimum = host->tls_minimum;
	/* Of all that is demanded tls itself takes care. */
	snprintf(out->key, sizeof(out->key), "%s %s:%u %s", host->name, facts->target->name, facts->target->port,
		 tlspolicy_level_name(out->level));
	out->demand.cache_key = out->key;
}

bool tlspolicy_is_proven(const struct tlspolicy *policy, const struct tls_facts *facts)
{
	switch (policy->level) {
	case TLSPOLICY_NONE:
	case TLSPOLICY_OPPORTUNISTIC:
	case TLSPOLICY_ENCRYPTED:
	case TLSPOLICY_DANE_ENCRYPT: return policy->is_waived;
	case TLSPOLICY_VERIFIED:
	case TLSPOLICY_MTA_STS: return facts->verified;
	case TLSPOLICY_DANE: return facts->verified && facts->by_dane;
	}
	return false;
}

char *tlspolicy_outcome(const struct tlspolicy *policy, const struct tls_facts *facts, char out[TLSPOLICY_OUTCOME_SIZE])
{
	bool by_policy = policy->level == TLSPOLICY_DANE || policy->level == TLSPOLICY_MTA_STS;

	snprintf(out, TLSPOLICY_OUTCOME_SIZE, "%s %s", facts->version,
		 !facts->verified ? "unverified"
		 : by_policy      ? tlspolicy_level_name(policy->level)
				  : "verified");
	return out;
}
