#include <string.h>

#include "base/text.h"
#include "config_load.h"

enum { NAME_MAX_BYTES = 255 }; /* RFC 1929, 2: of user and password */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* "%40" is "@": in user and password only. NULL: not well written, or too long. */
static const char *decode(struct config_load *load, struct span s)
{
	char out[NAME_MAX_BYTES + 1];
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '%') {
			if (i + 2 >= s.len || hex(s.data[i + 1]) < 0 || hex(s.data[i + 2]) < 0)
				return NULL;
			c = (char)(hex(s.data[i + 1]) * 16 + hex(s.data[i + 2]));
			i += 2;
		}
		if (c == '\0' || len == NAME_MAX_BYTES)
			return NULL;
		out[len++] = c;
	}
	return len ? config_keep(load, span_of(out, len)) : NULL;
}

static bool read_login(struct config_load *load, struct span login, struct config_proxy *out)
{
	struct span user = span_first(login, span_find(login, ':'));

	out->user = decode(load, user);
	if (user.len < login.len)
		out->password = decode(load, span_from(login, user.len + 1));
	return out->user && (out->password || user.len == login.len);
}

static const char *read_place(struct config_load *load, struct span place, struct config_proxy *out)
{
	bool has_brackets = place.len && place.data[0] == '[', is_loopback;
	size_t end = has_brackets ? span_find(place, ']') : span_find(place, ':');
	struct span host = has_brackets ? span_of(place.data + 1, end - 1) : span_first(place, end);
	struct span port = span_from(place, end + has_brackets);
	unsigned bits, most;
	uint64_t number;

	if (end == place.len)
		return has_brackets ? "a bracket is not closed" : "it has no port";
	if (!port.len)
		return "it has no port";
	if (port.data[0] != ':' || !text_number(span_from(port, 1), UINT16_MAX, &number) || number == 0)
		return "its port is no number from 1 to 65535";
	out->host = config_keep(load, host);
	out->port = (uint16_t)number;
	if (has_brackets ? strchr(out->host, '/') || !config_address_network(out->host, &is_loopback, &bits, &most)
			 : !config_address_is_domain(out->host))
		return "its host is neither a name nor an address";
	return NULL;
}

const char *config_proxy_read(struct config_load *load, const char *text, struct config_proxy *out)
{
	static const struct span scheme = SPAN("socks5://");
	struct span s = span_str(text), place;
	struct config_proxy proxy = { 0 };
	const char *wrong;
	size_t at;

	if (strcmp(text, "none") == 0) {
		*out = proxy;
		return NULL;
	}
	if (span_starts_fold(s, SPAN("socks5h://")))
		return "names are always resolved by the proxy, which is socks5 here";
	if (!span_starts_fold(s, scheme))
		return "it does not begin with socks5://";
	s = span_from(s, scheme.len);
	if (s.len && s.data[s.len - 1] == '/')
		s = span_first(s, s.len - 1);
	for (at = s.len; at > 0 && s.data[at - 1] != '@'; at--)
		continue;
	place = span_from(s, at);
	if (at > 0 && !read_login(load, span_first(s, at - 1), &proxy))
		return "its user or password is empty, longer than 255 bytes, or holds a bad %XX";
	wrong = read_place(load, place, &proxy);
	if (!wrong)
		*out = proxy;
	return wrong;
}
