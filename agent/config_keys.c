#include "config_load.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)
#define DAY    (24 * 60 * MINUTE)
#define MB     ((int64_t)1 << 20)

#define KEY(text, kind_, type, field, ...)                                                                       \
	{                                                                                                        \
		.name = (text), .kind = CONFIG_KIND_##kind_, .offset = offsetof(struct type, field), __VA_ARGS__ \
	}
#define BOUNDS(low, high) .min = (low), .max = (high)
#define SECTION_OF(table, titled_)                                                            \
	&(const struct config_section)                                                        \
	{                                                                                     \
#table, table##_keys, sizeof(table##_keys) / sizeof(table##_keys[0]), titled_ \
	}

static const struct config_key queue_keys[] = {
	KEY("directory", PATH, config_queue, directory),
	KEY("max_size", SIZE, config_queue, max_size_bytes, BOUNDS(MB, INT64_MAX)),
	KEY("max_message_size", SIZE, config_queue, max_message_bytes, BOUNDS(1024, INT64_MAX)),
	KEY("min_free_disk", SIZE, config_queue, min_free_disk_bytes),
	KEY("lifetime", DURATION, config_queue, lifetime_ms, BOUNDS(SECOND, 365 * DAY)),
	KEY("warn_after", DURATION, config_queue, warn_after_ms),
	KEY("history", DURATION, config_queue, history_ms),
};

static const struct config_key control_keys[] = {
	KEY("socket", PATH, config, control_socket),
};

static const struct config_key listener_keys[] = {
	KEY("socket", PATH, config_listener, socket),
	KEY("socket_mode", MODE, config_listener, socket_mode),
	KEY("address", LIST, config_listener, addresses),
	KEY("tls", CHOICE, config_listener, tls, .words = "none - starttls implicit"),
	KEY("certificate", PATH, config_listener, certificate),
	KEY("key", PATH, config_listener, key),
	KEY("bare_newline", CHOICE, config_listener, bare_newline, .words = "normalize refuse"),
	KEY("socket_owner", TEXT, config_listener, socket_owner),
	KEY("socket_group", TEXT, config_listener, socket_group),
	KEY("auth", CHOICE, config_listener, auth, .words = "none optional required"),
	KEY("mechanisms", LIST, config_listener, mechanisms),
	KEY("users", PATH, config_listener, users),
	KEY("client_ca", PATH, config_listener, client_ca),
	KEY("client_pins", LIST, config_listener, client_pins),
	KEY("proxy", LIST, config_listener, proxy),
	KEY("trust", BOOL, config_listener, trust),
};

static const struct config_key trust_keys[] = {
	KEY("networks", LIST, config_trust, networks),
	KEY("uids", LIST, config_trust, uids),
	KEY("gids", LIST, config_trust, gids),
	KEY("max_rate", RATE, config_trust, max_rate),
};

static const struct config_key limits_keys[] = {
	KEY("connections", COUNT, config_limits, connections, BOUNDS(1, 100000)),
	KEY("connections_per_client", COUNT, config_limits, connections_per_client, BOUNDS(1, 100000)),
	KEY("recipients", COUNT, config_limits, recipients, BOUNDS(1, 100000)),
	KEY("errors", COUNT, config_limits, errors, BOUNDS(1, 1000)),
	KEY("command_timeout", DURATION, config_limits, command_timeout_ms, BOUNDS(SECOND, DAY)),
	KEY("data_timeout", DURATION, config_limits, data_timeout_ms, BOUNDS(SECOND, DAY)),
	KEY("session_timeout", DURATION, config_limits, session_timeout_ms, BOUNDS(SECOND, 7 * DAY)),
};

static const struct config_key retry_keys[] = {
	KEY("first", DURATION, config_backoff, first_ms, BOUNDS(SECOND, 30 * DAY)),
	KEY("factor", FACTOR, config_backoff, factor),
	KEY("max", DURATION, config_backoff, max_ms, BOUNDS(SECOND, 30 * DAY)),
};

static const struct config_key reconnect_keys[] = {
	KEY("first", DURATION, config_backoff, first_ms, BOUNDS(SECOND, DAY)),
	KEY("factor", FACTOR, config_backoff, factor),
	KEY("max", DURATION, config_backoff, max_ms, BOUNDS(SECOND, 7 * DAY)),
};

static const struct config_key timeouts_keys[] = {
	KEY("connect", DURATION, config_timeouts, connect_ms, BOUNDS(SECOND, 60 * MINUTE)),
	KEY("greeting", DURATION, config_timeouts, greeting_ms, BOUNDS(SECOND, 60 * MINUTE)),
	KEY("command", DURATION, config_timeouts, command_ms, BOUNDS(SECOND, 60 * MINUTE)),
	KEY("data", DURATION, config_timeouts, data_ms, BOUNDS(SECOND, 60 * MINUTE)),
};

static const struct config_key dns_keys[] = {
	KEY("servers", LIST, config, dns_servers),
	KEY("trust_ad", BOOL, config, dns_trust_ad),
};

#define BACKOFF(name_, type, field) KEY(#name_, SECTION, type, field, .section = SECTION_OF(name_, CONFIG_UNTITLED))

/* A key that means something elsewhere; who writes it here is told why it does not. */
#define REFUSED(text, reason)                                                  \
	{                                                                      \
		.name = (text), .kind = CONFIG_KIND_REFUSED, .words = (reason) \
	}

/* How mail gets to a host, whoever's it is. The first of the words of tls is that of CONFIG_TLS_NONE. */
#define TRANSPORT_KEYS                                                                                                \
	KEY("port", PORT, config_smarthost, port),                                                                    \
		KEY("tls", CHOICE, config_smarthost, tls, .words = "none opportunistic starttls implicit dane"),      \
		KEY("source", LIST, config_smarthost, source), KEY("proxy", PROXY, config_smarthost, proxy),          \
		KEY("tls_verify", BOOL, config_smarthost, tls_verify), KEY("tls_ca", PATH, config_smarthost, tls_ca), \
		KEY("tls_name", TEXT, config_smarthost, tls_name), KEY("tls_pins", LIST, config_smarthost, tls_pins), \
		KEY("tls_certificate", PATH, config_smarthost, tls_certificate),                                      \
		KEY("tls_key", PATH, config_smarthost, tls_key),                                                      \
		KEY("tls_minimum", WORD, config_smarthost, tls_minimum, .words = "1.2 1.3 1.1 1.0"),                  \
		KEY("connections", COUNT, config_smarthost, connections, BOUNDS(1, 1000)),                            \
		KEY("rate", RATE, config_smarthost, rate),                                                            \
		KEY("messages_per_connection", COUNT, config_smarthost, messages_per_connection, BOUNDS(1, 1000000)), \
		KEY("recipients_per_message", COUNT, config_smarthost, recipients_per_message, BOUNDS(1, 100000)),    \
		KEY("idle", DURATION, config_smarthost, idle_ms, BOUNDS(SECOND, 60 * MINUTE)),                        \
		BACKOFF(reconnect, config_smarthost, reconnect), BACKOFF(timeouts, config_smarthost, timeouts)

static const struct config_key smarthost_keys[] = {
	KEY("host", TEXT, config_smarthost, host),
	KEY("protocol", CHOICE, config_smarthost, protocol, .words = "smtp lmtp"),
	TRANSPORT_KEYS,
	KEY("auth", AUTH, config_smarthost, auth,
	    .words = "auto plain login cram-md5 scram scram-sha-1 scram-sha-256 scram-sha-1-plus scram-sha-256-plus "
		     "external xoauth2 oauthbearer none"),
	KEY("user", TEXT, config_smarthost, user),
	KEY("secret_file", PATH, config_smarthost, secret_file),
	KEY("secret_command", TEXT, config_smarthost, secret_command),
	KEY("secret_credential", TEXT, config_smarthost, secret_credential),
	REFUSED("mta_sts", "its policies are about the MX of domains; tls = starttls proves a smart host"),
	REFUSED("mta_sts_ca", "it is for mx and domain sections; a smart host's authorities are tls_ca"),
	REFUSED("mta_sts_port", "it is for mx and domain sections"),
};

#define LOGIN_REFUSED "no password is told to the servers of strangers; a smarthost section has accounts"

/* mx, and what sections of domains have beyond it: the same keys. */
#define MX_KEYS                                                                                                        \
	TRANSPORT_KEYS, KEY("mta_sts", BOOL, config_smarthost, mta_sts),                                               \
		KEY("mta_sts_ca", PATH, config_smarthost, mta_sts_ca),                                                 \
		KEY("mta_sts_port", PORT, config_smarthost, mta_sts_port),                                             \
		REFUSED("host", "the hosts are the MX that DNS names; a smarthost section has a host of your own"),    \
		REFUSED("protocol", "MX speak SMTP; a smarthost section can have protocol = lmtp"),                    \
		REFUSED("auth", LOGIN_REFUSED), REFUSED("user", LOGIN_REFUSED), REFUSED("secret_file", LOGIN_REFUSED), \
		REFUSED("secret_command", LOGIN_REFUSED), REFUSED("secret_credential", LOGIN_REFUSED)

static const struct config_key mx_keys[] = { MX_KEYS };
static const struct config_key domain_keys[] = { MX_KEYS };

static const struct config_key tlsrpt_keys[] = {
	KEY("send", BOOL, config_tlsrpt, send),
	KEY("organization", TEXT, config_tlsrpt, organization),
	KEY("contact", TEXT, config_tlsrpt, contact),
	KEY("from", TEXT, config_tlsrpt, from),
};

static const struct config_key route_keys[] = {
	KEY("from", LIST, config_route, from),
	KEY("to", LIST, config_route, to),
	KEY("via", LIST, config_route, via),
	KEY("when", LIST, config_route, when),
	KEY("lifetime", DURATION, config_route, lifetime_ms, BOUNDS(SECOND, 365 * DAY)),
	KEY("warn_after", DURATION, config_route, warn_after_ms),
	BACKOFF(retry, config_route, retry),
};

#define WHO(type)                                                                                                  \
	KEY("users", LIST, type, who.users), KEY("uids", LIST, type, who.uids), KEY("gids", LIST, type, who.gids), \
		KEY("networks", LIST, type, who.networks), KEY("listeners", LIST, type, who.listeners)

static const struct config_key submitter_keys[] = {
	WHO(config_submitter),
	KEY("senders", LIST, config_submitter, senders),
	KEY("rate", RATE, config_submitter, rate),
	KEY("quota", RATE, config_submitter, quota),
	KEY("recipients", COUNT, config_submitter, recipients, BOUNDS(1, 100000)),
};

static const struct config_key identity_keys[] = {
	WHO(config_identity),
	KEY("senders", LIST, config_identity, senders),
	KEY("from", TEXT, config_identity, from),
	KEY("name", TEXT, config_identity, full_name),
	KEY("envelope", TEXT, config_identity, envelope),
	KEY("original", CHOICE, config_identity, original, .words = "drop reply-to x-original-from"),
	KEY("to", TEXT, config_identity, to),
	KEY("route", TEXT, config_identity, route),
};

#define WHOLE(name_, titled_)                                                                      \
	{                                                                                          \
		.name = #name_, .kind = CONFIG_KIND_SECTION, .section = SECTION_OF(name_, titled_) \
	}

static const struct config_key root_keys[] = {
	KEY("hostname", TEXT, config, hostname),
	KEY("postmaster", TEXT, config, postmaster),
	KEY("log", WORD, config, log, .words = "auto stderr syslog journal"),
	KEY("log_level", WORD, config, log_level, .words = "error warning notice info debug"),
	KEY("user", TEXT, config, run_as),
	KEY("privacy", CHOICE, config, privacy, .words = "reduced full none"),
	KEY("aliases", PATH, config, aliases),
	KEY("aliases_in_header", BOOL, config, aliases_in_header),
	KEY("drop_directory", PATH, config, drop_directory),
	BACKOFF(queue, config, queue),
	WHOLE(control, CONFIG_UNTITLED),
	BACKOFF(trust, config, trust),
	BACKOFF(limits, config, limits),
	BACKOFF(retry, config, retry),
	BACKOFF(reconnect, config, reconnect),
	BACKOFF(timeouts, config, timeouts),
	WHOLE(dns, CONFIG_UNTITLED),
	BACKOFF(tlsrpt, config, tlsrpt),
	WHOLE(mx, CONFIG_MX),
	WHOLE(domain, CONFIG_DOMAIN),
	WHOLE(listener, CONFIG_LISTENER),
	WHOLE(smarthost, CONFIG_SMARTHOST),
	WHOLE(route, CONFIG_ROUTE),
	WHOLE(submitter, CONFIG_SUBMITTER),
	WHOLE(identity, CONFIG_IDENTITY),
};

bool config_keys_has_title(const struct config_section *section)
{
	return section->titled != CONFIG_UNTITLED && section->titled != CONFIG_MX;
}

const struct config_section *config_keys_root(void)
{
	static const struct config_section root = { "root", root_keys, sizeof(root_keys) / sizeof(root_keys[0]),
						    CONFIG_UNTITLED };

	return &root;
}
