#include "net/local.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "net/addr.h"

static bool is_same(const struct sockaddr_storage *a, const struct sockaddr *b)
{
	char one[ADDR_TEXT_SIZE], two[ADDR_TEXT_SIZE];
	struct sockaddr_storage copy = { 0 };

	if (!b || (b->sa_family != AF_INET && b->sa_family != AF_INET6))
		return false;
	memcpy(&copy, b, b->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	/* By text, so that an IPv4 address mapped into IPv6 is the one that it maps. */
	return strcmp(addr_host(a, one), addr_host(&copy, two)) == 0;
}

bool local_has(const struct sockaddr_storage *addr)
{
	struct ifaddrs *all, *at;
	bool has = addr_is_loopback(addr);

	if (has || getifaddrs(&all) != 0)
		return has;
	for (at = all; at && !has; at = at->ifa_next)
		has = is_same(addr, at->ifa_addr);
	freeifaddrs(all);
	return has;
}

bool local_has_route(int family)
{
	/* Addresses that are nobody's (RFC 5737, 3849): only a default route leads to them. */
	const char *nobody = family == AF_INET ? "192.0.2.1" : "2001:db8::1";
	struct sockaddr_storage addr;
	socklen_t len;
	bool has;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	has = addr_parse(nobody, 9, &addr, &len) && connect(fd, (struct sockaddr *)&addr, len) == 0;
	close(fd);
	return has;
}
