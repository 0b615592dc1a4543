#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"
#include "config_load.h"

static bool is_loopback_v4(const unsigned char *a, unsigned bits)
{
	return a[0] == 127 && bits >= 8;
}

static bool is_loopback_v6(const unsigned char *a, unsigned bits)
{
	static const unsigned char one[16] = { [15] = 1 };

	return memcmp(a, one, sizeof(one)) == 0 && bits == 128;
}

bool config_address_network(const char *text, bool *out_is_loopback, unsigned *out_bits, unsigned *out_most)
{
	struct span s = span_str(text), host = span_first(s, span_find(s, '/'));
	char name[INET6_ADDRSTRLEN];
	unsigned char a[16];
	uint64_t bits;
	unsigned most;

	if (host.len >= sizeof(name))
		return false;
	memcpy(name, host.data, host.len);
	name[host.len] = '\0';
	most = inet_pton(AF_INET, name, a) == 1 ? 32 : inet_pton(AF_INET6, name, a) == 1 ? 128 : 0;
	bits = most;
	if (most == 0 || (host.len < s.len && !text_number(span_from(s, host.len + 1), most, &bits)))
		return false;
	*out_is_loopback = most == 32 ? is_loopback_v4(a, (unsigned)bits) : is_loopback_v6(a, (unsigned)bits);
	*out_bits = (unsigned)bits;
	*out_most = most;
	return true;
}

bool config_address_split(const char *text, bool port_optional, bool *out_is_loopback)
{
	struct span s = span_str(text), host, port;
	char name[INET6_ADDRSTRLEN];
	uint64_t number;
	unsigned bits, most;

	if (s.len && s.data[0] == '[') {
		size_t end = span_find(s, ']');

		if (end == s.len)
			return false;
		host = span_of(s.data + 1, end - 1);
		port = span_from(s, end + 1);
	} else {
		host = span_first(s, span_find(s, ':'));
		port = span_from(s, host.len);
		if (port.len && memchr(port.data + 1, ':', port.len - 1)) { /* IPv6 without brackets */
			host = s;
			port = SPAN("");
		}
	}
	if (port.len ? port.data[0] != ':' || !text_number(span_from(port, 1), 65535, &number) : !port_optional)
		return false;
	if (host.len >= sizeof(name))
		return false;
	memcpy(name, host.data, host.len);
	name[host.len] = '\0';
	return !strchr(name, '/') && config_address_network(name, out_is_loopback, &bits, &most);
}

bool config_address_is_loopback(const char *host)
{
	bool is_loopback;
	unsigned bits, most;

	if (host[0] == '/' || strcasecmp(host, "localhost") == 0)
		return true;
	return config_address_network(host, &is_loopback, &bits, &most) && is_loopback;
}

bool config_address_is_domain(const char *name)
{
	size_t label = 0, len = strlen(name);

	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];
		bool is_letter =
			(c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c >= 0x80 || c == '_';

		if (c == '.' ? label == 0 || name[i - 1] == '-' : !is_letter && (c != '-' || label == 0))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0 && name[len - 1] != '-';
}

static bool is_literal(const char *name)
{
	size_t len = strlen(name);
	char inner[INET6_ADDRSTRLEN];
	unsigned char a[16];

	if (len < 4 || len > sizeof(inner) || name[0] != '[' || name[len - 1] != ']')
		return false;
	memcpy(inner, name + 1, len - 2);
	inner[len - 2] = '\0';
	return inet_pton(AF_INET, inner, a) == 1 ||
	       (strncasecmp(inner, "IPv6:", 5) == 0 && inet_pton(AF_INET6, inner + 5, a) == 1);
}

bool config_address_hostname(const char *name)
{
	return config_address_is_domain(name) || is_literal(name);
}
