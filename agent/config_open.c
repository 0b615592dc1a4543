#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cidr.h"
#include "config_load.h"

/* Whoever sends through this machine without being known to its owner is a stranger, and mail of strangers ruins the
 * name of the machine within hours. So what would let them in is refused, and what might is told with its reason. */

enum { V4_BITS = 96, V4_LEAST = 8, V6_LEAST = 16, V6_USUAL = 32 };

static const char *const private[] = { "127.0.0.0/8",   "10.0.0.0/8",     "172.16.0.0/12", "192.168.0.0/16",
				       "100.64.0.0/10", "169.254.0.0/16", "::1",           "fc00::/7",
				       "fe80::/10" };

static bool is_v4(const struct cidr *net)
{
	struct cidr v4;

	cidr_parse(SPAN("0.0.0.0/0"), &v4);
	return net->bits >= V4_BITS && cidr_contains(&v4, net->address);
}

static bool is_inside(const struct cidr *inner, const struct cidr *outer)
{
	return inner->bits >= outer->bits && cidr_contains(outer, inner->address);
}

/* No machine of a stranger has such an address, however many there are. */
static bool is_private(const struct cidr *net)
{
	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		struct cidr range;

		if (cidr_parse(span_str(private[i]), &range) && is_inside(net, &range))
			return true;
	}
	return false;
}

/* Whether the networks together hold more than half of `whole`: nobody knows so many machines. */
static bool covers(const struct config_strings *list, const char *whole_text)
{
	struct cidr whole, net, other;
	double share = 0;

	cidr_parse(span_str(whole_text), &whole);
	for (size_t i = 0; i < list->count; i++) {
		bool is_counted = false;
		double part = 1;

		if (!cidr_parse(span_str(list->list[i]), &net))
			continue;
		if (is_inside(&whole, &net))
			return true;
		/* Two networks are apart, or one is inside the other. */
		for (size_t k = 0; k < list->count && !is_counted; k++)
			is_counted = k != i && cidr_parse(span_str(list->list[k]), &other) && is_inside(&net, &other) &&
				     (other.bits < net.bits || k < i);
		for (unsigned bits = whole.bits; bits < net.bits; bits++)
			part /= 2;
		if (!is_counted && is_inside(&net, &whole))
			share += part;
	}
	return share > 0.5;
}

bool config_open_is_everything(const struct config_strings *list)
{
	return covers(list, "0.0.0.0/0") || covers(list, "2000::/3");
}

/* "192.0.2.1/24" names a host and the size of its network: which one is meant is a guess to be made by people. */
static void say_no_network(struct config_load *load, const struct config_at *at, const char *key, const char *text)
{
	struct span s = span_str(text), host = span_first(s, span_find(s, '/'));
	unsigned bits, most, shift;
	uint8_t address[16];
	char name[INET6_ADDRSTRLEN];
	bool is_loopback;

	if (!config_address_network(text, &is_loopback, &bits, &most) || !cidr_address(host, address)) {
		config_error(load, at, "%s: \"%s\" is not a network - write it like \"192.0.2.0/24\" or \"::1\"", key,
			     text);
		return;
	}
	shift = most == 32 ? V4_BITS : 0;
	for (unsigned bit = shift + bits; bit < 128; bit++)
		address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	inet_ntop(most == 32 ? AF_INET : AF_INET6, address + shift / 8, name, sizeof(name));
	config_error(load, at, "%s: \"%s\" is a host and a size - did you mean the network \"%s/%u\"?", key, text, name,
		     bits);
}

bool config_open_networks(struct config_load *load, const struct config_at *at, const char *key,
			  const struct config_strings *list)
{
	bool is_good = true;

	for (size_t i = 0; i < list->count; i++) {
		struct cidr net;

		if (cidr_parse(span_str(list->list[i]), &net))
			continue;
		say_no_network(load, at, key, list->list[i]);
		is_good = false;
	}
	return is_good;
}

void config_open_trust(struct config_load *load, const struct config_at *at)
{
	const struct config_strings *list = &load->config->trust.networks;
	bool is_told = false;

	config_open_networks(load, at, "networks", list);
	for (size_t i = 0; i < list->count; i++) {
		struct cidr net;
		unsigned bits;

		if (!cidr_parse(span_str(list->list[i]), &net) || is_private(&net))
			continue;
		bits = is_v4(&net) ? net.bits - V4_BITS : net.bits;
		if (bits < (is_v4(&net) ? V4_LEAST : V6_LEAST)) {
			is_told = true;
			config_error(load, at,
				     "networks: \"%s\" would let strangers send through this machine - list only "
				     "networks whose machines you know",
				     list->list[i]);
		} else if (!is_v4(&net) && bits < V6_USUAL) {
			config_warn(load, at,
				    "networks: \"%s\" is more than any provider gives one customer: strangers could "
				    "send through this machine - list only networks whose machines you know",
				    list->list[i]);
		}
	}
	if (!is_told && config_open_is_everything(list))
		config_error(load, at,
			     "networks: together they are most of the Internet, and strangers could send through this "
			     "machine - list only networks whose machines you know");
}

void config_open_proxy(struct config_load *load, const struct config_listener *l)
{
	const struct config_at *at = config_where(load, l, "proxy");

	if (config_open_networks(load, at, "proxy", &l->proxy) && config_open_is_everything(&l->proxy))
		config_error(load, at,
			     "proxy: anybody could say to be anybody - list only the addresses of your own proxies");
}

static bool is_inside_any(const struct cidr *net, const struct config_strings *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct cidr outer;

		if (cidr_parse(span_str(list->list[i]), &outer) && is_inside(net, &outer))
			return true;
	}
	return false;
}

/* The first network of trust that somebody else can seem to be in, where a proxy of the container's host forwards its
 * ports: with rootless ports from loopback, else from the bridge's gateway, which has a private address. Whoever comes
 * from `proxies` has to say for whom. */
static const char *seeming(const struct config_strings *list, const struct config_strings *proxies)
{
	for (size_t i = 0; i < list->count; i++) {
		struct cidr net, range;

		if (!cidr_parse(span_str(list->list[i]), &net) || is_inside_any(&net, proxies))
			continue;
		for (size_t k = 0; k < sizeof(private) / sizeof(private[0]); k++)
			if (cidr_parse(span_str(private[k]), &range) &&
			    (is_inside(&net, &range) || is_inside(&range, &net)))
				return list->list[i];
	}
	return NULL;
}

static bool trusts_somebody(const struct config_strings *list, bool on_loopback)
{
	bool is_loopback;
	unsigned bits, most;

	for (size_t i = 0; i < list->count; i++)
		if (config_address_network(list->list[i], &is_loopback, &bits, &most) && is_loopback == on_loopback)
			return true;
	return false;
}

void config_open_loopback(struct config_load *load, const struct config_listener *l)
{
	const struct config_trust *trust = &load->config->trust;

	if (l->trust && l->auth == CONFIG_LOGIN_NONE && !l->proxy.count && l->addresses.count &&
	    !trusts_somebody(&trust->networks, true))
		config_warn(
			load, config_check_at(load, trust, "networks", &l->at),
			"networks: without \"127.0.0.0/8\" and \"::1\" the programs of this machine may not send at listener "
			"\"%s\" - add these two",
			l->name);
}

/* One address stands for all that other machines can reach. */
static const char *first_open(const struct config_listener *l)
{
	for (size_t i = 0; i < l->addresses.count; i++) {
		bool is_loopback;

		if (config_address_split(l->addresses.list[i], false, &is_loopback) && !is_loopback)
			return l->addresses.list[i];
	}
	return "";
}

void config_open_listener(struct config_load *load, const struct config_listener *l)
{
	const struct config_strings *networks = &load->config->trust.networks;
	const struct config_at *at = config_check_at(load, l, "address", &l->at),
			       *said = config_where(load, l, "trust");
	bool has_login = l->auth != CONFIG_LOGIN_NONE || l->client_ca || l->client_pins.count;
	const char *whose = l->trust && load->is_container ? seeming(networks, &l->proxy) : NULL;

	if (!has_login && l->trust && !trusts_somebody(networks, false))
		config_error(load, at,
			     "address \"%s\" can be reached from other machines, and nobody there may send - listen on "
			     "\"127.0.0.1:25\", list the networks you mean in trust.networks, or add auth and users",
			     first_open(l));
	else if (whose && !said)
		config_error(load, at,
			     "address \"%s\" is in a container, and whoever forwards its ports can make strangers look "
			     "as if they came from \"%s\", which trust.networks lets in - use auth = required, or "
			     "list it in proxy, or say trust = yes here if no stranger can reach it",
			     first_open(l), whose);
	else if (whose)
		config_warn(load, said,
			    "listener \"%s\" trusts \"%s\" in a container: whoever forwards its ports can make "
			    "strangers look as if they came from there - auth = required would tell them apart",
			    l->name, whose);
}

/* Docker, podman, systemd-nspawn; and for others what stands in the control group of the first process. */
bool config_open_is_container(const char *root)
{
	static const char *const marks[] = { "/.dockerenv", "/run/.containerenv", "/run/systemd/container" },
				 *const words[] = { "docker", "kubepods", "libpod", "/lxc", "containerd" };
	char path[256], line[1024];
	bool found = false;
	FILE *in;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", root, marks[i]);
		if (access(path, F_OK) == 0)
			return true;
	}
	snprintf(path, sizeof(path), "%s/proc/1/cgroup", root);
	in = fopen(path, "re");
	while (in && !found && fgets(line, sizeof(line), in))
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			found = found || strstr(line, words[i]);
	if (in)
		fclose(in);
	return found;
}
