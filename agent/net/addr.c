#include "net/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const struct sockaddr_in *as_v4(const struct sockaddr_storage *addr)
{
	return (const struct sockaddr_in *)addr;
}

static const struct sockaddr_in6 *as_v6(const struct sockaddr_storage *addr)
{
	return (const struct sockaddr_in6 *)addr;
}

static bool is_mapped(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&as_v6(addr)->sin6_addr);
}

char *addr_host(const struct sockaddr_storage *addr, char out[ADDR_TEXT_SIZE])
{
	char scope[IF_NAMESIZE];

	out[0] = '\0';
	if (addr->ss_family == AF_INET) {
		inet_ntop(AF_INET, &as_v4(addr)->sin_addr, out, ADDR_TEXT_SIZE);
	} else if (is_mapped(addr)) {
		inet_ntop(AF_INET, &as_v6(addr)->sin6_addr.s6_addr[12], out, ADDR_TEXT_SIZE);
	} else if (addr->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &as_v6(addr)->sin6_addr, out, ADDR_TEXT_SIZE);
		if (as_v6(addr)->sin6_scope_id && if_indextoname(as_v6(addr)->sin6_scope_id, scope)) {
			size_t used = strlen(out);

			snprintf(out + used, ADDR_TEXT_SIZE - used, "%%%s", scope);
		}
	}
	return out;
}

char *addr_text(const struct sockaddr_storage *addr, char out[ADDR_TEXT_SIZE])
{
	char host[ADDR_TEXT_SIZE];
	bool v6 = addr->ss_family == AF_INET6 && !is_mapped(addr);

	if (addr->ss_family != AF_INET && addr->ss_family != AF_INET6) {
		snprintf(out, ADDR_TEXT_SIZE, "unix");
		return out;
	}
	addr_host(addr, host);
	snprintf(out, ADDR_TEXT_SIZE, v6 ? "[%.70s]:%u" : "%.70s:%u", host, addr_port(addr));
	return out;
}

uint16_t addr_port(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET)
		return ntohs(as_v4(addr)->sin_port);
	return addr->ss_family == AF_INET6 ? ntohs(as_v6(addr)->sin6_port) : 0;
}

void addr_set_port(struct sockaddr_storage *addr, uint16_t port)
{
	if (addr->ss_family == AF_INET)
		((struct sockaddr_in *)addr)->sin_port = htons(port);
	else if (addr->ss_family == AF_INET6)
		((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
}

bool addr_is_loopback(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET)
		return ntohl(as_v4(addr)->sin_addr.s_addr) >> 24 == 127;
	if (is_mapped(addr))
		return as_v6(addr)->sin6_addr.s6_addr[12] == 127;
	return addr->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&as_v6(addr)->sin6_addr);
}

static bool literal_v6(char *text, struct sockaddr_in6 *out)
{
	char *scope = strchr(text, '%');

	*out = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	if (scope) {
		uint64_t number;

		*scope++ = '\0';
		if (text_number(span_str(scope), UINT32_MAX, &number))
			out->sin6_scope_id = (uint32_t)number;
		else
			out->sin6_scope_id = if_nametoindex(scope);
		if (out->sin6_scope_id == 0)
			return false;
	}
	return inet_pton(AF_INET6, text, &out->sin6_addr) == 1;
}

bool addr_literal(const char *text, struct sockaddr_storage *out_addr, socklen_t *out_len)
{
	char copy[ADDR_TEXT_SIZE];
	size_t len = strlen(text);
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6;
	bool bracketed = len > 1 && text[0] == '[' && text[len - 1] == ']';

	if (len >= sizeof(copy))
		return false;
	if (bracketed)
		snprintf(copy, sizeof(copy), "%.*s", (int)len - 2, text + 1);
	else
		snprintf(copy, sizeof(copy), "%s", text);
	if (!bracketed && inet_pton(AF_INET, copy, &v4.sin_addr) == 1) {
		memset(out_addr, 0, sizeof(*out_addr));
		memcpy(out_addr, &v4, sizeof(v4));
		*out_len = sizeof(v4);
		return true;
	}
	if (!literal_v6(copy, &v6))
		return false;
	memset(out_addr, 0, sizeof(*out_addr));
	memcpy(out_addr, &v6, sizeof(v6));
	*out_len = sizeof(v6);
	return true;
}

bool addr_parse(const char *text, uint16_t port, struct sockaddr_storage *out_addr, socklen_t *out_len)
{
	char host[ADDR_TEXT_SIZE];
	const char *close = text[0] == '[' ? strchr(text, ']') : NULL;
	const char *colon = close ? (close[1] == ':' ? close + 1 : NULL) : strchr(text, ':');
	size_t host_len;
	uint64_t number = port;

	/* Two colons without brackets: an IPv6 address without a port. */
	if (!close && colon && strchr(colon + 1, ':'))
		colon = NULL;
	host_len = colon ? (size_t)(colon - text) : strlen(text);
	if (host_len >= sizeof(host) || (!colon && port == 0))
		return false;
	if (colon && !text_number(span_str(colon + 1), UINT16_MAX, &number))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)host_len, text);
	if (!addr_literal(host, out_addr, out_len))
		return false;
	addr_set_port(out_addr, (uint16_t)number);
	return true;
}
