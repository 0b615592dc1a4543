#include <stdio.h>
#include <string.h>

#include "config_load.h"
#include "net/hosts.h"

void config_dns_servers(struct config_load *load)
{
	struct config *config = load->config;
	struct config_at begin = { config->file, 0 };
	const struct config_at *at = config_check_at(load, config, "servers", &begin);

	if (config->dns_servers.count > HOSTS_SERVERS)
		config_error(load, at, "servers: there are %zu - at most %d are asked", config->dns_servers.count,
			     HOSTS_SERVERS);
	for (size_t i = 0; i < config->dns_servers.count; i++) {
		const char *server = config->dns_servers.list[i];
		bool is_loopback, has_port = config_address_split(server, false, &is_loopback);

		if (has_port)
			continue;
		if (!config_address_split(server, true, &is_loopback))
			config_error(load, at, "servers: \"%s\" is not an address - write it like \"127.0.0.1:53\"",
				     server);
		else if (server[0] == '[' || !strchr(server, ':'))
			config->dns_servers.list[i] = config_format(load, "%s:53", server);
		else
			config->dns_servers.list[i] = config_format(load, "[%s]:53", server);
	}
}

/* ---------------------------------------------------------------- whose word counts */

static bool are_near(const struct config_strings *servers)
{
	bool is_loopback;

	for (size_t i = 0; i < servers->count; i++)
		if (!config_address_split(servers->list[i], true, &is_loopback) || !is_loopback)
			return false;
	return servers->count > 0;
}

bool config_dns_is_trusted(const struct config *config, const char *resolv_file)
{
	struct hosts_servers servers;

	if (config->dns_trust_ad || config->dns_servers.count)
		return config->dns_trust_ad || are_near(&config->dns_servers);
	hosts_servers_of(resolv_file, &servers);
	for (size_t i = 0; i < servers.count; i++)
		if (!addr_is_loopback(&servers.list[i].addr))
			return false;
	return servers.count > 0;
}

static void warn_of(struct config_load *load, const struct config_smarthost *h)
{
	const struct config_at *at = config_where(load, h, "tls");

	if (at && h->tls == CONFIG_TLS_DANE)
		config_warn(
			load, at,
			"tls = dane: the resolver is another machine, whose word that TLSA records are signed is not "
			"believed, so that this mail would wait - run a resolver here that validates (as unbound) and "
			"set dns.servers, or set dns.trust_ad = yes if nobody can get between");
}

void config_dns_check(struct config_load *load, const char *resolv_file)
{
	const struct config *config = load->config;

	if (load->is_client || config_dns_is_trusted(config, resolv_file))
		return;
	for (size_t i = 0; i < config->smarthost_count; i++)
		warn_of(load, &config->smarthosts[i]);
	warn_of(load, &config->mx);
	for (size_t i = 0; i < config->domain_count; i++)
		warn_of(load, &config->domains[i].mx);
}
