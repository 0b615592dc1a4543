#include "delivery/terms.h"

#include <string.h>

#include "base/cidr.h"
#include "smtp/sasl.h"

static unsigned mechanisms(const struct config_smarthost *host)
{
	static const struct {
		unsigned configured;
		enum sasl_mechanism mechanism;
	} table[] = {
		{ CONFIG_AUTH_PLAIN, SASL_PLAIN },
		{ CONFIG_AUTH_LOGIN, SASL_LOGIN },
		{ CONFIG_AUTH_CRAM_MD5, SASL_CRAM_MD5 },
		{ CONFIG_AUTH_SCRAM_SHA1, SASL_SCRAM_SHA_1 },
		{ CONFIG_AUTH_SCRAM_SHA256, SASL_SCRAM_SHA_256 },
		{ CONFIG_AUTH_SCRAM_SHA1_PLUS, SASL_SCRAM_SHA_1_PLUS },
		{ CONFIG_AUTH_SCRAM_SHA256_PLUS, SASL_SCRAM_SHA_256_PLUS },
		{ CONFIG_AUTH_EXTERNAL, SASL_EXTERNAL },
		{ CONFIG_AUTH_XOAUTH2, SASL_XOAUTH2 },
		{ CONFIG_AUTH_OAUTHBEARER, SASL_OAUTHBEARER },
	};
	unsigned mask = 0;

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (host->auth & table[i].configured)
			mask |= SASL_BIT(table[i].mechanism);
	/* Only a certificate stands for itself. */
	return host->user ? mask : mask & SASL_BIT(SASL_EXTERNAL);
}

static bool is_on_this_machine(const struct config_smarthost *host)
{
	struct span name = span_str(host->host);
	uint8_t address[16];

	if (!host->host || host->proxy.host)
		return false;
	return name.data[0] == '/' || span_equals_fold(name, SPAN("localhost")) ||
	       (cidr_address(name, address) && cidr_is_loopback(address));
}

/* In clear text a challenge can be listened to, and the password guessed from it at leisure: only where nobody listens. */
static bool may_answer_in_clear(const struct config_smarthost *host)
{
	return host->tls == CONFIG_TLS_NONE && is_on_this_machine(host);
}

/* A name that was configured, not a path or a place to look it up. */
static const char *host_name(const struct config_smarthost *host)
{
	bool is_name = host->host && host->host[0] != '/' && !span_starts_fold(span_str(host->host), SPAN("srv:"));

	return is_name ? host->host : NULL;
}

struct client_config terms_session(const struct config_smarthost *host)
{
	return (struct client_config){
		.lmtp = host->protocol == CONFIG_PROTOCOL_LMTP,
		.relay = true,
		.auth = mechanisms(host),
		.auth_in_clear = may_answer_in_clear(host),
		.user = host->user,
		.host = host_name(host),
		.port = host_name(host) ? host->port : 0,
		.greeting_ms = host->timeouts.greeting_ms,
		.command_ms = host->timeouts.command_ms,
		.data_ms = host->timeouts.data_ms,
	};
}

bool terms_binding(const struct tls_session *tls, const struct tls_facts *facts, uint8_t out[TLS_BINDING_LEN])
{
	return strcmp(facts->version, "TLSv1.3") == 0 && tls_channel_binding(tls, out);
}
