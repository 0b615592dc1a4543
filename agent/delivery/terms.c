#include "delivery/terms.h"

#include <stdio.h>

#include "smtp/sasl.h"

static unsigned mechanisms(const struct config_smarthost *host)
{
	if (!host->user)
		return 0;
	return (host->auth & CONFIG_AUTH_PLAIN ? SASL_BIT(SASL_PLAIN) : 0) |
	       (host->auth & CONFIG_AUTH_LOGIN ? SASL_BIT(SASL_LOGIN) : 0);
}

static enum client_tls level(enum config_tls tls)
{
	switch (tls) {
	case CONFIG_TLS_NONE: return CLIENT_TLS_NONE;
	case CONFIG_TLS_OPPORTUNISTIC: return CLIENT_TLS_OPPORTUNISTIC;
	case CONFIG_TLS_DANE:
	case CONFIG_TLS_STARTTLS: return CLIENT_TLS_STARTTLS;
	case CONFIG_TLS_IMPLICIT: return CLIENT_TLS_IMPLICIT;
	}
	return CLIENT_TLS_STARTTLS;
}

struct client_config terms_session(const struct config_smarthost *host)
{
	return (struct client_config){
		.tls = level(host->tls),
		.lmtp = host->protocol == CONFIG_PROTOCOL_LMTP,
		.relay = true,
		.tls_unproven = host->tls == CONFIG_TLS_OPPORTUNISTIC || !host->tls_verify,
		.auth = mechanisms(host),
		.user = host->user,
		.greeting_ms = host->timeouts.greeting_ms,
		.command_ms = host->timeouts.command_ms,
		.data_ms = host->timeouts.data_ms,
	};
}

struct tls_demand terms_tls(const struct config_smarthost *host, char key[TERMS_KEY_SIZE])
{
	/* Opportunistic: whoever answers is better than clear text; what he showed is recorded. */
	bool verify = host->tls_verify && host->tls != CONFIG_TLS_OPPORTUNISTIC;

	snprintf(key, TERMS_KEY_SIZE, "%s:%u %d%d %s %s", host->host, host->port, host->tls, verify,
		 host->tls_name ? host->tls_name : "", host->name);
	return (struct tls_demand){
		.name = host->host,
		.check_name = host->tls_name,
		.verify = verify,
		.ca_file = host->tls_ca,
		.pins = (const char *const *)host->tls_pins.list,
		.pin_count = host->tls_pins.count,
		.certificate_file = host->tls_certificate,
		.key_file = host->tls_key,
		.minimum = host->tls_minimum,
		.cache_key = key,
	};
}

bool terms_is_authentic(const struct config_smarthost *host, const struct tls_facts *facts)
{
	return facts->verified || !host->tls_verify;
}
