#include "net/netfacts.h"

#include <string.h>

#include "base/text.h"

static bool same_interface(const struct netfacts_interface *a, const struct netfacts_interface *b)
{
	return a->index == b->index && strcmp(a->name, b->name) == 0;
}

static bool same_gateway(const struct netfacts_gateway *a, const struct netfacts_gateway *b)
{
	return a->interface == b->interface && a->has_address == b->has_address &&
	       memcmp(a->address, b->address, sizeof a->address) == 0;
}

static bool knows_interface(const struct netfacts *facts, const struct netfacts_interface *interface)
{
	for (size_t i = 0; i < facts->interface_count; i++)
		if (same_interface(&facts->interfaces[i], interface))
			return true;
	return false;
}

static bool knows_gateway(const struct netfacts *facts, const struct netfacts_gateway *gateway)
{
	for (size_t i = 0; i < facts->gateway_count; i++)
		if (same_gateway(&facts->gateways[i], gateway))
			return true;
	return false;
}

void netfacts_add_interface(struct netfacts *facts, const struct netfacts_interface *interface)
{
	if (facts->interface_count < NETFACTS_INTERFACES && !knows_interface(facts, interface))
		facts->interfaces[facts->interface_count++] = *interface;
}

void netfacts_add_gateway(struct netfacts *facts, const struct netfacts_gateway *gateway)
{
	if (facts->gateway_count < NETFACTS_GATEWAYS && !knows_gateway(facts, gateway))
		facts->gateways[facts->gateway_count++] = *gateway;
}

bool netfacts_has_interface(const struct netfacts *facts, const char *glob)
{
	for (size_t i = 0; i < facts->interface_count; i++)
		if (text_glob(glob, span_str(facts->interfaces[i].name)))
			return true;
	return false;
}

bool netfacts_has_gateway(const struct netfacts *facts, const struct cidr *network)
{
	for (size_t i = 0; i < facts->gateway_count; i++)
		if (facts->gateways[i].has_address && cidr_contains(network, facts->gateways[i].address))
			return true;
	return false;
}

bool netfacts_is_online(const struct netfacts *facts)
{
	return facts->gateway_count > 0;
}

void netfacts_both(const struct netfacts *a, const struct netfacts *b, struct netfacts *out)
{
	struct netfacts both = { .is_known = a->is_known && b->is_known };

	for (size_t i = 0; both.is_known && i < a->interface_count; i++)
		if (knows_interface(b, &a->interfaces[i]))
			netfacts_add_interface(&both, &a->interfaces[i]);
	for (size_t i = 0; both.is_known && i < a->gateway_count; i++)
		if (knows_gateway(b, &a->gateways[i]))
			netfacts_add_gateway(&both, &a->gateways[i]);
	*out = both;
}

bool netfacts_equal(const struct netfacts *a, const struct netfacts *b)
{
	struct netfacts both;

	netfacts_both(a, b, &both);
	return a->is_known == b->is_known && a->interface_count == b->interface_count &&
	       a->gateway_count == b->gateway_count &&
	       (!a->is_known || (both.interface_count == a->interface_count && both.gateway_count == a->gateway_count));
}

bool netfacts_is_elsewhere(const struct netfacts *before, const struct netfacts *now)
{
	if (!before->is_known)
		return false;
	for (size_t i = 0; i < now->gateway_count; i++)
		if (!knows_gateway(before, &now->gateways[i]))
			return true;
	return false;
}
