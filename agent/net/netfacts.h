/*
 * netfacts - what can be seen of this machine's network: the interfaces that could carry mail, and the default routes.
 *
 * An interface counts when it is up, has a carrier and an address beyond its own link; loopback never does. A default
 * route is one to everywhere, or to half of it, as VPNs set them; not one whose link is down, or that refuses.
 *
 * Owns nothing; a plain value, bounded: what is beyond the bounds is not seen. Pure.
 * Threads: any.
 */
#ifndef NETFACTS_H
#define NETFACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

enum { NETFACTS_INTERFACES = 128, NETFACTS_GATEWAYS = 32, NETFACTS_NAME_SIZE = 16 };

struct netfacts_interface {
	uint32_t index;
	char name[NETFACTS_NAME_SIZE];
};

struct netfacts_gateway {
	uint32_t interface; /* index; 0: not said */
	bool has_address;   /* else the interface alone is the way, as for a tunnel */
	uint8_t address[16];
};

struct netfacts {
	bool is_known; /* false: nobody could look, there is nothing in it */
	size_t interface_count, gateway_count;
	struct netfacts_interface interfaces[NETFACTS_INTERFACES];
	struct netfacts_gateway gateways[NETFACTS_GATEWAYS];
};

/* What is beyond the bounds, or there already, is left out. */
void netfacts_add_interface(struct netfacts *facts, const struct netfacts_interface *interface);
void netfacts_add_gateway(struct netfacts *facts, const struct netfacts_gateway *gateway);

bool netfacts_has_interface(const struct netfacts *facts, const char *glob);
bool netfacts_has_gateway(const struct netfacts *facts, const struct cidr *network);
bool netfacts_is_online(const struct netfacts *facts); /* there is a default route */

/* The order does not matter. */
bool netfacts_equal(const struct netfacts *a, const struct netfacts *b);
/* What is in both. */
void netfacts_both(const struct netfacts *a, const struct netfacts *b, struct netfacts *out);
/* A default route that was not there `before`: this may be another network. */
bool netfacts_is_elsewhere(const struct netfacts *before, const struct netfacts *now);

#endif
