#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "base/text.h"
#include "config_load.h"
#include "route.h"
#include "smtp/address.h"

/* ---------------------------------------------------------------- users and groups of this machine */

static bool is_number(const char *text)
{
	uint64_t number;

	return strcmp(text, "*") == 0 || text_number(span_str(text), UINT32_MAX - 1, &number);
}

/* A user that was removed must not stop all mail, unless what was said about him kept him within bounds. */
static void unknown(struct config_load *load, const struct config_at *at, bool is_grave, const char *key,
		    const char *what, const char *name)
{
	if (is_grave)
		config_error(load, at, "%s: there is no %s \"%s\" - a name, a number or \"*\"", key, what, name);
	else
		config_warn(load, at, "%s: there is no %s \"%s\" here, it fits nobody", key, what, name);
}

void config_rules_uids(struct config_load *load, const struct config_at *at, const struct config_strings *uids,
		       bool is_grave)
{
	for (size_t i = 0; i < uids->count; i++) {
		const struct passwd *user = is_number(uids->list[i]) ? NULL : getpwnam(uids->list[i]);

		if (user)
			uids->list[i] = config_format(load, "%lu", (unsigned long)user->pw_uid);
		else if (!is_number(uids->list[i]))
			unknown(load, at, is_grave, "uids", "user", uids->list[i]);
	}
}

void config_rules_gids(struct config_load *load, const struct config_at *at, const struct config_strings *gids,
		       bool is_grave)
{
	for (size_t i = 0; i < gids->count; i++) {
		const struct group *group = is_number(gids->list[i]) ? NULL : getgrnam(gids->list[i]);

		if (group)
			gids->list[i] = config_format(load, "%lu", (unsigned long)group->gr_gid);
		else if (!is_number(gids->list[i]))
			unknown(load, at, is_grave, "gids", "group", gids->list[i]);
	}
}

/* ---------------------------------------------------------------- whom a rule is about */

static void check_listeners(struct config_load *load, const struct config_at *at, const struct config_strings *list)
{
	const struct config *config = load->config;
	const char **names = mem_calloc(config->listener_count + 1, sizeof(*names));

	for (size_t i = 0; i < config->listener_count; i++)
		names[i] = config->listeners[i].name;
	for (size_t i = 0; i < list->count; i++) {
		const char *nearest = config_nearest(list->list[i], names, config->listener_count);
		bool is_there = false;

		for (size_t k = 0; k < config->listener_count; k++)
			is_there = is_there || strcmp(names[k], list->list[i]) == 0;
		if (!is_there)
			config_error(load, at, "listeners: there is no listener \"%s\" - %s%s%s", list->list[i],
				     nearest ? "did you mean \"" : "add listener \"NAME\" { … }",
				     nearest ? nearest : "", nearest ? "\"?" : "");
	}
	mem_free(names);
}

static void check_who(struct config_load *load, const void *object, const struct config_who *who,
		      const struct config_at *begin, bool is_grave)
{
	const struct {
		const char *key;
		const struct config_strings *list;
	} lists[] = { { "users", &who->users },
		      { "uids", &who->uids },
		      { "gids", &who->gids },
		      { "networks", &who->networks },
		      { "listeners", &who->listeners } };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!lists[i].list->count && config_where(load, object, lists[i].key))
			config_error(load, config_where(load, object, lists[i].key),
				     "%s = {}: an empty list would fit everybody - name them, or leave it out",
				     lists[i].key);
	config_rules_uids(load, config_check_at(load, object, "uids", begin), &who->uids, is_grave);
	config_rules_gids(load, config_check_at(load, object, "gids", begin), &who->gids, is_grave);
	config_open_networks(load, config_check_at(load, object, "networks", begin), "networks", &who->networks);
	check_listeners(load, config_check_at(load, object, "listeners", begin), &who->listeners);
}

static bool is_about_all(const struct config_who *who)
{
	return !who->users.count && !who->uids.count && !who->gids.count && !who->networks.count &&
	       !who->listeners.count;
}

/* Senders are compared with whole addresses. */
static void check_senders(struct config_load *load, const struct config_at *at, const struct config_strings *senders)
{
	for (size_t i = 0; i < senders->count; i++)
		if (!strpbrk(senders->list[i], "@*"))
			config_error(load, at, "senders: \"%s\" fits no address - write \"%s@*\", or \"*@%s\"",
				     senders->list[i], senders->list[i], senders->list[i]);
}

/* ---------------------------------------------------------------- submitters and identities */

static void check_submitter(struct config_load *load, const struct config_submitter *s)
{
	config_check_name(load, &s->at, "submitter", s->name);
	check_who(load, s, &s->who, &s->at, true);
	check_senders(load, config_check_at(load, s, "senders", &s->at), &s->senders);
	if (!s->senders.count && config_where(load, s, "senders"))
		config_error(load, config_where(load, s, "senders"),
			     "senders = {}: an empty list would let any through - name them, or leave it out");
	if (!s->senders.count && !s->recipients && !config_where(load, s, "rate") && !config_where(load, s, "quota") &&
	    !config_where(load, s, "senders"))
		config_error(load, &s->at,
			     "submitter \"%s\" says nothing about them - add senders, rate, quota or recipients",
			     s->name);
}

static void check_address(struct config_load *load, const struct config_identity *identity, const char *key,
			  const char *address)
{
	struct address parsed;
	enum address_err err = address ? address_parse(span_str(address), 0, &parsed) : ADDRESS_OK;

	if (err != ADDRESS_OK)
		config_error(load, config_check_at(load, identity, key, &identity->at),
			     "%s = \"%s\" is not an address: %s - as in \"me@example.com\"%s", key, address,
			     address_err_text(err),
			     strcmp(key, "from") == 0 && strchr(address, '<') ? ", and the name in name = \"…\"" : "");
}

static void check_identity_route(struct config_load *load, const struct config_identity *identity)
{
	const struct config *config = load->config;
	const struct config_at *at = config_check_at(load, identity, "route", &identity->at);
	const char **names, *nearest;

	if (!identity->route || route_named(config, identity->route))
		return;
	names = mem_calloc(config->route_count + 1, sizeof(*names));
	for (size_t i = 0; i < config->route_count; i++)
		names[i] = config->routes[i].name;
	nearest = config_nearest(identity->route, names, config->route_count);
	if (nearest)
		config_error(load, at, "route: there is no route \"%s\" - did you mean \"%s\"?", identity->route,
			     nearest);
	else
		config_error(load, at, "route: there is no route \"%s\" - add route \"%s\" { via = … }",
			     identity->route, identity->route);
	mem_free(names);
}

static void check_identity(struct config_load *load, const struct config_identity *identity)
{
	config_check_name(load, &identity->at, "identity", identity->name);
	check_who(load, identity, &identity->who, &identity->at, false);
	check_senders(load, config_check_at(load, identity, "senders", &identity->at), &identity->senders);
	check_address(load, identity, "from", identity->from);
	check_address(load, identity, "envelope", identity->envelope);
	check_address(load, identity, "to", identity->to);
	check_identity_route(load, identity);
	if (!identity->from && identity->full_name)
		config_error(load, config_check_at(load, identity, "name", &identity->at),
			     "name without from - add from = \"me@example.com\"");
	if (!identity->from && config_where(load, identity, "original"))
		config_error(load, config_check_at(load, identity, "original", &identity->at),
			     "original without from: no From is replaced - add from = \"me@example.com\"");
	if (!load->is_incomplete && !identity->from && !identity->envelope && !identity->to && !identity->route)
		config_error(load, &identity->at, "identity \"%s\" changes nothing - add from, envelope, to or route",
			     identity->name);
}

static bool is_by_user(const struct config_who *who)
{
	return who->users.count || who->uids.count || who->gids.count;
}

static bool tells_users_apart(const struct config *config)
{
	for (size_t i = 0; i < config->submitter_count; i++)
		if (is_by_user(&config->submitters[i].who))
			return true;
	for (size_t i = 0; i < config->identity_count; i++)
		if (is_by_user(&config->identities[i].who))
			return true;
	return false;
}

void config_rules_check(struct config_load *load)
{
	const struct config *config = load->config;
	const struct config_submitter *all = NULL;
	const struct config_identity *any = NULL;

	for (size_t i = 0; i < config->submitter_count; i++) {
		const struct config_submitter *s = &config->submitters[i];

		check_submitter(load, s);
		if (all)
			config_warn(load, &s->at,
				    "submitter \"%s\" is never used: \"%s\" (%s:%d) before it is about "
				    "everybody",
				    s->name, all->name, all->at.file, all->at.line);
		else if (is_about_all(&s->who))
			all = s;
	}
	for (size_t i = 0; i < config->identity_count; i++) {
		const struct config_identity *identity = &config->identities[i];

		check_identity(load, identity);
		if (any)
			config_warn(load, &identity->at,
				    "identity \"%s\" is never used: \"%s\" (%s:%d) before it is "
				    "about everybody",
				    identity->name, any->name, any->at.file, any->at.line);
		else if (is_about_all(&identity->who) && !identity->senders.count)
			any = identity;
	}
	load->config->trust.tells_users_apart = tells_users_apart(config);
}
