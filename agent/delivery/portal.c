#include "delivery/portal.h"

#include "base/cidr.h"
#include "net/addr.h"

/* Addresses that only the network around the machine can mean (RFC 1918, 6598, 3927, 4193, 4291). */
static const char *const private_networks[] = {
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10",
};

static bool is_private(const struct sockaddr_storage *at)
{
	char text[ADDR_TEXT_SIZE];
	uint8_t address[16];
	struct cidr network;

	if (!cidr_address(span_str(addr_host(at, text)), address))
		return false;
	for (size_t i = 0; i < sizeof private_networks / sizeof private_networks[0]; i++)
		if (cidr_parse(span_str(private_networks[i]), &network) && cidr_contains(&network, address))
			return true;
	return false;
}

bool portal_is_likely(const struct portal_signs *signs)
{
	if (!signs->in_tls)
		return signs->phase <= CLIENT_AT_EHLO && !signs->code && signs->is_gibberish;
	switch (signs->reason) {
	case TLS_FAILURE_NAME:
	case TLS_FAILURE_UNTRUSTED:
	case TLS_FAILURE_PIN:
	case TLS_FAILURE_DANE: return true; /* somebody else's, or one that anybody can make */
	case TLS_FAILURE_NONE: return signs->has_name && is_private(&signs->address);
	case TLS_FAILURE_ABSENT:
	case TLS_FAILURE_EXPIRED:
	case TLS_FAILURE_NOT_YET:
	case TLS_FAILURE_REVOKED: break; /* its own, but not in order */
	}
	return false;
}
