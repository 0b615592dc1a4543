#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_load.h"

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

/* The verifiers in it are as good as passwords to whoever has time. */
static void check_users(struct config_load *load, const struct config_listener *l)
{
	const struct config_at *at = at_key(load, l, "users");
	struct stat st;

	if (load->is_client)
		return;
	if (stat(l->users, &st) < 0 && errno == ENOENT) {
		config_error(load, at, "users: there is no %s - `sendoff user add NAME --file %s` writes it", l->users,
			     l->users);
		return;
	}
	config_check_file(load, at, "users", l->users, false);
	if (stat(l->users, &st) == 0 && st.st_mode & (S_IRWXO | S_IWGRP))
		config_error(load, at,
			     "users: %s can be read by everybody or changed by its group (mode %04o) - "
			     "chmod 640 it",
			     l->users, (unsigned)(st.st_mode & 07777));
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
}
