#include "delivery/target.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "delivery/target_order.h"
#include "net/addr.h"

enum {
	ARENA_MAX = 32 * 1024, /* names of TARGET_HOSTS hosts, and texts */
	TEXT_MAX = 600,
};

#define SRV "srv:"

/* Is one of the hosts this agent? */
struct probe {
	struct target *target;
	struct dns_query *query;
	bool is_own;
};

struct target {
	struct target_setup setup;
	void (*done)(void *arg, const struct target_result *result);
	void *arg;
	struct dns_query *query;
	struct probe probes[TARGET_HOSTS];
	size_t probing; /* under way */
	struct loop_task task;
	struct mem_arena arena;
	struct chance chance;
	struct target_host hosts[TARGET_HOSTS];
	struct target_result result;
	bool is_implicit; /* SRV: _submissions was asked for */
	bool is_refused;  /* SRV: one of the services is said not to be there */
};

static void target_free(struct target *t)
{
	loop_task_stop(&t->task);
	if (t->query)
		dns_cancel(t->query);
	for (size_t i = 0; i < TARGET_HOSTS; i++)
		if (t->probes[i].query)
			dns_cancel(t->probes[i].query);
	mem_arena_fini(&t->arena);
	mem_free(t);
}

static void finish(struct target *t)
{
	t->result.hosts = t->hosts;
	t->done(t->arg, &t->result);
	target_free(t);
}

static const char *keep(struct target *t, const char *text)
{
	const char *copy = mem_arena_dup(&t->arena, span_first(span_str(text), TEXT_MAX));

	return copy ? copy : "";
}

static void end(struct target *t, enum target_end how, const char *status, const char *text)
{
	t->result.end = how;
	t->result.status = status;
	t->result.text = keep(t, text);
	t->result.count = 0;
	finish(t);
}

__attribute__((format(printf, 3, 4))) static void never(struct target *t, const char *status, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	end(t, TARGET_NEVER, status, text);
}

static void add(struct target *t, struct target_host host)
{
	if (t->result.count < TARGET_HOSTS)
		t->hosts[t->result.count++] = host;
}

/* "MX of example.org: 10 mx1.example.org, 20 mx2.example.org" */
static void describe(struct target *t, const char *what, bool has_port)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	buf_printf(&text, "%s of %.255s: ", what, t->result.domain);
	for (size_t i = 0; i < t->result.count; i++) {
		buf_printf(&text, "%s%u %s", i ? ", " : "", t->hosts[i].preference, t->hosts[i].name);
		if (has_port)
			buf_printf(&text, ":%u", t->hosts[i].port);
	}
	t->result.text = keep(t, buf_cstr(&text));
	buf_fini(&text);
}

/* ---------------------------------------------------------------- are we among them? */

/* RFC 5321, 5.1: this agent and all that are no better than it are left out. */
static void leave_out(struct target *t)
{
	const char *own = NULL;
	uint16_t best = 0;
	size_t kept = 0;

	for (size_t i = 0; i < t->result.count; i++)
		if (t->probes[i].is_own && (!own || t->hosts[i].preference < best)) {
			own = t->hosts[i].name;
			best = t->hosts[i].preference;
		}
	if (!own) {
		finish(t);
		return;
	}
	for (size_t i = 0; i < t->result.count; i++)
		if (t->hosts[i].preference < best)
			t->hosts[kept++] = t->hosts[i];
	t->result.count = kept;
	if (kept)
		finish(t);
	else
		never(t, "5.4.6", "mail for %.255s loops back to this agent: its best mail server, %.255s, is this one",
		      t->result.domain, own);
}

static void probed(void *arg, const struct dns_addresses *r)
{
	struct probe *probe = arg;
	struct target *t = probe->target;

	probe->query = NULL;
	for (size_t i = 0; i < r->count && r->status == DNS_OK; i++)
		probe->is_own |= t->setup.is_own(t->setup.is_own_arg, &r->list[i], t->hosts[probe - t->probes].port);
	if (--t->probing == 0)
		leave_out(t);
}

static void look_for_ourselves(struct target *t)
{
	struct span hostname = span_str(t->setup.config->hostname);

	if (!t->setup.is_own) {
		finish(t);
		return;
	}
	for (size_t i = 0; i < t->result.count; i++) {
		struct probe *probe = &t->probes[i];

		probe->target = t;
		probe->is_own = span_equals_fold(span_str(t->hosts[i].name), hostname);
		if (probe->is_own)
			continue;
		t->probing++;
		probe->query = dns_host(t->setup.dns, t->hosts[i].name, probed, probe);
	}
	if (!t->probing)
		leave_out(t);
}

/* ---------------------------------------------------------------- MX (RFC 5321, 5.1) */

static void implicit_mx(struct target *t)
{
	char text[TEXT_MAX];

	add(t,
	    (struct target_host){ .name = t->result.domain, .port = t->setup.host->port, .tls = t->setup.host->tls });
	snprintf(text, sizeof text, "%.255s has no MX records, and is its own mail server", t->result.domain);
	t->result.text = keep(t, text);
	look_for_ourselves(t);
}

static void got_address(void *arg, const struct dns_addresses *r)
{
	struct target *t = arg;

	t->query = NULL;
	switch (r->status) {
	case DNS_OK: implicit_mx(t); break;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
	case DNS_BAD_NAME:
		never(t, "5.1.2", "the domain %.255s has neither mail servers nor addresses", t->result.domain);
		break;
	case DNS_TEMPORARY: end(t, TARGET_NO_HOST, "", r->text); break;
	case DNS_SILENT: end(t, TARGET_SILENT, "", r->text); break;
	}
}

/* Addresses do not belong into MX records (RFC 5321, 5.1), and a host "." means that there is none (RFC 7505). */
static bool is_host_name(const char *name)
{
	struct dns_address address;

	return name[0] && !addr_literal(name, &address.addr, &address.len);
}

static void take_mx(struct target *t, const struct dns_records *r)
{
	struct dns_record records[DNS_RECORDS_MAX];
	size_t count = 0;
	bool is_null = false;

	for (size_t i = 0; i < r->count && count < DNS_RECORDS_MAX; i++) {
		is_null |= !r->list[i].name[0];
		if (is_host_name(r->list[i].name))
			records[count++] = r->list[i];
	}
	target_order_mx(records, count, &t->chance);
	for (size_t i = 0; i < count && i < TARGET_HOSTS; i++)
		add(t, (struct target_host){ .name = keep(t, records[i].name),
					     .port = t->setup.host->port,
					     .preference = records[i].preference,
					     .tls = t->setup.host->tls });
	if (count) {
		describe(t, "MX", false);
		look_for_ourselves(t);
	} else if (is_null) {
		never(t, "5.1.10", "the domain %.255s takes no mail (null MX)", t->result.domain);
	} else {
		end(t, TARGET_NO_HOST, "", r->text);
	}
}

static void note_alias(struct target *t, const struct dns_records *r)
{
	if (r->name && r->name[0] && !span_equals_fold(span_str(r->name), span_str(t->result.domain)))
		t->result.domain_alias = keep(t, r->name);
}

static void got_mx(void *arg, const struct dns_records *r)
{
	struct target *t = arg;

	t->query = NULL;
	t->result.by_dns = r->status == DNS_OK || r->status == DNS_NXDOMAIN || r->status == DNS_NODATA;
	t->result.is_authentic = r->authentic;
	note_alias(t, r);
	switch (r->status) {
	case DNS_OK: take_mx(t, r); break;
	case DNS_NODATA: t->query = dns_host(t->setup.dns, t->result.domain, got_address, t); break;
	case DNS_NXDOMAIN: never(t, "5.1.2", "there is no domain %.255s", t->result.domain); break;
	case DNS_BAD_NAME: never(t, "5.1.2", "%.255s is not the name of a domain", t->result.domain); break;
	case DNS_TEMPORARY: end(t, TARGET_NO_HOST, "", r->text); break;
	case DNS_SILENT: end(t, TARGET_SILENT, "", r->text); break;
	}
}

/* RFC 5321, 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]". False: another kind of literal. */
static bool literal(const char *domain, char out[ADDR_TEXT_SIZE], struct dns_address *address)
{
	struct span text = span_of(domain + 1, strlen(domain) - 1), tag = SPAN("IPv6:");
	bool is_v6 = span_starts_fold(text, tag);

	if (is_v6)
		text = span_from(text, tag.len);
	if (!text.len || text.data[text.len - 1] != ']' || text.len > ADDR_TEXT_SIZE)
		return false;
	snprintf(out, ADDR_TEXT_SIZE, "%.*s", (int)text.len - 1, text.data);
	return addr_literal(out, &address->addr, &address->len) && (address->addr.ss_family == AF_INET6) == is_v6;
}

static void take_literal(struct target *t)
{
	char host[ADDR_TEXT_SIZE], text[TEXT_MAX];
	struct dns_address address;

	t->result.is_authentic = true;
	if (t->result.domain[0] != '[') {
		never(t, "5.1.2", "%.255s is not a domain; an address stands in brackets", t->result.domain);
	} else if (!literal(t->result.domain, host, &address)) {
		never(t, "5.1.2", "%.255s is not an address that mail can be sent to", t->result.domain);
	} else if (t->setup.is_own && t->setup.is_own(t->setup.is_own_arg, &address, t->setup.host->port)) {
		never(t, "5.4.6", "mail for %.255s loops back to this agent", t->result.domain);
	} else {
		add(t, (struct target_host){
			       .name = keep(t, host), .port = t->setup.host->port, .tls = t->setup.host->tls });
		snprintf(text, sizeof text, "the address %s, as the recipient says", host);
		t->result.text = keep(t, text);
		finish(t);
	}
}

/* ---------------------------------------------------------------- SRV (RFC 6186, 8314) */

static bool is_within(struct span name, struct span domain)
{
	return span_equals_fold(name, domain) ||
	       (name.len > domain.len && name.data[name.len - domain.len - 1] == '.' &&
		span_equals_fold(span_from(name, name.len - domain.len), domain));
}

static void got_srv(void *arg, const struct dns_records *r);

static void ask_srv(struct target *t, bool is_implicit)
{
	char name[300];

	t->is_implicit = is_implicit;
	snprintf(name, sizeof name, "%s._tcp.%.255s", is_implicit ? "_submissions" : "_submission", t->result.domain);
	t->query = dns_records(t->setup.dns, name, DNS_SRV, got_srv, t);
}

/* What the service means for TLS: it never weakens what the configuration demands. */
static enum config_tls srv_tls(const struct target *t)
{
	if (t->is_implicit)
		return CONFIG_TLS_IMPLICIT;
	return t->setup.host->tls == CONFIG_TLS_IMPLICIT ? CONFIG_TLS_STARTTLS : t->setup.host->tls;
}

/* False: the service is not offered. */
static bool take_srv(struct target *t, const struct dns_records *r)
{
	struct dns_record records[DNS_RECORDS_MAX];
	struct span domain = span_str(t->result.domain);
	size_t count = 0;

	for (size_t i = 0; i < r->count && count < DNS_RECORDS_MAX; i++)
		if (is_host_name(r->list[i].name) && r->list[i].port)
			records[count++] = r->list[i];
	target_order_srv(records, count, &t->chance);
	for (size_t i = 0; i < count && i < TARGET_HOSTS; i++) {
		bool is_proven = r->authentic || is_within(span_str(records[i].name), domain);

		add(t, (struct target_host){ .name = keep(t, records[i].name),
					     .port = records[i].port,
					     .preference = records[i].preference,
					     .tls = srv_tls(t),
					     .reference = is_proven ? NULL : t->result.domain });
	}
	t->result.is_authentic = r->authentic;
	describe(t, t->is_implicit ? "SRV of _submissions" : "SRV of _submission", true);
	return count > 0;
}

static void without_srv(struct target *t)
{
	char text[TEXT_MAX];

	if (t->is_implicit) {
		ask_srv(t, false);
		return;
	}
	if (t->is_refused)
		snprintf(text, sizeof text, "%.255s says by its SRV records that it takes no submissions",
			 t->result.domain);
	else
		snprintf(text, sizeof text, "%.255s has no SRV records for submission; name its host instead",
			 t->result.domain);
	end(t, TARGET_NO_HOST, "", text);
}

static void got_srv(void *arg, const struct dns_records *r)
{
	struct target *t = arg;

	t->query = NULL;
	t->result.by_dns |= r->status == DNS_OK || r->status == DNS_NXDOMAIN || r->status == DNS_NODATA;
	switch (r->status) {
	case DNS_OK:
		if (take_srv(t, r)) {
			finish(t);
			break;
		}
		t->is_refused = true;
		without_srv(t);
		break;
	case DNS_NXDOMAIN:
	case DNS_NODATA: without_srv(t); break;
	case DNS_BAD_NAME:
	case DNS_TEMPORARY: end(t, TARGET_NO_HOST, "", r->text); break;
	case DNS_SILENT: end(t, TARGET_SILENT, "", r->text); break;
	}
}

/* ---------------------------------------------------------------- life */

/* The configuration names the host itself. */
static void take_host(struct target *t)
{
	const struct config_smarthost *host = t->setup.host;
	char text[TEXT_MAX];

	add(t, (struct target_host){ .name = host->host, .port = host->port, .tls = host->tls });
	t->result.is_authentic = true;
	snprintf(text, sizeof text, "%.255s, as the configuration says", host->host);
	t->result.text = keep(t, text);
	finish(t);
}

static void run(struct loop_task *task)
{
	struct target *t = LIST_ENTRY(task, struct target, task);

	if (t->setup.domain)
		take_literal(t);
	else
		take_host(t);
}

static void start(struct target *t)
{
	const struct config_smarthost *host = t->setup.host;
	/* Only these two say that TLS may come first. */
	bool may_be_implicit = host->tls == CONFIG_TLS_IMPLICIT || host->tls == CONFIG_TLS_STARTTLS;

	if (t->setup.domain) {
		t->result.domain = keep(t, t->setup.domain);
		if (is_host_name(t->setup.domain) && t->setup.domain[0] != '[')
			t->query = dns_records(t->setup.dns, t->result.domain, DNS_MX, got_mx, t);
		else
			loop_task_post(&t->task);
	} else if (span_starts_fold(span_str(host->host), SPAN(SRV))) {
		t->result.domain = keep(t, host->host + sizeof(SRV) - 1);
		ask_srv(t, may_be_implicit);
	} else {
		loop_task_post(&t->task);
	}
}

struct target *target_resolve(const struct target_setup *setup,
			      void (*done)(void *arg, const struct target_result *result), void *arg)
{
	struct target *t = MEM_NEW(struct target);

	t->setup = *setup;
	t->done = done;
	t->arg = arg;
	t->chance.state = setup->seed;
	t->result = (struct target_result){ .status = "", .text = "" };
	mem_arena_init(&t->arena, ARENA_MAX);
	loop_task_init(&t->task, setup->loop, run);
	start(t);
	return t;
}

void target_cancel(struct target *t)
{
	if (t)
		target_free(t);
}
