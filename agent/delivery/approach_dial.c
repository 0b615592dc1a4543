#include <stdio.h>
#include <string.h>

#include "delivery/approach_inside.h"
#include "net/addr.h"

/* What was connected to is not tried a second time; a proxy leads to a host only once. */
static void strike(struct approach *a, const struct dns_address *address)
{
	size_t kept = 0;

	a->last = *address;
	addr_set_port(&a->last.addr, 0);
	for (size_t i = 0; i < a->count; i++)
		if (a->addresses[i].len != a->last.len ||
		    memcmp(&a->addresses[i].addr, &a->last.addr, a->last.len) != 0)
			a->addresses[kept++] = a->addresses[i];
	a->count = a->setup.host->proxy.host ? 0 : kept;
}

static void tell_tries(struct approach *a, const struct dial_result *r)
{
	const char *name = approach_current(a)->name;
	char where[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < r->try_count && a->setup.step; i++) {
		const struct dial_try *one = &r->tries[i];
		bool is_winner =
			r->status == DIAL_OK && memcmp(&one->address.addr, &r->address.addr, r->address.len) == 0;
		bool has_proxy = a->setup.host->proxy.host;
		char place[ADDR_TEXT_SIZE + 8];
		struct approach_step step = {
			.kind = APPROACH_CONNECT,
			.ok = is_winner,
			.took_ms = one->took_ms,
			.host = name,
			.where = name[0] == '/' ? name : place,
			.text = is_winner ? has_proxy ? "connected by the proxy" : "connected" : one->text,
		};

		snprintf(place, sizeof place, "%s%s", has_proxy ? "proxy " : "", addr_text(&one->address.addr, where));
		if (one->took_ms >= 0 || one->error)
			a->setup.step(a->setup.step_arg, &step);
	}
}

static void connected(struct approach *a, const struct dial_result *r)
{
	struct approach_result result = { .end = APPROACH_OK, .fd = r->fd, .status = "", .text = "" };

	strike(a, &r->address);
	a->connections++;
	a->ended |= APPROACH_ENDED_REFUSED; /* somebody is there, should it come to nothing */
	a->by_host = true;
	result.by_dns = a->by_dns;
	result.by_host = true;
	approach_rest(a);
	a->done(a->arg, &result);
}

/* Where only the last address was meant the others are still to come. */
static void failed(struct approach *a, const char *text, unsigned ended)
{
	approach_note_host(a, text);
	if (a->is_again && a->count) {
		approach_host_decide(a, false);
		approach_dial(a, false);
	} else {
		approach_give_up_host(a, ended);
	}
}

static void dialled(void *arg, const struct dial_result *r)
{
	struct approach *a = arg;

	a->dial = NULL;
	tell_tries(a, r);
	switch (r->status) {
	case DIAL_OK: connected(a, r); break;
	case DIAL_REFUSED:
	case DIAL_TIMEOUT:
		a->by_host = true;
		failed(a, r->text, APPROACH_ENDED_REFUSED);
		break;
	case DIAL_NO_NETWORK: failed(a, r->text, APPROACH_ENDED_OFFLINE); break;
	case DIAL_LOCAL: approach_end(a, APPROACH_LOCAL, "", r->text); break;
	case DIAL_PROXY:
		a->by_host = true;
		approach_end(a, APPROACH_REFUSED, "", r->text);
		break;
	}
}

void approach_dial(struct approach *a, bool again)
{
	const struct config_smarthost *host = a->setup.host;
	const struct target_host *target = approach_current(a);
	struct dial_config config = {
		.addresses = again ? &a->last : a->addresses,
		.count = again ? 1 : a->count,
		.port = target->port,
		.unix_path = target->name[0] == '/' ? target->name : NULL,
		.timeout_ms = host->timeouts.connect_ms,
		.sources = host->source.list,
		.source_count = host->source.count,
		.socks_host = host->proxy.host ? target->name : NULL,
		.socks_port = host->proxy.port,
		.socks_user = host->proxy.user,
		.socks_password = host->proxy.password,
	};

	a->is_again = again;
	a->dial = dial_start(a->setup.account.loop, &config, dialled, a);
}
