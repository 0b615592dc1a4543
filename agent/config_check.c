#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "config_load.h"
#include "names.h"

const struct config_at *config_check_at(const struct config_load *load, const void *object, const char *key,
					const struct config_at *begin)
{
	const struct config_at *at = config_where(load, object, key);

	return at ? at : begin;
}

void config_check_name(struct config_load *load, const struct config_at *at, const char *what, const char *name)
{
	static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(name);

	if (len == 0 || len > 63 || strspn(name, legal) != len)
		config_error(load, at, "%s \"%.80s\" is not a good name - use 1 to 63 letters, digits and . _ -", what,
			     name);
}

/* ---------------------------------------------------------------- files */

/* Once root is given up, a file that only its owner may read has to be the user's own. */
static void check_owner(struct config_load *load, const struct config_at *at, const char *key, const char *path,
			uid_t owner)
{
	const struct passwd *user = geteuid() == 0 && load->config->run_as ? getpwnam(load->config->run_as) : NULL;

	if (user && user->pw_uid != owner)
		config_error(load, at, "%s: %s is not %s's, and sendoffd becomes that user - chown %s it", key, path,
			     load->config->run_as, load->config->run_as);
}

void config_check_file(struct config_load *load, const struct config_at *at, const char *key, const char *path,
		       bool is_private)
{
	struct stat st;
	int fd;

	if (load->is_client)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		config_error(load, at, "%s: cannot read %s: %s", key, path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		config_error(load, at, "%s: %s is not a regular file", key, path);
	else if (is_private && st.st_mode & (S_IRWXG | S_IRWXO))
		config_error(load, at, "%s: %s can be read by others than its owner (mode %04o) - chmod 600 it", key,
			     path, (unsigned)(st.st_mode & 07777));
	else if (is_private && st.st_size == 0)
		config_error(load, at, "%s: %s is empty", key, path);
	else if (is_private)
		check_owner(load, at, key, path, st.st_uid);
	if (fd >= 0)
		close(fd);
}

void config_check_socket(struct config_load *load, const struct config_at *at, const char *path)
{
	struct sockaddr_un sun;

	if (strlen(path) >= sizeof(sun.sun_path))
		config_error(load, at, "socket = \"%s\" is too long - at most %zu bytes", path,
			     sizeof(sun.sun_path) - 1);
}

/* ---------------------------------------------------------------- smart hosts */

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

bool config_check_is_pin(const char *pin)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	struct buf out;
	bool is_digest;

	if (strncmp(pin, "sha256:", 7) != 0)
		return false;
	pin += 7;
	if (strlen(pin) == 64)
		return strspn(pin, hex) == 64;
	buf_init(&out, 64);
	is_digest = text_base64_decode(&out, span_str(pin)) && out.len == 32;
	buf_fini(&out);
	return is_digest;
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

static void check_backoff(struct config_load *load, const struct config_backoff *b, const char *what,
			  const struct config_at *begin)
{
	if (b->max_ms < b->first_ms)
		config_error(load, config_check_at(load, b, config_where(load, b, "max") ? "max" : "first", begin),
			     "%s: max is shorter than first - make max the longer one", what);
}

void config_check_smarthost(struct config_load *load, struct config_smarthost *h)
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
	check_backoff(load, &h->reconnect, "reconnect", &h->at);
}

/* ---------------------------------------------------------------- routes */

void config_check_route(struct config_load *load, struct config_route *r)
{
	config_check_name(load, &r->at, "route", r->name);
	if (r->via.count == 0)
		config_error(load, &r->at, "route \"%s\" leads nowhere - add via = {\"name of a smarthost\"}", r->name);
	for (size_t i = 0; i < r->via.count; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(r->via.list[i], r->via.list[k]) == 0)
				config_error(load, config_check_at(load, r, "via", &r->at),
					     "via names \"%s\" twice - once is enough", r->via.list[i]);
	if (r->lifetime_ms && r->warn_after_ms >= r->lifetime_ms)
		config_warn(
			load,
			config_check_at(load, r, config_where(load, r, "warn_after") ? "warn_after" : "lifetime",
					&r->at),
			"route \"%s\": mail expires before its sender is warned - make warn_after shorter than lifetime",
			r->name);
	check_backoff(load, &r->retry, "retry", &r->at);
}

static void check_via(struct config_load *load, const struct config_route *r)
{
	const struct config *config = load->config;
	const char **names = mem_calloc(config->smarthost_count + 1, sizeof(*names));

	for (size_t i = 0; i < config->smarthost_count; i++)
		names[i] = config->smarthosts[i].name;
	for (size_t i = 0; i < r->via.count; i++) {
		const char *nearest;

		if (config_smarthost(config, r->via.list[i]))
			continue;
		nearest = config_nearest(r->via.list[i], names, config->smarthost_count);
		if (nearest)
			config_error(load, config_check_at(load, r, "via", &r->at),
				     "via names no smarthost \"%s\" - did you mean \"%s\"?", r->via.list[i], nearest);
		else
			config_error(load, config_check_at(load, r, "via", &r->at),
				     "via names no smarthost \"%s\" - add smarthost \"%s\" { host = … }",
				     r->via.list[i], r->via.list[i]);
	}
	mem_free(names);
}

static void check_routes(struct config_load *load)
{
	const struct config *config = load->config;
	const struct config_route *all = NULL;

	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *r = &config->routes[i];

		check_via(load, r);
		if (all)
			config_warn(load, &r->at, "route \"%s\" is never used: \"%s\" (%s:%d) before it takes all mail",
				    r->name, all->name, all->at.file, all->at.line);
		else if (r->from.count == 0 && r->to.count == 0)
			all = r;
	}
	for (size_t i = 0; i < config->smarthost_count; i++) {
		const struct config_smarthost *h = &config->smarthosts[i];
		bool is_used = false;

		for (size_t k = 0; k < config->route_count; k++)
			for (size_t n = 0; n < config->routes[k].via.count; n++)
				is_used = is_used || strcmp(config->routes[k].via.list[n], h->name) == 0;
		if (!is_used)
			config_warn(load, &h->at,
				    "no route leads to smarthost \"%s\" - add route \"rest\" { via = {\"%s\"} }",
				    h->name, h->name);
	}
}

/* ---------------------------------------------------------------- the whole */

static struct config_at place(const struct config_load *load, const char *key)
{
	const struct config_at *at = config_where(load, &load->config->trust, key);

	return at ? *at : (struct config_at){ load->config->file, 0 };
}

static void check_trust(struct config_load *load)
{
	struct config_trust *trust = &load->config->trust;

	trust->networks_at = place(load, "networks");
	trust->uids_at = place(load, "uids");
	trust->gids_at = place(load, "gids");
	trust->max_rate_at = place(load, "max_rate");
	/* Who names groups does not mean everybody. */
	if (trust->gids.count && !config_where(load, trust, "uids"))
		trust->uids.count = 0;
	config_open_trust(load, &trust->networks_at);
	config_rules_uids(load, &trust->uids_at, &trust->uids, true);
	config_rules_gids(load, &trust->gids_at, &trust->gids, true);
}

/* A line that is wrong is left out of the table; the others count. */
static void check_names(struct config_load *load, const struct config_at *at)
{
	struct names *names = names_new();
	struct buf mistakes;

	buf_init(&mistakes, 64 * 1024);
	names_refresh(names, load->config, 0, &mistakes);
	for (struct span rest = buf_span(&mistakes); rest.len;) {
		struct span line = span_first(rest, span_find(rest, '\n'));

		config_warn(load, at, "aliases: %.*s", SPAN_ARGS(line));
		rest = span_from(rest, line.len + 1);
	}
	buf_fini(&mistakes);
	names_free(names);
}

static void check_aliases(struct config_load *load)
{
	const struct config *config = load->config;
	struct config_at begin = { config->file, 0 };
	const struct config_at *at = config_check_at(load, config, "aliases", &begin);
	unsigned before = load->mistakes;

	if (!config->aliases) {
		if (config->aliases_in_header)
			config_warn(load, config_check_at(load, config, "aliases_in_header", &begin),
				    "aliases_in_header without aliases does nothing - add aliases = \"/etc/aliases\"");
		return;
	}
	config_check_file(load, at, "aliases", config->aliases, false);
	if (!load->is_client && load->mistakes == before)
		check_names(load, at);
}

static void check_dns(struct config_load *load)
{
	struct config *config = load->config;
	struct config_at begin = { config->file, 0 };
	const struct config_at *at = config_check_at(load, config, "servers", &begin);

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

/* Two listeners on one address, or a listener on the control socket. */
static void check_doubles(struct config_load *load)
{
	const struct config *config = load->config;

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *l = &config->listeners[i];

		if (l->socket && strcmp(l->socket, config->control_socket) == 0)
			config_error(load, config_check_at(load, l, "socket", &l->at),
				     "listener \"%s\" has the control socket - give it a path of its own", l->name);
		for (size_t k = 0; k < i; k++) {
			const struct config_listener *other = &config->listeners[k];

			if (l->socket && other->socket && strcmp(l->socket, other->socket) == 0)
				config_error(load, config_check_at(load, l, "socket", &l->at),
					     "listener \"%s\" has the socket of \"%s\" - give it a path of its own",
					     l->name, other->name);
			for (size_t m = 0; m < l->addresses.count; m++)
				for (size_t n = 0; n < other->addresses.count; n++)
					if (strcmp(l->addresses.list[m], other->addresses.list[n]) == 0)
						config_error(
							load, config_check_at(load, l, "address", &l->at),
							"listener \"%s\" has the address %s of \"%s\" - remove one of them",
							l->name, l->addresses.list[m], other->name);
		}
	}
}

void config_check_all(struct config_load *load)
{
	struct config *config = load->config;
	struct config_at begin = { config->file, 0 };

	config_check_socket(load, config_check_at(load, config, "socket", &begin), config->control_socket);
	if (!config_address_hostname(config->hostname))
		config_error(
			load, config_check_at(load, config, "hostname", &begin),
			"hostname = \"%s\" is not a name for EHLO - as in \"laptop.example.org\" or \"[192.0.2.1]\"",
			config->hostname);
	if (config_where(load, config, "postmaster") &&
	    (!strchr(config->postmaster, '@') || strpbrk(config->postmaster, " <>,;\"")))
		config_error(load, config_check_at(load, config, "postmaster", &begin),
			     "postmaster = \"%s\" is not an address - as in \"admin@example.org\"", config->postmaster);
	if (config->run_as && !getpwnam(config->run_as))
		config_error(load, config_check_at(load, config, "user", &begin), "user: there is no user \"%s\" here",
			     config->run_as);
	if (!config_where(load, &config->queue, "max_message_size") &&
	    config->queue.max_message_bytes > config->queue.max_size_bytes / 2)
		config->queue.max_message_bytes = config->queue.max_size_bytes / 2;
	if (config->queue.max_message_bytes > config->queue.max_size_bytes)
		config_error(load, config_check_at(load, &config->queue, "max_message_size", &begin),
			     "max_message_size is larger than max_size - the queue could not hold one such message");
	check_backoff(load, &config->retry, "retry", &begin);
	check_backoff(load, &config->reconnect, "reconnect", &begin);
	check_trust(load);
	check_aliases(load);
	check_dns(load);
	check_doubles(load);
	if (load->is_incomplete)
		return;
	check_routes(load);
	config_rules_check(load);
}
