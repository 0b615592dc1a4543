#include <string.h>

#include "config_load.h"

void config_host_defaults(const struct config *config, struct config_smarthost *out)
{
	*out = (struct config_smarthost){
		.tls_verify = true,
		.connections = 3,
		.messages_per_connection = 100,
		.recipients_per_message = 100,
		.rate.per_ms = 1000,
		.reconnect = config->reconnect,
		.timeouts = config->timeouts,
		.mta_sts_port = 443,
	};
}

static void check_secret(struct config_load *load, struct config_smarthost *h)
{
	const char *const keys[] = { "secret_file", "secret_command", "secret_credential" };
	const struct config_at *first = NULL;
	const char *first_key = NULL;

	for (size_t i = 0; i < 3; i++) {
		const struct config_at *at = config_where(load, h, keys[i]);

		if (at && first)
			config_error(load, at, "%s beside %s - one secret is enough, remove one of them", keys[i],
				     first_key);
		else if (at) {
			first = at;
			first_key = keys[i];
		}
	}
	if (h->secret_file)
		config_check_file(load, config_check_at(load, h, "secret_file", &h->at), "secret_file", h->secret_file,
				  true);
	if (h->secret_credential && strchr(h->secret_credential, '/'))
		config_error(load, config_check_at(load, h, "secret_credential", &h->at),
			     "secret_credential = \"%s\" is not a name - it is that of LoadCredential= in the unit",
			     h->secret_credential);
	if (first && !h->user)
		config_error(load, first, "%s without user - add user = \"…\"", first_key);
	if (h->user && !first)
		config_error(load, config_check_at(load, h, "user", &h->at),
			     "user without a secret - add secret_file, secret_command or secret_credential");
}

static void check_auth(struct config_load *load, struct config_smarthost *h)
{
	const struct config_at *auth = config_where(load, h, "auth");

	if (!auth)
		h->auth = h->user ? CONFIG_AUTH_ANY : 0;
	if (auth && h->auth && !h->user)
		config_error(load, auth,
			     "smarthost \"%s\" has auth without user - add user and a secret, or auth = none", h->name);
	if (auth && !h->auth && h->user)
		config_error(load, auth, "smarthost \"%s\" has a user and auth = none - remove one of them", h->name);
	if (h->auth && (h->tls == CONFIG_TLS_NONE || h->tls == CONFIG_TLS_OPPORTUNISTIC) && h->host &&
	    !config_address_is_loopback(h->host))
		config_error(load, config_check_at(load, h, "tls", &h->at),
			     "tls = %s with a password: it could go over the network in clear text - "
			     "use tls = starttls or implicit",
			     h->tls == CONFIG_TLS_NONE ? "none" : "opportunistic");
}

static void check_tls(struct config_load *load, struct config_smarthost *h)
{
	static const char *const tls_keys[] = { "tls_verify",      "tls_ca",  "tls_name",   "tls_pins",
						"tls_certificate", "tls_key", "tls_minimum" };
	const struct config_at *verify = config_where(load, h, "tls_verify");

	if (!h->port)
		h->port = h->tls == CONFIG_TLS_IMPLICIT ? 465 : h->tls == CONFIG_TLS_STARTTLS ? 587 : 25;
	for (size_t i = 0; h->tls == CONFIG_TLS_NONE && i < sizeof(tls_keys) / sizeof(tls_keys[0]); i++)
		if (config_where(load, h, tls_keys[i]))
			config_error(load, config_where(load, h, tls_keys[i]),
				     "%s with tls = none means nothing - remove it", tls_keys[i]);
	for (size_t i = 0; i < h->tls_pins.count; i++)
		if (!config_check_is_pin(h->tls_pins.list[i]))
			config_error(
				load, config_check_at(load, h, "tls_pins", &h->at),
				"tls_pins: \"%s\" is not a pin - it is \"sha256:\" and 64 hex digits or 44 of base64",
				h->tls_pins.list[i]);
	if (!h->tls_certificate != !h->tls_key)
		config_error(load, config_check_at(load, h, h->tls_key ? "tls_key" : "tls_certificate", &h->at),
			     "tls_certificate and tls_key belong together - add the other one");
	if (h->tls_certificate)
		config_check_file(load, config_check_at(load, h, "tls_certificate", &h->at), "tls_certificate",
				  h->tls_certificate, false);
	if (h->tls_key)
		config_check_file(load, config_check_at(load, h, "tls_key", &h->at), "tls_key", h->tls_key, true);
	if (h->tls_ca)
		config_check_file(load, config_check_at(load, h, "tls_ca", &h->at), "tls_ca", h->tls_ca, false);
	if (verify && !h->tls_verify)
		config_warn(load, verify,
			    "smarthost \"%s\": tls_verify = no: whoever answers there is believed%s - "
			    "tls_ca or tls_pins can prove a private server",
			    h->name, h->auth ? " and gets the password" : "");
}

/* A name, a literal address (in brackets or not), or a Unix socket. */
static void check_host(struct config_load *load, struct config_smarthost *h)
{
	const struct config_at *at = config_check_at(load, h, "host", &h->at);
	bool is_loopback;
	unsigned bits, most;
	size_t len;

	if (!h->host) {
		config_error(load, &h->at, "smarthost \"%s\" has no host - add host = \"smtp.example.com\"", h->name);
		return;
	}
	len = strlen(h->host);
	if (h->host[0] == '[' && h->host[len - 1] == ']' && len > 2)
		h->host = config_keep(load, span_of(h->host + 1, len - 2));
	if (h->host[0] == '/') {
		config_check_socket(load, at, h->host);
		if (config_where(load, h, "port"))
			config_error(load, config_where(load, h, "port"), "a Unix socket has no port - remove it");
	} else if (!config_address_is_domain(h->host) &&
		   (strchr(h->host, '/') || !config_address_network(h->host, &is_loopback, &bits, &most))) {
		config_error(load, at, "host = \"%s\" is not a host - it is a name or a number, without port or scheme",
			     h->host);
	}
}

void config_host_check(struct config_load *load, struct config_smarthost *h)
{
	config_check_name(load, &h->at, "smarthost", h->name);
	check_host(load, h);
	if (!config_where(load, h, "tls")) /* RFC 8314, 3.3: port 465 is TLS from the first byte */
		h->tls = h->host && h->host[0] == '/' ? CONFIG_TLS_NONE
			 : h->port == 465             ? CONFIG_TLS_IMPLICIT
						      : CONFIG_TLS_STARTTLS;
	else if (h->tls == CONFIG_TLS_STARTTLS && h->port == 465)
		config_warn(
			load, config_where(load, h, "tls"),
			"smarthost \"%s\": port 465 speaks TLS at once nearly everywhere - did you mean tls = implicit?",
			h->name);
	check_auth(load, h);
	check_secret(load, h);
	check_tls(load, h);
	config_check_backoff(load, &h->reconnect, "reconnect", &h->at);
}
