#include <stdio.h>
#include <string.h>

#include "delivery/approach_inside.h"
#include "delivery/own.h"
#include "net/addr.h"

static struct tlspolicy_facts facts_of(const struct approach *a, bool is_signed)
{
	return (struct tlspolicy_facts){
		.host = a->setup.host,
		.target = approach_current(a),
		.domain = a->setup.domain,
		.domain_alias = a->domain_alias,
		.is_authentic = a->is_authentic,
		.is_address_authentic = is_signed,
		.tlsa_name = a->has_tlsa && a->base_at < a->base_count ? a->bases[a->base_at] : "",
		.tlsa = a->has_tlsa ? &a->tlsa : NULL,
		.sts = a->has_sts ? &a->sts : NULL,
	};
}

static const char *keep(struct approach *a, const char *text)
{
	const char *copy = mem_arena_dup(&a->host_arena, span_str(text));

	return copy ? copy : "";
}

/* ---------------------------------------------------------------- the policy */

void approach_host_decide(struct approach *a, bool without_tls)
{
	struct tlspolicy_facts facts = facts_of(a, a->is_signed);

	facts.without_tls = without_tls;
	tlspolicy_decide(&facts, &a->policy);
}

static void go(struct approach *a)
{
	approach_host_decide(a, false);
	approach_tell(a, APPROACH_POLICY, a->policy.end == TLSPOLICY_USE, a->policy.text);
	if (a->policy.end == TLSPOLICY_SKIP) {
		approach_note_host(a, a->policy.text);
		approach_give_up_host(a, a->has_tlsa && a->tlsa.status == DNS_SILENT ? APPROACH_ENDED_SILENT
										     : APPROACH_ENDED_BARRED);
	} else if (a->setup.only_look) {
		approach_give_up_host(a, 0);
	} else {
		approach_dial(a, false);
	}
}

/* ---------------------------------------------------------------- TLSA (RFC 7672, 2.2.2) */

static void ask_tlsa(struct approach *a);

static void keep_tlsa(struct approach *a, const struct dns_records *r)
{
	a->has_tlsa = true;
	a->tlsa = *r;
	a->tlsa.list = a->tlsa_list;
	a->tlsa.name = keep(a, r->name ? r->name : "");
	for (size_t i = 0; i < r->count; i++) {
		char *data = mem_arena_alloc(&a->host_arena, r->list[i].data.len + 1);

		a->tlsa_list[i] = r->list[i];
		a->tlsa_list[i].name = "";
		if (!data) { /* more than any honest answer has: as if it could not be read */
			a->tlsa.status = DNS_TEMPORARY;
			a->tlsa.count = 0;
			return;
		}
		memcpy(data, r->list[i].data.data, r->list[i].data.len);
		a->tlsa_list[i].data = span_of(data, r->list[i].data.len);
	}
}

static void got_tlsa(void *arg, const struct dns_records *r)
{
	struct approach *a = arg;
	bool failed = r->status == DNS_TEMPORARY || r->status == DNS_SILENT;

	a->query = NULL;
	approach_tell(a, APPROACH_TLSA, !failed, r->text);
	if (failed || (r->status == DNS_OK && r->authentic) || a->base_at + 1 == a->base_count) {
		keep_tlsa(a, r);
		go(a);
	} else {
		a->base_at++;
		ask_tlsa(a);
	}
}

static void ask_tlsa(struct approach *a)
{
	char name[300];

	snprintf(name, sizeof name, "_%u._tcp.%.255s", approach_current(a)->port, a->bases[a->base_at]);
	approach_begin(a);
	a->query = dns_records(a->setup.dns, name, DNS_TLSA, got_tlsa, a);
}

static void find_bases(struct approach *a, const struct dns_addresses *addresses)
{
	struct tlspolicy_facts facts = facts_of(a, a->is_signed);
	const char *bases[TLSPOLICY_BASES];

	a->base_count = tlspolicy_tlsa_bases(&facts, addresses, bases);
	a->base_at = 0;
	for (size_t i = 0; i < a->base_count; i++)
		a->bases[i] = keep(a, bases[i]);
	ask_tlsa(a);
}

/* Where a chain of aliases is not signed all along, its beginning may be: then the records of the host's own name count. The
 * same question tells whether a name whose addresses nobody asked for lies in a signed zone. */
static void got_alias(void *arg, const struct dns_records *r)
{
	struct approach *a = arg;

	a->query = NULL;
	approach_tell(a, APPROACH_ALIAS, r->status != DNS_TEMPORARY && r->status != DNS_SILENT, r->text);
	switch (r->status) {
	case DNS_OK:
	case DNS_NODATA: a->is_signed = r->authentic; break;
	case DNS_NXDOMAIN:
	case DNS_BAD_NAME: break;
	case DNS_TEMPORARY:
	case DNS_SILENT:
		a->is_signed = true; /* perhaps: it must not be taken for unsigned */
		keep_tlsa(a, r);
		break;
	}
	if (a->is_signed && !a->has_tlsa)
		find_bases(a, &(struct dns_addresses){ .name = "" });
	else
		go(a);
}

static void ask_alias(struct approach *a)
{
	approach_begin(a);
	a->query = dns_records(a->setup.dns, approach_current(a)->name, DNS_CNAME, got_alias, a);
}

/* Worth it, if only the name were signed. */
static bool wants_tlsa(const struct approach *a, bool is_signed)
{
	struct tlspolicy_facts facts = facts_of(a, is_signed);

	return tlspolicy_wants_tlsa(&facts);
}

/* ---------------------------------------------------------------- addresses */

static bool is_put_off(const struct approach *a, const struct dns_address *address)
{
	bool is_avoided = a->setup.avoid_family && address->addr.ss_family == a->setup.avoid_family;

	return is_avoided != a->is_late_round;
}

void approach_host_put_off(struct approach *a)
{
	size_t kept = 0;

	if (a->setup.host->proxy.host)
		return;
	for (size_t i = 0; i < a->count; i++)
		if (is_put_off(a, &a->addresses[i]))
			a->has_put_off = true;
		else
			a->addresses[kept++] = a->addresses[i];
	a->count = kept;
}

static bool is_same(const struct dns_address *a, const struct dns_address *b)
{
	return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

static void put_first(struct approach *a, const struct dns_address *address)
{
	for (size_t i = 0; i < a->count; i++) {
		struct dns_address one = a->addresses[i];

		if (!is_same(&one, address))
			continue;
		memmove(&a->addresses[1], &a->addresses[0], i * sizeof one);
		a->addresses[0] = one;
		return;
	}
}

/* Without those where this agent itself listens. False: nothing else is left. */
static bool take_addresses(struct approach *a, const struct dns_addresses *r)
{
	size_t first = a->setup.domain ? 0 : a->setup.turn % r->count;
	char text[ADDR_TEXT_SIZE + 64], name[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < r->count && a->count < APPROACH_ADDRESSES; i++) {
		const struct dns_address *address = &r->list[(first + i) % r->count];

		if (own_is(a->setup.config, address, approach_current(a)->port))
			snprintf(text, sizeof text, "%s is this agent itself", addr_host(&address->addr, name));
		else
			a->addresses[a->count++] = *address;
	}
	if (!a->count) {
		approach_note_host(a, text);
		return false;
	}
	if (a->setup.prefer && strcmp(a->setup.prefer, approach_current(a)->name) == 0)
		put_first(a, &a->setup.prefer_address);
	return true;
}

static void got_addresses(void *arg, const struct dns_addresses *r)
{
	struct approach *a = arg;
	const char *name = approach_current(a)->name;
	bool is_alias = r->name && r->name[0] && !span_equals_fold(span_str(r->name), span_str(name));

	a->query = NULL;
	a->by_dns |= r->status == DNS_OK || r->status == DNS_NXDOMAIN || r->status == DNS_NODATA;
	approach_tell(a, APPROACH_ADDRESS, r->status == DNS_OK, r->text);
	switch (r->status) {
	case DNS_OK: break;
	case DNS_SILENT:
		approach_note_host(a, r->text);
		approach_give_up_host(a, APPROACH_ENDED_SILENT);
		return;
	case DNS_TEMPORARY:
		approach_note_host(a, r->text);
		approach_give_up_host(a, APPROACH_ENDED_BARRED);
		return;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
	case DNS_BAD_NAME:
		approach_note_host(a, r->text);
		approach_give_up_host(a, APPROACH_ENDED_NOWHERE);
		return;
	}
	if (!take_addresses(a, r)) {
		approach_give_up_host(a, APPROACH_ENDED_BARRED);
		return;
	}
	approach_host_put_off(a);
	if (!a->count) {
		approach_give_up_host(a, 0);
		return;
	}
	a->is_signed = r->authentic;
	if (wants_tlsa(a, a->is_signed))
		find_bases(a, r);
	else if (is_alias && !a->is_signed && wants_tlsa(a, true))
		ask_alias(a);
	else
		go(a);
}

/* ---------------------------------------------------------------- by a proxy */

/* RFC 7686: such names are none of DNS's business. */
static bool is_onion(struct span name)
{
	struct span onion = SPAN(".onion");

	return name.len > onion.len && span_equals_fold(span_from(name, name.len - onion.len), onion);
}

static void got_proxy(void *arg, const struct dns_addresses *r)
{
	struct approach *a = arg;
	char text[APPROACH_STORY_MAX];

	a->query = NULL;
	approach_tell(a, APPROACH_ADDRESS, r->status == DNS_OK, r->text);
	if (r->status != DNS_OK) {
		snprintf(text, sizeof text, "proxy %s: %s", a->setup.host->proxy.host, r->text);
		approach_end(a, r->status == DNS_SILENT ? APPROACH_SILENT : APPROACH_NO_HOST, "", text);
		return;
	}
	for (size_t i = 0; i < r->count && a->count < APPROACH_ADDRESSES; i++)
		a->addresses[a->count++] = r->list[i];
	if (!is_onion(span_str(approach_current(a)->name)) && wants_tlsa(a, true))
		ask_alias(a);
	else
		go(a);
}

/* ---------------------------------------------------------------- begin */

void approach_host_start(struct approach *a)
{
	const char *name = approach_current(a)->name, *proxy = a->setup.host->proxy.host;

	mem_arena_reset(&a->host_arena);
	a->count = a->base_count = a->base_at = 0;
	a->has_tlsa = a->is_signed = false;
	a->last = (struct dns_address){ .len = 0 };
	approach_begin(a);
	if (name[0] == '/')
		go(a);
	else if (proxy)
		a->query = dns_host(a->setup.dns, proxy, got_proxy, a);
	else
		a->query = dns_host(a->setup.dns, name, got_addresses, a);
}
