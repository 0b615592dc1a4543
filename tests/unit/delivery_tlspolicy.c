/* What TLS has to prove: every combination of configuration, DNS and MTA-STS that matters, in one table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "delivery/tlspolicy.h"

/* ---------------------------------------------------------------- the facts, in words */

enum said { /* tls =, and what stands beside it */
	    NONE,
	    OPPORTUNISTIC,
	    STARTTLS,
	    IMPLICIT,
	    DANE,
	    PINNED,      /* starttls and pins */
	    OPEN_PINNED, /* opportunistic and pins */
	    CALLED,      /* starttls and tls_name */
	    OWN_CA,      /* starttls and tls_ca */
	    OPEN_CA,     /* opportunistic and tls_ca */
	    WAIVED,      /* starttls and tls_verify = no */
	    OPEN_WAIVED, /* opportunistic and tls_verify = no */
	    NO_STS,      /* opportunistic and mta_sts = no */
};

enum lane { MX, SMART };

enum answer {
	INSECURE,    /* nothing is signed */
	MX_INSECURE, /* but addresses and TLSA are */
	A_INSECURE,  /* but the MX are */
	SIGNED,      /* all, and there are no TLSA records */
	MISSING,     /* all, and there is no such name */
	UNSIGNED,    /* TLSA records, but these are not signed */
	BOGUS,       /* TLSA cannot be looked up */
	SILENT,      /* nobody answers for TLSA */
	USABLE,      /* one TLSA record that counts */
	UNUSABLE,    /* one that does not */
	MIXED,       /* one and one */
};

enum found { WITHOUT, OFF, TESTING, ENFORCE, TESTING_OTHER, ENFORCE_OTHER, UNFETCHED };

/* ---------------------------------------------------------------- the table */

static const struct {
	enum lane lane;
	enum said config;
	enum answer dns;
	enum found sts;
	enum tlspolicy_level level;
	enum client_tls tls;
	const char *checked; /* "" nobody, else the names, "pin", "dane"; a "~" before: only noted */
	const char *failure; /* for reports, or NULL. A dash before it: the host is skipped */
	const char *text;    /* words of it */
} rows[] = {
#define L(level) TLSPOLICY_##level
#define T(tls)   CLIENT_TLS_##tls
	/* Opportunistic: what the domain publishes decides. */
	{ MX, OPPORTUNISTIC, INSECURE, WITHOUT, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever answers" },
	{ MX, OPPORTUNISTIC, MX_INSECURE, WITHOUT, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever answers" },
	{ MX, OPPORTUNISTIC, A_INSECURE, WITHOUT, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever answers" },
	{ MX, OPPORTUNISTIC, SIGNED, WITHOUT, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever answers" },
	{ MX, OPPORTUNISTIC, MISSING, WITHOUT, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever answers" },
	{ MX, OPPORTUNISTIC, UNSIGNED, WITHOUT, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever answers" },
	{ MX, OPPORTUNISTIC, BOGUS, WITHOUT, 0, 0, "", "-dnssec-invalid", "cannot be looked up: SERVFAIL" },
	{ MX, OPPORTUNISTIC, SILENT, WITHOUT, 0, 0, "", "-dnssec-invalid", "cannot be looked up" },
	{ MX, OPPORTUNISTIC, USABLE, WITHOUT, L(DANE), T(STARTTLS), "dane", NULL,
	  "1 TLSA record of _25._tcp.mx.example.net" },
	{ MX, OPPORTUNISTIC, MIXED, WITHOUT, L(DANE), T(STARTTLS), "dane", NULL, "1 TLSA record of" },
	{ MX, OPPORTUNISTIC, UNUSABLE, WITHOUT, L(DANE_ENCRYPT), T(STARTTLS), "", NULL, "none of the TLSA records" },

	/* MTA-STS has a say where DANE has none. */
	{ MX, OPPORTUNISTIC, SIGNED, OFF, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever answers" },
	{ MX, OPPORTUNISTIC, INSECURE, UNFETCHED, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", "sts-policy-fetch-error",
	  "whoever" },
	{ MX, OPPORTUNISTIC, INSECURE, TESTING, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "~mx.example.net", NULL,
	  "being tested" },
	{ MX, OPPORTUNISTIC, INSECURE, TESTING_OTHER, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", "validation-failure",
	  "whoever" },
	{ MX, OPPORTUNISTIC, INSECURE, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL,
	  "which the policy of example.org names" },
	{ MX, OPPORTUNISTIC, INSECURE, ENFORCE_OTHER, 0, 0, "", "-validation-failure", "does not name mx.example.net" },
	{ MX, OPPORTUNISTIC, A_INSECURE, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL, "MTA-STS" },
	{ MX, OPPORTUNISTIC, SIGNED, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL, "MTA-STS" },
	{ MX, OPPORTUNISTIC, UNSIGNED, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL, "MTA-STS" },
	{ MX, OPPORTUNISTIC, BOGUS, ENFORCE, 0, 0, "", "-dnssec-invalid", "cannot be looked up" },
	{ MX, OPPORTUNISTIC, BOGUS, TESTING, 0, 0, "", "-dnssec-invalid", "cannot be looked up" },
	{ MX, OPPORTUNISTIC, USABLE, ENFORCE, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },
	{ MX, OPPORTUNISTIC, USABLE, ENFORCE_OTHER, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },
	{ MX, OPPORTUNISTIC, USABLE, TESTING_OTHER, L(DANE), T(STARTTLS), "dane", "validation-failure", "DANE" },
	{ MX, OPPORTUNISTIC, UNUSABLE, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL, "MTA-STS" },
	{ MX, OPPORTUNISTIC, UNUSABLE, ENFORCE_OTHER, 0, 0, "", "-validation-failure", "MTA-STS" },
	{ MX, OPPORTUNISTIC, UNUSABLE, TESTING, L(DANE_ENCRYPT), T(STARTTLS), "~mx.example.net", NULL,
	  "none of the TLSA" },
	{ MX, NO_STS, INSECURE, ENFORCE_OTHER, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever" },
	{ MX, OPEN_CA, INSECURE, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL, "MTA-STS" },
	{ MX, OPEN_CA, USABLE, WITHOUT, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },

	/* What the configuration demands is never less. */
	{ MX, NONE, USABLE, ENFORCE, L(NONE), T(NONE), "", NULL, "clear text" },
	{ MX, STARTTLS, INSECURE, WITHOUT, L(VERIFIED), T(STARTTLS), "example.org .example.org", NULL,
	  "for example.org or a name below it" },
	{ MX, STARTTLS, MX_INSECURE, WITHOUT, L(VERIFIED), T(STARTTLS), "example.org .example.org", NULL,
	  "for example.org" },
	{ MX, STARTTLS, A_INSECURE, WITHOUT, L(VERIFIED), T(STARTTLS), "mx.example.net", NULL, "for mx.example.net" },
	{ MX, STARTTLS, SIGNED, WITHOUT, L(VERIFIED), T(STARTTLS), "mx.example.net", NULL, "for mx.example.net" },
	{ MX, STARTTLS, UNUSABLE, WITHOUT, L(VERIFIED), T(STARTTLS), "mx.example.net", NULL, "for mx.example.net" },
	{ MX, STARTTLS, USABLE, WITHOUT, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },
	{ MX, STARTTLS, BOGUS, WITHOUT, 0, 0, "", "-dnssec-invalid", "cannot be looked up" },
	{ MX, STARTTLS, INSECURE, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL, "MTA-STS" },
	{ MX, STARTTLS, INSECURE, ENFORCE_OTHER, 0, 0, "", "-validation-failure", "MTA-STS" },
	{ MX, STARTTLS, INSECURE, TESTING, L(VERIFIED), T(STARTTLS), "example.org .example.org", NULL,
	  "for example.org" },
	{ MX, IMPLICIT, SIGNED, WITHOUT, L(VERIFIED), T(IMPLICIT), "mx.example.net", NULL, "for mx.example.net" },
	{ MX, IMPLICIT, USABLE, WITHOUT, L(DANE), T(IMPLICIT), "dane", NULL, "DANE" },
	{ MX, CALLED, USABLE, ENFORCE_OTHER, L(VERIFIED), T(STARTTLS), "called.example", NULL, "for called.example" },
	{ MX, CALLED, BOGUS, WITHOUT, L(VERIFIED), T(STARTTLS), "called.example", NULL, "for called.example" },
	{ MX, OWN_CA, USABLE, WITHOUT, L(VERIFIED), T(STARTTLS), "mx.example.net", NULL, "an authority of /ca.pem" },
	{ MX, OWN_CA, INSECURE, ENFORCE, L(MTA_STS), T(STARTTLS), "mx.example.net", NULL, "MTA-STS" },
	{ MX, PINNED, USABLE, ENFORCE_OTHER, L(VERIFIED), T(STARTTLS), "pin", NULL, "tls_pins" },
	{ MX, OPEN_PINNED, USABLE, ENFORCE_OTHER, L(VERIFIED), T(STARTTLS), "pin", NULL, "tls_pins" },
	{ MX, WAIVED, BOGUS, ENFORCE_OTHER, L(ENCRYPTED), T(STARTTLS), "", NULL, "tls_verify = no" },
	{ MX, OPEN_WAIVED, USABLE, ENFORCE_OTHER, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever" },
	{ MX, DANE, USABLE, WITHOUT, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },
	{ MX, DANE, USABLE, ENFORCE_OTHER, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },
	{ MX, DANE, INSECURE, ENFORCE, 0, 0, "", "-dane-required", "the MX of example.org are not signed" },
	{ MX, DANE, A_INSECURE, WITHOUT, 0, 0, "", "-dane-required", "the addresses of mx.example.net are not signed" },
	{ MX, DANE, SIGNED, WITHOUT, 0, 0, "", "-dane-required", "_25._tcp.mx.example.net has no TLSA records" },
	{ MX, DANE, MISSING, WITHOUT, 0, 0, "", "-dane-required", "has no TLSA records that are signed" },
	{ MX, DANE, UNSIGNED, WITHOUT, 0, 0, "", "-dane-required", "has no TLSA records that are signed" },
	{ MX, DANE, BOGUS, WITHOUT, 0, 0, "", "-dnssec-invalid", "cannot be looked up" },
	{ MX, DANE, UNUSABLE, WITHOUT, 0, 0, "", "-tlsa-invalid", "can be used" },

	/* Smart hosts: their name is the owner's own word. */
	{ SMART, NONE, USABLE, WITHOUT, L(NONE), T(NONE), "", NULL, "clear text" },
	{ SMART, OPPORTUNISTIC, INSECURE, WITHOUT, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever" },
	{ SMART, OPPORTUNISTIC, USABLE, WITHOUT, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },
	{ SMART, OPPORTUNISTIC, UNUSABLE, WITHOUT, L(DANE_ENCRYPT), T(STARTTLS), "", NULL, "DANE" },
	{ SMART, OPPORTUNISTIC, BOGUS, WITHOUT, 0, 0, "", "-dnssec-invalid", "cannot be looked up" },
	{ SMART, OPPORTUNISTIC, SIGNED, ENFORCE_OTHER, L(OPPORTUNISTIC), T(OPPORTUNISTIC), "", NULL, "whoever" },
	{ SMART, STARTTLS, USABLE, WITHOUT, L(VERIFIED), T(STARTTLS), "mx.example.net", NULL, "for mx.example.net" },
	{ SMART, STARTTLS, BOGUS, WITHOUT, L(VERIFIED), T(STARTTLS), "mx.example.net", NULL, "for mx.example.net" },
	{ SMART, IMPLICIT, INSECURE, WITHOUT, L(VERIFIED), T(IMPLICIT), "mx.example.net", NULL,
	  "an authority of this system" },
	{ SMART, CALLED, INSECURE, WITHOUT, L(VERIFIED), T(STARTTLS), "called.example", NULL, "for called.example" },
	{ SMART, PINNED, INSECURE, WITHOUT, L(VERIFIED), T(STARTTLS), "pin", NULL, "tls_pins" },
	{ SMART, OWN_CA, INSECURE, WITHOUT, L(VERIFIED), T(STARTTLS), "mx.example.net", NULL, "/ca.pem" },
	{ SMART, WAIVED, INSECURE, WITHOUT, L(ENCRYPTED), T(STARTTLS), "", NULL, "tls_verify = no" },
	{ SMART, DANE, USABLE, WITHOUT, L(DANE), T(STARTTLS), "dane", NULL, "DANE" },
	{ SMART, DANE, A_INSECURE, WITHOUT, 0, 0, "", "-dane-required",
	  "the addresses of mx.example.net are not signed" },
	{ SMART, DANE, SIGNED, WITHOUT, 0, 0, "", "-dane-required", "has no TLSA records" },
	{ SMART, DANE, UNUSABLE, WITHOUT, 0, 0, "", "-tlsa-invalid", "can be used" },
};

/* ---------------------------------------------------------------- from words to facts */

static const char digest[64];
static const char *pin_list[] = { "sha256:00" };

struct world {
	struct config_smarthost host;
	struct target_host target;
	struct dns_record records[2];
	struct dns_records tlsa;
	struct mtasts_policy policy;
	struct mtasts_result sts;
	struct tlspolicy_facts facts;
};

static void configure(struct world *w, enum lane lane, enum said config)
{
	static const enum config_tls levels[] = {
		[NONE] = CONFIG_TLS_NONE,
		[OPPORTUNISTIC] = CONFIG_TLS_OPPORTUNISTIC,
		[STARTTLS] = CONFIG_TLS_STARTTLS,
		[IMPLICIT] = CONFIG_TLS_IMPLICIT,
		[DANE] = CONFIG_TLS_DANE,
		[PINNED] = CONFIG_TLS_STARTTLS,
		[OPEN_PINNED] = CONFIG_TLS_OPPORTUNISTIC,
		[CALLED] = CONFIG_TLS_STARTTLS,
		[OWN_CA] = CONFIG_TLS_STARTTLS,
		[OPEN_CA] = CONFIG_TLS_OPPORTUNISTIC,
		[WAIVED] = CONFIG_TLS_STARTTLS,
		[OPEN_WAIVED] = CONFIG_TLS_OPPORTUNISTIC,
		[NO_STS] = CONFIG_TLS_OPPORTUNISTIC,
	};

	w->host = (struct config_smarthost){
		.name = lane == MX ? "mx" : "smart",
		.host = lane == MX ? NULL : "mx.example.net",
		.tls = levels[config],
		.tls_verify = config != WAIVED && config != OPEN_WAIVED,
		.mta_sts = config != NO_STS,
		.tls_name = config == CALLED ? "called.example" : NULL,
		.tls_ca = config == OWN_CA || config == OPEN_CA ? "/ca.pem" : NULL,
		.tls_certificate = "/own.pem",
		.tls_key = "/own.key",
	};
	if (config == PINNED || config == OPEN_PINNED)
		w->host.tls_pins = (struct config_strings){ pin_list, 1 };
	w->target = (struct target_host){ .name = "mx.example.net", .port = 25, .tls = levels[config] };
	w->facts = (struct tlspolicy_facts){
		.host = &w->host,
		.target = &w->target,
		.domain = lane == MX ? "example.org" : NULL,
		.is_authentic = true,
		.tlsa_name = "",
	};
}

static void look_up(struct world *w, enum answer dns)
{
	static const enum dns_status statuses[] = {
		[SIGNED] = DNS_NODATA, [MISSING] = DNS_NXDOMAIN, [BOGUS] = DNS_TEMPORARY, [SILENT] = DNS_SILENT,
		[USABLE] = DNS_OK,     [UNUSABLE] = DNS_OK,      [MIXED] = DNS_OK,        [UNSIGNED] = DNS_OK,
	};
	struct dns_record good = { .usage = 3, .selector = 1, .matching = 1, .data = span_of(digest, 32) };
	struct dns_record bad = { .usage = 1, .selector = 1, .matching = 1, .data = span_of(digest, 32) };

	if (w->facts.domain && (dns == INSECURE || dns == MX_INSECURE))
		w->facts.is_authentic = false;
	w->facts.is_address_authentic = dns != INSECURE && dns != A_INSECURE;
	if (!tlspolicy_wants_tlsa(&w->facts))
		return;
	w->records[0] = dns == UNUSABLE ? bad : good;
	w->records[1] = bad;
	w->tlsa = (struct dns_records){
		.status = statuses[dns],
		.authentic = dns != UNSIGNED && dns != MISSING,
		.list = w->records,
		.count = statuses[dns] != DNS_OK ? 0
			 : dns == MIXED          ? 2
						 : 1,
		.text = "SERVFAIL of 127.0.0.1",
	};
	w->facts.tlsa = &w->tlsa;
	w->facts.tlsa_name = "mx.example.net";
}

static void fetch(struct world *w, enum found sts)
{
	bool named = sts == TESTING || sts == ENFORCE;

	if (sts == WITHOUT || !tlspolicy_wants_sts(&w->host, w->facts.domain))
		return;
	w->policy = (struct mtasts_policy){
		.mode = sts == OFF                               ? MTASTS_NONE
			: sts == ENFORCE || sts == ENFORCE_OTHER ? MTASTS_ENFORCE
								 : MTASTS_TESTING,
		.mx = { named ? "*.example.net" : "mx.example.org" },
		.mx_count = 1,
	};
	w->sts = (struct mtasts_result){ .policy = &w->policy, .text = "" };
	if (sts == UNFETCHED)
		w->sts = (struct mtasts_result){ .failure = "sts-policy-fetch-error", .text = "" };
	w->facts.sts = &w->sts;
}

static const char *checked(const struct tlspolicy *p)
{
	static char out[600];
	const struct tls_demand *d = &p->demand;
	size_t len;

	if (!d->verify)
		return "";
	if (d->tlsa)
		return "dane";
	if (d->pin_count)
		return "pin";
	len = (size_t)snprintf(out, sizeof(out), "%s%s", d->only_notes ? "~" : "",
			       d->check_name ? d->check_name : d->name);
	for (size_t i = 0; i < d->more_name_count; i++)
		len += (size_t)snprintf(out + len, sizeof(out) - len, " %s", d->more_names[i]);
	return out;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void every_combination_demands_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *failure = rows[i].failure;
		bool skipped = failure && failure[0] == '-';
		struct tlspolicy p;
		struct world w = { .target = { .port = 0 } };

		configure(&w, rows[i].lane, rows[i].config);
		look_up(&w, rows[i].dns);
		fetch(&w, rows[i].sts);
		memset(&p, 0x55, sizeof(p));
		tlspolicy_decide(&w.facts, &p);
		if ((p.end == TLSPOLICY_SKIP) != skipped)
			fail_msg("row %zu: %s: %s", i, p.end == TLSPOLICY_SKIP ? "skipped" : "used", p.text);
		if (!same(p.failure, skipped ? failure + 1 : failure))
			fail_msg("row %zu: failure %s", i, p.failure ? p.failure : "none");
		if (!strstr(p.text, rows[i].text))
			fail_msg("row %zu: \"%s\" is not in \"%s\"", i, rows[i].text, p.text);
		if (skipped) {
			assert_true(p.is_unproven);
			continue;
		}
		if (p.level != rows[i].level || p.tls != rows[i].tls)
			fail_msg("row %zu: %s, tls %d", i, tlspolicy_level_name(p.level), p.tls);
		if (strcmp(checked(&p), rows[i].checked) != 0)
			fail_msg("row %zu: checks \"%s\"", i, checked(&p));
		if (p.is_unproven != (rows[i].checked[0] == '\0' || rows[i].checked[0] == '~'))
			fail_msg("row %zu: unproven: %d", i, p.is_unproven);
		if (p.tls != CLIENT_TLS_NONE) {
			assert_string_equal(p.demand.name, "mx.example.net");
			assert_string_equal(p.demand.certificate_file, "/own.pem");
			assert_string_equal(p.demand.key_file, "/own.key");
			assert_ptr_equal(p.demand.ca_file, w.host.tls_ca);
			assert_non_null(strstr(p.demand.cache_key, "mx.example.net:25"));
			assert_non_null(strstr(p.demand.cache_key, tlspolicy_level_name(p.level)));
		}
	}
}

/* ---------------------------------------------------------------- DANE: names and what is asked */

static void dane_asks_for_the_base_and_takes_the_domains_names_too(void **state)
{
	struct tlspolicy p;
	struct world w = { .target = { .port = 0 } };

	(void)state;
	configure(&w, MX, OPPORTUNISTIC);
	look_up(&w, USABLE);
	w.facts.tlsa_name = "real.example.net";
	w.facts.domain_alias = "alias.example.org";
	tlspolicy_decide(&w.facts, &p);
	assert_string_equal(p.demand.name, "real.example.net");
	assert_null(p.demand.check_name);
	assert_int_equal(p.demand.more_name_count, 2);
	assert_string_equal(p.demand.more_names[0], "example.org");
	assert_string_equal(p.demand.more_names[1], "alias.example.org");
	assert_non_null(strstr(p.text, "_25._tcp.real.example.net"));
	assert_int_equal(p.demand.tlsa_count, 1);
	assert_int_equal(p.demand.tlsa[0].usage, 3);

	w.facts.domain_alias = "EXAMPLE.org"; /* said already */
	tlspolicy_decide(&w.facts, &p);
	assert_int_equal(p.demand.more_name_count, 1);

	/* A smart host that is an alias: its own name fits, too. */
	configure(&w, SMART, DANE);
	look_up(&w, USABLE);
	w.facts.tlsa_name = "real.example.net";
	tlspolicy_decide(&w.facts, &p);
	assert_string_equal(p.demand.name, "real.example.net");
	assert_int_equal(p.demand.more_name_count, 1);
	assert_string_equal(p.demand.more_names[0], "mx.example.net");
}

static void bases_are_where_aliases_led_and_then_the_name_itself(void **state)
{
	const char *bases[TLSPOLICY_BASES];
	struct world w = { .target = { .port = 0 } };
	struct dns_addresses addresses = { .authentic = true, .name = "real.example.net" };

	(void)state;
	configure(&w, MX, OPPORTUNISTIC);
	assert_int_equal(tlspolicy_tlsa_bases(&w.facts, &addresses, bases), 2);
	assert_string_equal(bases[0], "real.example.net");
	assert_string_equal(bases[1], "mx.example.net");
	addresses.authentic = false;
	assert_int_equal(tlspolicy_tlsa_bases(&w.facts, &addresses, bases), 1);
	assert_string_equal(bases[0], "mx.example.net");
	addresses = (struct dns_addresses){ .authentic = true, .name = "MX.example.net" };
	assert_int_equal(tlspolicy_tlsa_bases(&w.facts, &addresses, bases), 1);
	addresses.name = NULL;
	assert_int_equal(tlspolicy_tlsa_bases(&w.facts, &addresses, bases), 1);
}

static void dane_has_no_say_about_addresses_and_paths(void **state)
{
	static const char *const names[] = { "192.0.2.1", "2001:db8::1", "/run/lmtp" };
	struct tlspolicy p;
	struct world w = { .target = { .port = 0 } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		configure(&w, SMART, OPPORTUNISTIC);
		w.facts.is_address_authentic = true;
		w.target.name = names[i];
		assert_false(tlspolicy_wants_tlsa(&w.facts));
		tlspolicy_decide(&w.facts, &p);
		assert_int_equal(p.level, TLSPOLICY_OPPORTUNISTIC);
		w.host.tls = w.target.tls = CONFIG_TLS_DANE;
		tlspolicy_decide(&w.facts, &p);
		assert_int_equal(p.end, TLSPOLICY_SKIP);
		assert_string_equal(p.failure, "dane-required");
		assert_non_null(strstr(p.text, "has no name"));
	}
}

static void records_that_nobody_asked_for_are_not_taken_for_none(void **state)
{
	struct tlspolicy p;
	struct world w = { .target = { .port = 0 } };

	(void)state;
	configure(&w, MX, OPPORTUNISTIC);
	w.facts.is_address_authentic = true;
	tlspolicy_decide(&w.facts, &p);
	assert_int_equal(p.end, TLSPOLICY_SKIP);
}

static void more_records_than_there_is_room_for_are_passed_over(void **state)
{
	struct dns_record many[DNS_RECORDS_MAX];
	struct tlspolicy p;
	struct world w = { .target = { .port = 0 } };

	(void)state;
	configure(&w, MX, OPPORTUNISTIC);
	look_up(&w, USABLE);
	for (size_t i = 0; i < DNS_RECORDS_MAX; i++)
		many[i] = w.records[0];
	w.tlsa.list = many;
	w.tlsa.count = DNS_RECORDS_MAX;
	tlspolicy_decide(&w.facts, &p);
	assert_int_equal(p.level, TLSPOLICY_DANE);
	assert_int_equal(p.demand.tlsa_count, TLSPOLICY_TLSA);
}

/* ---------------------------------------------------------------- names that the configuration means */

static void a_host_that_nothing_proves_to_be_chosen_is_checked_for_the_domain(void **state)
{
	struct tlspolicy p;
	struct world w = { .target = { .port = 0 } };

	(void)state;
	configure(&w, SMART, STARTTLS);
	w.host.host = "srv:example.com";
	w.target.reference = "example.com";
	tlspolicy_decide(&w.facts, &p);
	assert_string_equal(checked(&p), "example.com");
	assert_string_equal(p.demand.name, "mx.example.net");
	w.host.tls_name = "called.example";
	tlspolicy_decide(&w.facts, &p);
	assert_string_equal(checked(&p), "called.example");
	/* And a service of implicit TLS is that, whatever stands in the file. */
	w.target.tls = CONFIG_TLS_IMPLICIT;
	tlspolicy_decide(&w.facts, &p);
	assert_int_equal(p.tls, CLIENT_TLS_IMPLICIT);
}

static void a_domain_that_is_an_address_is_checked_as_one(void **state)
{
	struct tlspolicy p;
	struct world w = { .target = { .port = 0 } };

	(void)state;
	configure(&w, MX, STARTTLS);
	w.facts.domain = "[192.0.2.1]";
	w.target.name = "192.0.2.1";
	w.facts.is_authentic = false;
	assert_false(tlspolicy_wants_sts(&w.host, w.facts.domain));
	tlspolicy_decide(&w.facts, &p);
	assert_string_equal(checked(&p), "192.0.2.1");
}

/* ---------------------------------------------------------------- afterwards */

static void clear_text_follows_only_where_nothing_was_promised(void **state)
{
	static const struct {
		enum said config;
		enum answer dns;
		enum found sts;
		enum client_tls tls;
	} cases[] = {
		{ OPPORTUNISTIC, INSECURE, WITHOUT, CLIENT_TLS_NONE },
		{ OPPORTUNISTIC, INSECURE, TESTING, CLIENT_TLS_NONE },
		{ OPEN_WAIVED, INSECURE, WITHOUT, CLIENT_TLS_NONE },
		{ OPPORTUNISTIC, USABLE, WITHOUT, CLIENT_TLS_STARTTLS },
		{ OPPORTUNISTIC, UNUSABLE, WITHOUT, CLIENT_TLS_STARTTLS },
		{ OPPORTUNISTIC, INSECURE, ENFORCE, CLIENT_TLS_STARTTLS },
		{ STARTTLS, INSECURE, WITHOUT, CLIENT_TLS_STARTTLS },
		{ WAIVED, INSECURE, WITHOUT, CLIENT_TLS_STARTTLS },
		{ OPEN_PINNED, INSECURE, WITHOUT, CLIENT_TLS_STARTTLS },
		{ DANE, USABLE, WITHOUT, CLIENT_TLS_STARTTLS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tlspolicy p;
		struct world w = { .target = { .port = 0 } };

		configure(&w, MX, cases[i].config);
		look_up(&w, cases[i].dns);
		fetch(&w, cases[i].sts);
		w.facts.without_tls = true;
		tlspolicy_decide(&w.facts, &p);
		if (p.tls != cases[i].tls)
			fail_msg("case %zu: %d", i, p.tls);
		assert_true(p.tls != CLIENT_TLS_NONE || p.is_unproven);
	}
}

static void a_peer_is_proven_as_the_policy_says_or_by_the_owners_word(void **state)
{
	const struct tls_facts nothing = { .version = "TLSv1.3" };
	const struct tls_facts by_name = { .version = "TLSv1.2", .verified = true };
	const struct tls_facts by_dane = { .version = "TLSv1.3", .verified = true, .by_dane = true };
	static const struct {
		enum tlspolicy_level level;
		bool waived, nothing, by_name, by_dane;
	} cases[] = {
		{ TLSPOLICY_NONE, false, false, false, false },
		{ TLSPOLICY_OPPORTUNISTIC, false, false, false, false },
		{ TLSPOLICY_OPPORTUNISTIC, true, true, true, true },
		{ TLSPOLICY_ENCRYPTED, true, true, true, true },
		{ TLSPOLICY_VERIFIED, false, false, true, true },
		{ TLSPOLICY_MTA_STS, false, false, true, true },
		{ TLSPOLICY_DANE, false, false, false, true },
		{ TLSPOLICY_DANE_ENCRYPT, false, false, false, false },
	};
	char text[TLSPOLICY_OUTCOME_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tlspolicy p = { .level = cases[i].level, .is_waived = cases[i].waived };

		assert_int_equal(tlspolicy_is_proven(&p, &nothing), cases[i].nothing);
		assert_int_equal(tlspolicy_is_proven(&p, &by_name), cases[i].by_name);
		assert_int_equal(tlspolicy_is_proven(&p, &by_dane), cases[i].by_dane);
	}
	assert_string_equal(tlspolicy_outcome(&(struct tlspolicy){ .level = TLSPOLICY_DANE }, &by_dane, text),
			    "TLSv1.3 dane");
	assert_string_equal(tlspolicy_outcome(&(struct tlspolicy){ .level = TLSPOLICY_MTA_STS }, &by_name, text),
			    "TLSv1.2 mta-sts");
	assert_string_equal(tlspolicy_outcome(&(struct tlspolicy){ .level = TLSPOLICY_VERIFIED }, &by_name, text),
			    "TLSv1.2 verified");
	assert_string_equal(tlspolicy_outcome(&(struct tlspolicy){ .level = TLSPOLICY_OPPORTUNISTIC }, &nothing, text),
			    "TLSv1.3 unverified");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_combination_demands_what_the_table_says),
		cmocka_unit_test(dane_asks_for_the_base_and_takes_the_domains_names_too),
		cmocka_unit_test(bases_are_where_aliases_led_and_then_the_name_itself),
		cmocka_unit_test(dane_has_no_say_about_addresses_and_paths),
		cmocka_unit_test(records_that_nobody_asked_for_are_not_taken_for_none),
		cmocka_unit_test(more_records_than_there_is_room_for_are_passed_over),
		cmocka_unit_test(a_host_that_nothing_proves_to_be_chosen_is_checked_for_the_domain),
		cmocka_unit_test(a_domain_that_is_an_address_is_checked_as_one),
		cmocka_unit_test(clear_text_follows_only_where_nothing_was_promised),
		cmocka_unit_test(a_peer_is_proven_as_the_policy_says_or_by_the_owners_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
