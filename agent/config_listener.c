#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_load.h"
#include "smtp/server.h"
#include "smtp/users.h"

static const struct config_at *at_key(const struct config_load *load, const struct config_listener *l, const char *key)
{
	return config_check_at(load, l, key, &l->at);
}

static bool has_certificates(const struct config_listener *l)
{
	return l->client_ca || l->client_pins.count;
}

static void check_tls(struct config_load *load, struct config_listener *l)
{
	const struct config_at *tls = config_where(load, l, "tls");

	if (!l->certificate != !l->key)
		config_error(load, at_key(load, l, l->certificate ? "certificate" : "key"),
			     "listener \"%s\" has %s - add %s", l->name,
			     l->certificate ? "a certificate without its key" : "a key without its certificate",
			     l->certificate ? "key" : "certificate");
	else if (!tls && l->certificate)
		l->tls = CONFIG_TLS_STARTTLS;
	else if (l->tls != CONFIG_TLS_NONE && !l->certificate)
		config_error(load, tls, "listener \"%s\" has tls without a certificate - add certificate and key",
			     l->name);
	else if (l->tls == CONFIG_TLS_NONE && l->certificate)
		config_warn(load, tls, "listener \"%s\" has a certificate and tls = none: it is not used", l->name);
	if (l->certificate)
		config_check_file(load, at_key(load, l, "certificate"), "certificate", l->certificate, false);
	if (l->key)
		config_check_file(load, at_key(load, l, "key"), "key", l->key, true);
}

/* Where it listens: true, if other machines can reach it. */
static bool check_places(struct config_load *load, struct config_listener *l)
{
	const char *const keys[] = { "socket_mode", "socket_owner", "socket_group" };
	bool is_open = false;

	if (!l->socket && l->addresses.count == 0)
		config_error(load, &l->at, "listener \"%s\" listens nowhere - add socket or address", l->name);
	if (l->socket)
		config_check_socket(load, at_key(load, l, "socket"), l->socket);
	for (size_t i = 0; i < 3; i++)
		if (config_where(load, l, keys[i]) && !l->socket)
			config_error(load, at_key(load, l, keys[i]), "%s without a socket - add socket", keys[i]);
	if (l->socket_owner && !getpwnam(l->socket_owner))
		config_error(load, at_key(load, l, "socket_owner"), "socket_owner: there is no user \"%s\" here",
			     l->socket_owner);
	if (l->socket_group && !getgrnam(l->socket_group))
		config_error(load, at_key(load, l, "socket_group"), "socket_group: there is no group \"%s\" here",
			     l->socket_group);
	for (size_t i = 0; i < l->addresses.count; i++) {
		bool is_loopback;

		if (!config_address_split(l->addresses.list[i], false, &is_loopback))
			config_error(load, at_key(load, l, "address"),
				     "address \"%s\" is not understood - it is a number and a port, as in "
				     "\"127.0.0.1:25\" or \"[::1]:25\"",
				     l->addresses.list[i]);
		else
			is_open = is_open || !is_loopback;
	}
	return is_open;
}

/* A line that is wrong is left out when somebody logs in; it must not keep all mail from going. */
static void check_entries(struct config_load *load, const struct config_at *at, const struct config_listener *l,
			  struct span text)
{
	struct users *users;
	struct buf mistakes;

	buf_init(&mistakes, 64 * 1024);
	users = users_parse(text, l->users, &mistakes);
	for (struct span rest = buf_span(&mistakes); rest.len;) {
		struct span line = span_first(rest, span_find(rest, '\n'));

		config_warn(load, at, "users: %.*s", SPAN_ARGS(line));
		rest = span_from(rest, line.len + 1);
	}
	if (users_count(users) == 0)
		config_warn(load, at, "users: there is nobody in %s yet - `sendoff user add NAME` adds somebody",
			    l->users);
	users_free(users);
	buf_fini(&mistakes);
}

/* The verifiers in it are as good as passwords to whoever has time. */
static void check_users(struct config_load *load, const struct config_listener *l)
{
	const struct config_at *at = at_key(load, l, "users");
	struct stat st;
	struct buf text;
	int fd;

	if (load->is_client)
		return;
	fd = open(l->users, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		config_error(load, at, "users: cannot read %s: %s%s", l->users, strerror(errno),
			     errno == ENOENT ? " - `sendoff user add NAME` writes it" : "");
	} else if (!S_ISREG(st.st_mode)) {
		config_error(load, at, "users: %s is not a regular file", l->users);
	} else if (st.st_mode & (S_IROTH | S_IWOTH)) {
		config_error(load, at,
			     "users: everybody on this machine can read or change %s (mode %04o) - chmod 640 it",
			     l->users, (unsigned)(st.st_mode & 07777));
	} else if (st.st_size > USERS_FILE_MAX) {
		config_error(load, at, "users: %s is larger than 4 MB", l->users);
	} else {
		char *room;
		ssize_t got;

		buf_init(&text, USERS_FILE_MAX);
		room = buf_reserve(&text, (size_t)st.st_size);
		got = room ? read(fd, room, (size_t)st.st_size) : -1;
		if (got >= 0) {
			buf_commit(&text, (size_t)got);
			check_entries(load, at, l, buf_span(&text));
		}
		buf_wipe(&text);
	}
	if (fd >= 0)
		close(fd);
}

static void check_mechanisms(struct config_load *load, const struct config_listener *l)
{
	static const char *const known[] = {
#define X(name, keyword) keyword,
		SERVER_MECHANISMS(X)
#undef X
	};
	const struct config_at *at = at_key(load, l, "mechanisms");

	if (l->mechanisms.count && l->auth == CONFIG_LOGIN_NONE)
		config_error(load, at, "listener \"%s\" has mechanisms and no auth - add auth = required, or optional",
			     l->name);
	for (size_t i = 0; i < l->mechanisms.count; i++) {
		bool is_known = false;

		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			is_known = is_known || strcasecmp(l->mechanisms.list[i], known[k]) == 0;
		if (!is_known)
			config_error(
				load, at,
				"mechanisms: \"%s\" is not known - scram-sha-256-plus, scram-sha-256, scram-sha-1, "
				"plain, login, external",
				l->mechanisms.list[i]);
	}
}

static void check_auth(struct config_load *load, struct config_listener *l, bool is_open)
{
	const struct config_at *auth = config_where(load, l, "auth"), *trust = config_where(load, l, "trust");

	if (l->auth != CONFIG_LOGIN_NONE && !l->users && !has_certificates(l))
		config_error(load, auth,
			     "listener \"%s\" has auth without users - add users = \"/etc/sendoff/users\", which "
			     "`sendoff user add NAME` writes",
			     l->name);
	if (l->auth == CONFIG_LOGIN_NONE && l->users)
		config_error(load, auth ? auth : at_key(load, l, "users"),
			     "listener \"%s\" has users and no auth - add auth = required, or optional", l->name);
	if (l->auth != CONFIG_LOGIN_NONE && is_open && !l->certificate)
		config_error(load, auth,
			     "listener \"%s\" takes passwords over the network in clear text - add certificate and "
			     "key, or listen on loopback only",
			     l->name);
	if (l->auth == CONFIG_LOGIN_REQUIRED && !trust)
		l->trust = false;
	else if (l->auth == CONFIG_LOGIN_REQUIRED && l->trust)
		config_error(load, trust,
			     "trust = yes beside auth = required: who is trusted would not have to log in - use auth "
			     "= optional, or remove trust");
	if (!l->trust && l->auth == CONFIG_LOGIN_NONE && !has_certificates(l))
		config_error(load, trust,
			     "listener \"%s\" lets nobody in - add auth = required and users, or trust = "
			     "yes",
			     l->name);
	check_mechanisms(load, l);
	if (l->users)
		check_users(load, l);
}

static void check_certificates(struct config_load *load, const struct config_listener *l)
{
	const struct config_at *at = at_key(load, l, l->client_ca ? "client_ca" : "client_pins");

	if (has_certificates(l) && l->tls == CONFIG_TLS_NONE)
		config_error(load, at, "listener \"%s\" asks for certificates without TLS - add certificate and key",
			     l->name);
	if (l->client_ca)
		config_check_file(load, at, "client_ca", l->client_ca, false);
	for (size_t i = 0; i < l->client_pins.count; i++)
		if (!config_check_is_pin(l->client_pins.list[i]))
			config_error(load, at_key(load, l, "client_pins"),
				     "client_pins: \"%s\" is not a pin - it is \"sha256:\" and 64 hex digits or 44 of "
				     "base64",
				     l->client_pins.list[i]);
}

void config_listener_check(struct config_load *load, struct config_listener *l)
{
	bool is_open;

	config_check_name(load, &l->at, "listener", l->name);
	is_open = check_places(load, l);
	check_tls(load, l);
	check_auth(load, l, is_open);
	check_certificates(load, l);
	if (l->proxy.count && !l->addresses.count)
		config_error(load, at_key(load, l, "proxy"),
			     "proxy without an address - a socket has no proxies, "
			     "remove it");
	config_open_proxy(load, l);
	if (is_open)
		config_open_listener(load, l);
	else
		config_open_loopback(load, l);
}
