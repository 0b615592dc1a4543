#include "base/cidr.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool cidr_address(struct span text, uint8_t out[16])
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, bytes + 12) == 1)
		memcpy(bytes, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, copy, bytes) != 1)
		return false;
	memcpy(out, bytes, 16);
	return true;
}

bool cidr_parse(struct span text, struct cidr *out)
{
	size_t slash = span_find(text, '/');
	struct span host = span_first(text, slash);
	bool is_v4 = span_find(host, ':') == host.len;
	struct cidr net;
	uint64_t bits = is_v4 ? 32 : 128;

	if (!cidr_address(host, net.address))
		return false;
	if (slash < text.len && !text_number(span_from(text, slash + 1), bits, &bits))
		return false;
	net.bits = (unsigned)bits + (is_v4 ? 96 : 0);
	for (unsigned bit = net.bits; bit < 128; bit++)
		if (net.address[bit / 8] & (0x80 >> bit % 8))
			return false;
	*out = net;
	return true;
}

bool cidr_contains(const struct cidr *net, const uint8_t address[16])
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	if (memcmp(net->address, address, whole) != 0)
		return false;
	return rest == 0 || ((net->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool cidr_is_loopback(const uint8_t address[16])
{
	static const uint8_t v6[16] = { [15] = 1 };

	return memcmp(address, v6, 16) == 0 || (memcmp(address, mapped, 12) == 0 && address[12] == 127);
}
