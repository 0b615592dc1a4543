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
#include "smtp/address.h"

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

void config_check_backoff(struct config_load *load, const struct config_backoff *b, const char *what,
			  const struct config_at *begin)
{
	if (b->max_ms < b->first_ms)
		config_error(load, config_check_at(load, b, config_where(load, b, "max") ? "max" : "first", begin),
			     "%s: max is shorter than first - make max the longer one", what);
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

static void check_tlsrpt(struct config_load *load)
{
	const struct config_tlsrpt *t = &load->config->tlsrpt;
	const struct {
		const char *key, *address;
	} rows[] = { { "contact", t->contact }, { "from", t->from } };
	struct address parsed;

	for (size_t i = 0; i < 2; i++) {
		const struct config_at *at = config_where(load, t, rows[i].key);
		enum address_err err = at ? address_parse(span_str(rows[i].address), 0, &parsed) : ADDRESS_OK;

		if (err != ADDRESS_OK)
			config_error(load, at, "%s = \"%s\" is not an address: %s - as in \"me@example.com\"",
				     rows[i].key, rows[i].address, address_err_text(err));
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
	config_check_backoff(load, &config->retry, "retry", &begin);
	config_check_backoff(load, &config->reconnect, "reconnect", &begin);
	check_trust(load);
	check_aliases(load);
	config_dns_servers(load);
	check_tlsrpt(load);
	check_doubles(load);
	if (load->is_incomplete)
		return;
	config_via_check(load);
	config_mx_domains(load);
	config_dns_check(load, "/etc/resolv.conf");
	config_rules_check(load);
}
