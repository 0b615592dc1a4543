#include "delivery/own.h"

#include <string.h>

#include "net/addr.h"
#include "net/local.h"

struct place {
	struct sockaddr_storage addr;
	socklen_t len;
};

static bool is_any(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* The i-th address of all listeners; false: no more. `out_known`: it could be read, with a port that is fixed. */
static bool place_at(const struct config *config, size_t i, struct place *out, bool *out_known)
{
	for (size_t n = 0; n < config->listener_count; n++) {
		const struct config_strings *addresses = &config->listeners[n].addresses;

		if (i < addresses->count) {
			*out_known = addr_parse(addresses->list[i], 0, &out->addr, &out->len);
			return true;
		}
		i -= addresses->count;
	}
	return false;
}

bool own_has_port(const struct config *config, uint16_t port)
{
	struct place place;
	bool is_known;

	for (size_t i = 0; place_at(config, i, &place, &is_known); i++)
		if (is_known && addr_port(&place.addr) == port)
			return true;
	return false;
}

static bool answers(const struct place *place, const struct dns_address *address)
{
	char listener[ADDR_TEXT_SIZE], asked[ADDR_TEXT_SIZE];

	addr_host(&place->addr, listener);
	addr_host(&address->addr, asked);
	if (is_any(asked)) /* the kernel takes it for loopback */
		return is_any(listener) || addr_is_loopback(&place->addr);
	if (!is_any(listener))
		return strcmp(listener, asked) == 0;
	/* Each takes calls of its own family only (listen.h). */
	return !strchr(listener, ':') == !strchr(asked, ':') && local_has(&address->addr);
}

bool own_is(const struct config *config, const struct dns_address *address, uint16_t port)
{
	struct place place;
	bool is_known;

	for (size_t i = 0; place_at(config, i, &place, &is_known); i++)
		if (is_known && addr_port(&place.addr) == port && answers(&place, address))
			return true;
	return false;
}
