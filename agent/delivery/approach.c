#include "delivery/approach.h"

#include <string.h>

#include "base/mem.h"

struct approach {
	struct approach_setup setup;
	void (*done)(void *arg, const struct approach_result *result);
	void *arg;
	struct account *account;
	struct dns_query *query;
	struct dial *dial;
	char *secret;
	size_t secret_len;
	struct dns_address addresses[APPROACH_ADDRESSES]; /* not connected to yet */
	size_t count;
	struct dns_address last; /* connected to last */
	bool by_dns;
};

static void end(struct approach *a, enum approach_end how, const char *text)
{
	struct approach_result result = { .end = how, .by_dns = a->by_dns, .fd = -1, .text = text };

	result.by_host = how == APPROACH_REFUSED;
	a->done(a->arg, &result);
}

/* ---------------------------------------------------------------- connecting */

static bool is_same(const struct dns_address *a, const struct dns_address *b)
{
	return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

/* What was connected to is not tried a second time. */
static void strike(struct approach *a, const struct dns_address *address)
{
	size_t kept = 0, before = a->count;

	for (size_t i = 0; i < a->count; i++)
		if (!is_same(&a->addresses[i], address))
			a->addresses[kept++] = a->addresses[i];
	/* One that was not in the list cannot be told from the others: no further attempt. */
	a->count = kept < before ? kept : 0;
	a->last = *address;
}

static void dialled(void *arg, const struct dial_result *r)
{
	struct approach *a = arg;
	struct approach_result result = { .by_dns = a->by_dns, .by_host = true, .fd = r->fd, .text = r->text };

	a->dial = NULL;
	switch (r->status) {
	case DIAL_OK:
		strike(a, &r->address);
		a->done(a->arg, &result);
		break;
	case DIAL_PROXY:
	case DIAL_REFUSED:
	case DIAL_TIMEOUT: end(a, APPROACH_REFUSED, r->text); break;
	case DIAL_NO_NETWORK: end(a, APPROACH_OFFLINE, r->text); break;
	case DIAL_LOCAL: end(a, APPROACH_LOCAL, r->text); break;
	}
}

static void dial(struct approach *a)
{
	const struct config_smarthost *host = a->setup.host;
	struct dial_config config = {
		.addresses = a->addresses,
		.count = a->count,
		.port = host->port,
		.unix_path = host->host[0] == '/' ? host->host : NULL,
		.timeout_ms = host->timeouts.connect_ms,
	};

	a->dial = dial_start(a->setup.account.loop, &config, dialled, a);
}

bool approach_has_next(const struct approach *a)
{
	return a->count > 0;
}

void approach_next(struct approach *a, bool again)
{
	if (again && a->last.len && a->count < APPROACH_ADDRESSES)
		a->addresses[a->count++] = a->last;
	dial(a);
}

/* ---------------------------------------------------------------- its addresses */

static void looked_up(void *arg, const struct dns_addresses *r)
{
	struct approach *a = arg;
	size_t first = r->count ? a->setup.turn % r->count : 0;

	a->query = NULL;
	a->by_dns = r->status == DNS_OK || r->status == DNS_NXDOMAIN || r->status == DNS_NODATA;
	switch (r->status) {
	case DNS_OK: break;
	case DNS_SILENT: end(a, APPROACH_SILENT, r->text); return;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
	case DNS_TEMPORARY:
	case DNS_BAD_NAME: end(a, APPROACH_NO_ADDRESS, r->text); return;
	}
	for (size_t i = 0; i < r->count && i < APPROACH_ADDRESSES; i++)
		a->addresses[a->count++] = r->list[(first + i) % r->count];
	dial(a);
}

static void look_up(struct approach *a)
{
	if (a->setup.host->host[0] == '/')
		dial(a);
	else
		a->query = dns_host(a->setup.dns, a->setup.host->host, looked_up, a);
}

/* ---------------------------------------------------------------- its secret */

static void got_secret(void *arg, struct span secret, const char *why)
{
	struct approach *a = arg;

	a->account = NULL;
	if (why) {
		end(a, APPROACH_NO_SECRET, why);
		return;
	}
	a->secret = mem_dup(secret.data, secret.len);
	a->secret_len = secret.len;
	look_up(a);
}

struct span approach_secret(const struct approach *a)
{
	return span_of(a->secret ? a->secret : "", a->secret_len);
}

void approach_forget_secret(struct approach *a)
{
	mem_wipe_free(a->secret, a->secret_len);
	a->secret = NULL;
	a->secret_len = 0;
}

struct approach *approach_new(const struct approach_setup *setup,
			      void (*done)(void *arg, const struct approach_result *result), void *arg)
{
	struct approach *a = MEM_NEW(struct approach);

	a->setup = *setup;
	a->done = done;
	a->arg = arg;
	if (setup->host->user && setup->host->auth)
		a->account = account_fetch(&setup->account, setup->host, got_secret, a);
	else
		look_up(a);
	return a;
}

void approach_free(struct approach *a)
{
	if (!a)
		return;
	account_cancel(a->account);
	if (a->query)
		dns_cancel(a->query);
	if (a->dial)
		dial_cancel(a->dial);
	approach_forget_secret(a);
	mem_free(a);
}
