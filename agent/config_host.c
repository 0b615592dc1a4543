#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "config_load.h"
#include "route.h"

enum { SMTP_PORT = 25, LMTP_PORT = 24, SUBMISSION_PORT = 587, SUBMISSIONS_PORT = 465 };

static const char SRV[] = "srv:";

void config_host_defaults(const struct config *config, struct config_smarthost *out)
{
	*out = (struct config_smarthost){
		.tls_verify = true,
		.connections = 3,
		.messages_per_connection = 100,
		.recipients_per_message = 100,
		.idle_ms = 30 * 1000,
		.rate.per_ms = 1000,
		.reconnect = config->reconnect,
		.timeouts = config->timeouts,
		.mta_sts_port = 443,
	};
}

/* Where `key` is said, or where the section begins. */
static const struct config_at *at_of(const struct config_load *load, const struct config_smarthost *h, const char *key)
{
	return config_check_at(load, h, key, &h->at);
}

static bool is_socket(const struct config_smarthost *h)
{
	return h->host && h->host[0] == '/';
}

static bool is_srv(const struct config_smarthost *h)
{
	return h->host && strncmp(h->host, SRV, sizeof(SRV) - 1) == 0;
}

static bool is_literal(const char *host)
{
	uint8_t address[16];

	return cidr_address(span_str(host), address);
}

/* ---------------------------------------------------------------- the way there */

/* Both families may be reached, from one address each. */
static void check_source(struct config_load *load, const struct config_smarthost *h)
{
	const struct config_at *at = at_of(load, h, "source");
	unsigned counts[2] = { 0, 0 };
	static const uint8_t any_v4[16] = { [10] = 0xff, [11] = 0xff }, any_v6[16];
	uint8_t address[16];

	if (!config_where(load, h, "source"))
		return;
	if (is_socket(h) && h->source.count)
		config_error(load, at, "source with a Unix socket means nothing - remove it");
	for (size_t i = 0; i < h->source.count; i++) {
		const char *text = h->source.list[i];
		bool is_v6 = strchr(text, ':') != NULL;

		if (!cidr_address(span_str(text), address))
			config_error(load, at,
				     "source: \"%s\" is not an address - write it like \"192.0.2.1\" or "
				     "\"2001:db8::1\", without a port",
				     text);
		else if (memcmp(address, any_v4, 16) == 0 || memcmp(address, any_v6, 16) == 0)
			config_error(load, at, "source: \"%s\" is any address - leave source out for that", text);
		else if (counts[is_v6]++)
			config_error(load, at, "source: \"%s\" is the second %s address - one of each family is enough",
				     text, is_v6 ? "IPv6" : "IPv4");
	}
}

static void check_proxy(struct config_load *load, const struct config_smarthost *h)
{
	const struct config_at *at = config_where(load, h, "proxy");

	if (!at || !h->proxy.host)
		return;
	if (is_socket(h))
		config_error(load, at, "proxy with a Unix socket means nothing - remove it");
	if (h->proxy.password) /* the file with this line is a secret itself */
		config_check_file(load, at, "proxy with a password", at->file, true);
}

/* ---------------------------------------------------------------- TLS */

static void check_certificates(struct config_load *load, const struct config_smarthost *h)
{
	for (size_t i = 0; i < h->tls_pins.count; i++)
		if (!config_check_is_pin(h->tls_pins.list[i]))
			config_error(
				load, at_of(load, h, "tls_pins"),
				"tls_pins: \"%s\" is not a pin - it is \"sha256:\" and 64 hex digits or 44 of base64",
				h->tls_pins.list[i]);
	if (!h->tls_certificate != !h->tls_key)
		config_error(load, at_of(load, h, h->tls_key ? "tls_key" : "tls_certificate"),
			     "tls_certificate and tls_key belong together - add the other one");
	if (h->tls_certificate && config_where(load, h, "tls_certificate"))
		config_check_file(load, at_of(load, h, "tls_certificate"), "tls_certificate", h->tls_certificate,
				  false);
	if (h->tls_key && config_where(load, h, "tls_key"))
		config_check_file(load, at_of(load, h, "tls_key"), "tls_key", h->tls_key, true);
	if (h->tls_ca && config_where(load, h, "tls_ca"))
		config_check_file(load, at_of(load, h, "tls_ca"), "tls_ca", h->tls_ca, false);
}

/* Keys that only another level gives a meaning: who wrote them expects a proof that nobody asks for. */
static void check_proofs(struct config_load *load, const struct config_smarthost *h)
{
	static const char *const keys[] = { "tls_ca",          "tls_name", "tls_pins",   "tls_verify",
					    "tls_certificate", "tls_key",  "tls_minimum" };
	enum { PROOFS = 3, NOT_FOR_DANE = 4 };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct config_at *at = config_where(load, h, keys[i]);
		bool is_for_mta_sts = i == 0 && !h->host && h->mta_sts; /* whose policies ask for such a proof */

		if (!at)
			continue;
		if (h->tls == CONFIG_TLS_NONE)
			config_error(load, at, "%s with tls = none means nothing - remove it", keys[i]);
		else if (h->tls == CONFIG_TLS_OPPORTUNISTIC && i < PROOFS && !is_for_mta_sts)
			config_error(
				load, at,
				"%s with tls = opportunistic proves nothing: the mail goes there without the proof, "
				"too - add tls = starttls",
				keys[i]);
		else if (h->tls == CONFIG_TLS_DANE && i < NOT_FOR_DANE)
			config_error(
				load, at,
				"%s with tls = dane: TLSA records alone say what is right - remove it, or set tls = "
				"starttls",
				keys[i]);
	}
}

static void check_tls(struct config_load *load, const struct config_smarthost *h, const char *what)
{
	bool is_proof = h->tls == CONFIG_TLS_STARTTLS || h->tls == CONFIG_TLS_IMPLICIT;

	check_proofs(load, h);
	check_certificates(load, h);
	if (!h->tls_verify && (is_proof || config_where(load, h, "tls_verify")) && h->tls != CONFIG_TLS_NONE)
		config_warn(load, at_of(load, h, "tls_verify"),
			    "%s: tls_verify = no: whoever answers there is believed%s - "
			    "tls_ca or tls_pins can prove a private server",
			    what, h->auth ? " and gets the password" : "");
}

void config_host_transport(struct config_load *load, const struct config_smarthost *h, const char *what)
{
	check_tls(load, h, what);
	check_source(load, h);
	check_proxy(load, h);
	config_check_backoff(load, &h->reconnect, "reconnect", &h->at);
}

const char *config_host_level(enum config_tls tls)
{
	static const char *const levels[] = { [CONFIG_TLS_NONE] = "none",
					      [CONFIG_TLS_OPPORTUNISTIC] = "opportunistic",
					      [CONFIG_TLS_STARTTLS] = "starttls",
					      [CONFIG_TLS_IMPLICIT] = "implicit",
					      [CONFIG_TLS_DANE] = "dane" };

	return levels[tls];
}

/* ---------------------------------------------------------------- smart hosts: place */

static void check_srv(struct config_load *load, const struct config_smarthost *h)
{
	const char *domain = h->host + sizeof(SRV) - 1;
	const struct config_at *port = config_where(load, h, "port");

	if (!config_address_is_domain(domain) || is_literal(domain))
		config_error(
			load, at_of(load, h, "host"),
			"host = \"%s\" names no domain - as in \"srv:example.com\", whose SRV records are asked for",
			h->host);
	if (port)
		config_error(load, port, "port with host = \"%s\": the ports come from DNS - remove it", h->host);
	if (h->protocol == CONFIG_PROTOCOL_LMTP)
		config_error(load, at_of(load, h, "protocol"),
			     "protocol = lmtp with host = \"%s\": such records are about submission - name the host",
			     h->host);
	if (h->tls == CONFIG_TLS_NONE)
		config_error(
			load, at_of(load, h, "tls"),
			"tls = none with host = \"%s\": DNS alone would say who gets the mail - use tls = starttls",
			h->host);
}

/* A name, a literal address (in brackets or not), a domain with SRV records, or a Unix socket. */
static void check_host(struct config_load *load, struct config_smarthost *h)
{
	const struct config_at *at = at_of(load, h, "host");
	size_t len;

	if (!h->host) {
		config_error(load, &h->at, "smarthost \"%s\" has no host - add host = \"smtp.example.com\"", h->name);
		return;
	}
	len = strlen(h->host);
	if (h->host[0] == '[' && h->host[len - 1] == ']' && len > 2)
		h->host = config_keep(load, span_of(h->host + 1, len - 2));
	if (is_socket(h)) {
		config_check_socket(load, at, h->host);
		if (config_where(load, h, "port"))
			config_error(load, config_where(load, h, "port"), "a Unix socket has no port - remove it");
	} else if (!is_srv(h) && !config_address_is_domain(h->host) && !is_literal(h->host)) {
		config_error(load, at, "host = \"%s\" is not a host - it is a name or a number, without port or scheme",
			     h->host);
	}
}

/* RFC 8314, 3.3: port 465 is TLS from the first byte. Between programs of one machine nobody listens. */
static enum config_tls default_tls(const struct config_smarthost *h)
{
	if (is_socket(h) || (h->host && h->protocol == CONFIG_PROTOCOL_LMTP && config_address_is_loopback(h->host)))
		return CONFIG_TLS_NONE;
	return h->port == SUBMISSIONS_PORT ? CONFIG_TLS_IMPLICIT : CONFIG_TLS_STARTTLS;
}

static uint16_t default_port(const struct config_smarthost *h)
{
	if (h->protocol == CONFIG_PROTOCOL_LMTP)
		return LMTP_PORT;
	switch (h->tls) {
	case CONFIG_TLS_NONE:
	case CONFIG_TLS_OPPORTUNISTIC: return SMTP_PORT;
	case CONFIG_TLS_STARTTLS:
	case CONFIG_TLS_DANE: return SUBMISSION_PORT;
	case CONFIG_TLS_IMPLICIT: return SUBMISSIONS_PORT;
	}
	return SMTP_PORT;
}

static void check_port(struct config_load *load, struct config_smarthost *h)
{
	if (!config_where(load, h, "tls"))
		h->tls = default_tls(h);
	else if (h->tls == CONFIG_TLS_STARTTLS && h->port == SUBMISSIONS_PORT)
		config_warn(
			load, config_where(load, h, "tls"),
			"smarthost \"%s\": port 465 speaks TLS at once nearly everywhere - did you mean tls = implicit?",
			h->name);
	if (h->tls == CONFIG_TLS_DANE && h->port == SUBMISSIONS_PORT)
		config_error(load, config_where(load, h, "port"),
			     "port 465 with tls = dane, which begins with STARTTLS - use port 587, or tls = implicit");
	if (h->tls == CONFIG_TLS_DANE && h->host && (is_socket(h) || is_literal(h->host)))
		config_error(
			load, at_of(load, h, "tls"),
			"tls = dane with host = \"%s\", which has no TLSA records - name a host, or set tls = starttls",
			h->host);
	if (h->protocol == CONFIG_PROTOCOL_LMTP && h->port == SMTP_PORT) /* RFC 2033, 5 */
		config_error(
			load, at_of(load, h, "port"),
			"port = 25 with protocol = lmtp: nobody may speak LMTP there - use the server's own port for "
			"it, often 24");
	if (!h->port && !is_srv(h))
		h->port = default_port(h);
}

/* ---------------------------------------------------------------- smart hosts: account */

enum { PASSWORDS = CONFIG_AUTH_ANY, TOKENS = CONFIG_AUTH_XOAUTH2 | CONFIG_AUTH_OAUTHBEARER };

static bool has_secret(const struct config_smarthost *h)
{
	return h->secret_file || h->secret_command || h->secret_credential;
}

static void check_secret(struct config_load *load, const struct config_smarthost *h)
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
		config_check_file(load, at_of(load, h, "secret_file"), "secret_file", h->secret_file, true);
	if (h->secret_credential && strchr(h->secret_credential, '/'))
		config_error(load, at_of(load, h, "secret_credential"),
			     "secret_credential = \"%s\" is not a name - it is that of LoadCredential= in the unit",
			     h->secret_credential);
	if (first && h->auth == CONFIG_AUTH_EXTERNAL)
		config_error(load, first, "%s with auth = external, which has no secret - remove it", first_key);
	else if (first && !h->user)
		config_error(load, first, "%s without user - add user = \"…\"", first_key);
	if (h->user && !first && h->auth != CONFIG_AUTH_EXTERNAL)
		config_error(load, at_of(load, h, "user"),
			     "user without a secret - add secret_file, secret_command or secret_credential");
}

/* A password is not told where a stranger could read it, and a certificate is only shown in TLS. */
static void check_clear_text(struct config_load *load, const struct config_smarthost *h)
{
	if (!h->auth || !h->host || (h->tls != CONFIG_TLS_NONE && h->tls != CONFIG_TLS_OPPORTUNISTIC))
		return;
	if (h->auth == CONFIG_AUTH_EXTERNAL)
		config_error(
			load, at_of(load, h, "tls"),
			"tls = %s with auth = external: without TLS no certificate is shown - use tls = starttls or "
			"implicit",
			config_host_level(h->tls));
	else if (!config_address_is_loopback(h->host))
		config_error(load, at_of(load, h, "tls"),
			     "tls = %s with a password: it could go over the network in clear text - "
			     "use tls = starttls or implicit",
			     config_host_level(h->tls));
}

static void check_auth(struct config_load *load, struct config_smarthost *h)
{
	const struct config_at *auth = config_where(load, h, "auth");

	if (!auth)
		h->auth = h->user ? CONFIG_AUTH_ANY : 0;
	if (auth && h->auth && h->auth != CONFIG_AUTH_EXTERNAL && !h->user)
		config_error(load, auth,
			     "smarthost \"%s\" has auth without user - add user and a secret, or auth = none", h->name);
	if (auth && !h->auth && h->user)
		config_error(load, auth, "smarthost \"%s\" has a user and auth = none - remove one of them", h->name);
	/* Who shows a certificate and has no password means to be known by it. */
	if (h->auth == CONFIG_AUTH_ANY && h->tls_certificate && !has_secret(h))
		h->auth = CONFIG_AUTH_EXTERNAL;
	if (h->auth & CONFIG_AUTH_EXTERNAL && !h->tls_certificate)
		config_error(load, auth,
			     "auth = external proves who you are by a certificate - add tls_certificate and tls_key");
	if (h->auth & PASSWORDS && h->auth & TOKENS)
		config_error(load, auth,
			     "auth: the secret is a password or a token, and would be told for the other - name only "
			     "xoauth2 and oauthbearer, or none of them");
	check_clear_text(load, h);
}

void config_host_check(struct config_load *load, struct config_smarthost *h)
{
	char what[128];

	snprintf(what, sizeof(what), "smarthost \"%.80s\"", h->name);
	config_check_name(load, &h->at, "smarthost", h->name);
	if (strcasecmp(h->name, ROUTE_DIRECT) == 0)
		config_error(load, &h->at,
			     "smarthost \"%s\": in via that is the MX of each recipient - give it another name",
			     h->name);
	check_host(load, h);
	check_port(load, h);
	if (is_srv(h))
		check_srv(load, h);
	check_auth(load, h);
	check_secret(load, h);
	config_host_transport(load, h, what);
}
