#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/dial_inside.h"
#include "net/local.h"

/* A host of one family only says nothing of the other, by which all the rest may be reached; an own address that is not
 * there (yet) says nothing of either. */
static bool is_offline(const struct dial *dial)
{
	bool has_v4 = false, has_v6 = false;

	for (size_t i = 0; i < dial->count; i++) {
		const struct dial_attempt *a = &dial->attempts[i];

		has_v4 |= a->addr.ss_family == AF_INET && !a->is_local;
		has_v6 |= a->addr.ss_family == AF_INET6 && !a->is_local;
	}
	return (has_v4 || !local_has_route(AF_INET)) && (has_v6 || !local_has_route(AF_INET6));
}

/* How the errors of all addresses add up. */
static enum dial_status sum_up(const struct dial *dial)
{
	size_t unreachable = 0;
	bool timeout = false;

	for (size_t i = 0; i < dial->count; i++) {
		const struct dial_attempt *a = &dial->attempts[i];

		/* Without an address of our own in the way it means that all local ports are taken. */
		if (a->error == EADDRNOTAVAIL && a->addr.ss_family == AF_INET && !dial->source_count)
			return DIAL_LOCAL;
		switch (a->error) {
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM: return DIAL_LOCAL;
		case ETIMEDOUT: timeout = true; break;
		case ENETUNREACH:
		case ENETDOWN:
		case EADDRNOTAVAIL:
		case EAFNOSUPPORT: unreachable++; break;
		default: break;
		}
	}
	if (unreachable == dial->count && dial->count && is_offline(dial))
		return DIAL_NO_NETWORK;
	return timeout ? DIAL_TIMEOUT : DIAL_REFUSED;
}

static const char *name_of(const struct dial *dial, const struct dial_attempt *a, char out[ADDR_TEXT_SIZE])
{
	return dial->is_unix ? dial->path : addr_text(&a->addr, out);
}

static const char *why_of(const struct dial_attempt *a)
{
	return a->why ? a->why : a->error ? strerror(a->error) : "";
}

static void explain(const struct dial *dial, struct dial_result *result)
{
	size_t used = 0;

	if (dial->count == 0)
		snprintf(result->text, sizeof(result->text), "the host has no address to connect to");
	for (size_t i = 0; i < dial->count && used < sizeof(result->text) - 1; i++) {
		char name[ADDR_TEXT_SIZE];
		const struct dial_attempt *a = &dial->attempts[i];
		int n = snprintf(result->text + used, sizeof(result->text) - used, "%s%s%s: %s", i ? "; " : "",
				 dial->socks ? "proxy " : "", name_of(dial, a, name), why_of(a));

		used += n > 0 ? (size_t)n : 0;
	}
}

void dial_words_list(const struct dial *dial, struct dial_try out[DIAL_TRIES])
{
	for (size_t i = 0; i < dial->count; i++) {
		const struct dial_attempt *a = &dial->attempts[i];
		int64_t ended_ms = a->ended_ms ? a->ended_ms : loop_now_ms(dial->loop);

		out[i] = (struct dial_try){ .address = { a->addr, a->len },
					    .error = a->error,
					    .took_ms = a->begun_ms ? ended_ms - a->begun_ms : -1 };
		snprintf(out[i].text, sizeof out[i].text, "%s", why_of(a));
	}
}

/* What came of a proxy that could be reached. Once it was asked for the host, its silence is the host's. */
static void explain_proxy(const struct dial *dial, struct dial_result *result)
{
	const struct dial_attempt *a = dial->talking;
	bool is_asked = dial->said == SOCKS_REFUSED || dial->socks->state == SOCKS_REPLY;
	char name[ADDR_TEXT_SIZE];

	result->status = is_asked ? DIAL_REFUSED : DIAL_PROXY;
	snprintf(result->text, sizeof result->text, "proxy %s: %s", name_of(dial, a, name), why_of(a));
}

void dial_words_explain(const struct dial *dial, struct dial_result *out)
{
	if (dial->talking && dial->count) {
		explain_proxy(dial, out);
		return;
	}
	out->status = sum_up(dial);
	if (dial->socks && (out->status == DIAL_REFUSED || out->status == DIAL_TIMEOUT))
		out->status = DIAL_PROXY;
	explain(dial, out);
}
