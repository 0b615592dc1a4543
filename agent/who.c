#include "who.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "base/clock.h"
#include "base/text.h"

enum { KNOWN_MAX = 16, KNOWN_MS = 60000 };

/* What the system said about a uid. */
struct known {
	bool is_set;
	uid_t uid;
	int64_t until_ms;
	char login[64];
	gid_t groups[WHO_GROUPS_MAX];
	size_t count;
};

/* A session for each message is the rule, and with name services behind sockets a lookup takes milliseconds. */
static struct known known[KNOWN_MAX];
static size_t known_next;

static void look_up(struct known *k, uid_t uid)
{
	const struct passwd *entry = getpwuid(uid);
	int count = WHO_GROUPS_MAX;

	k->is_set = true;
	k->uid = uid;
	k->until_ms = clock_boot_ms() + KNOWN_MS;
	k->login[0] = '\0';
	k->count = 0;
	if (!entry)
		return;
	/* A name that does not fit would be another one when cut. */
	if (strlen(entry->pw_name) < sizeof(k->login))
		strcpy(k->login, entry->pw_name);
	/* Too many groups: the first ones count. */
	if (getgrouplist(entry->pw_name, entry->pw_gid, k->groups, &count) < 0 && count > WHO_GROUPS_MAX)
		count = WHO_GROUPS_MAX;
	k->count = count > 0 ? (size_t)count : 0;
}

static const struct known *know(uid_t uid)
{
	struct known *k = NULL;

	for (size_t i = 0; i < KNOWN_MAX && !k; i++)
		if (known[i].is_set && known[i].uid == uid)
			k = &known[i];
	if (k && k->until_ms > clock_boot_ms())
		return k;
	if (!k)
		k = &known[known_next++ % KNOWN_MAX];
	look_up(k, uid);
	return k;
}

void who_init(struct who *who, const char *listener, const char *host, const uid_t *uid)
{
	const struct known *k;

	*who = (struct who){ .user = "", .host = host, .listener = listener };
	if (!uid)
		return;
	k = know(*uid);
	who->has_uid = true;
	who->uid = *uid;
	memcpy(who->login, k->login, sizeof(who->login));
	memcpy(who->groups, k->groups, k->count * sizeof(k->groups[0]));
	who->group_count = k->count;
}

void who_set_user(struct who *who, const char *user)
{
	who->user = user;
}

/* Names of users may differ in case only, so a name without wildcards means exactly itself. */
static bool is_user(const char *pattern, const char *name)
{
	if (!*name)
		return false;
	return strpbrk(pattern, "*?") ? text_glob(pattern, span_str(name)) : strcmp(pattern, name) == 0;
}

static bool has_user(const struct config_strings *users, const struct who *who)
{
	for (size_t i = 0; i < users->count; i++)
		if (is_user(users->list[i], who->user) || (who->has_uid && is_user(users->list[i], who->login)))
			return true;
	return false;
}

bool who_has_uid(const struct config_strings *uids, const struct who *who)
{
	for (size_t i = 0; i < uids->count && who->has_uid; i++) {
		uint64_t number;

		if (strcmp(uids->list[i], "*") == 0)
			return true;
		if (text_number(span_str(uids->list[i]), UINT32_MAX - 1, &number)
			    ? number == who->uid
			    : *who->login && strcmp(uids->list[i], who->login) == 0)
			return true;
	}
	return false;
}

bool who_has_gid(const struct config_strings *gids, const struct who *who)
{
	for (size_t i = 0; i < gids->count && who->has_uid; i++) {
		uint64_t number;

		if (strcmp(gids->list[i], "*") == 0)
			return true;
		/* Names have become numbers when the configuration was read. */
		if (!text_number(span_str(gids->list[i]), UINT32_MAX - 1, &number))
			continue;
		for (size_t k = 0; k < who->group_count; k++)
			if (who->groups[k] == number)
				return true;
	}
	return false;
}

bool who_has_network(const struct config_strings *networks, const struct who *who)
{
	uint8_t address[16];
	struct cidr net;

	if (!cidr_address(span_str(who->host), address))
		return false;
	for (size_t i = 0; i < networks->count; i++)
		if (cidr_parse(span_str(networks->list[i]), &net) && cidr_contains(&net, address))
			return true;
	return false;
}

static bool has_listener(const struct config_strings *listeners, const struct who *who)
{
	for (size_t i = 0; i < listeners->count; i++)
		if (strcmp(listeners->list[i], who->listener) == 0)
			return true;
	return false;
}

bool who_fits(const struct config_who *rule, const struct who *who)
{
	return (!rule->users.count || has_user(&rule->users, who)) &&
	       (!rule->uids.count || who_has_uid(&rule->uids, who)) &&
	       (!rule->gids.count || who_has_gid(&rule->gids, who)) &&
	       (!rule->networks.count || who_has_network(&rule->networks, who)) &&
	       (!rule->listeners.count || has_listener(&rule->listeners, who));
}

const char *who_text(const struct who *who, char *out, size_t size)
{
	if (*who->user)
		snprintf(out, size, "user %s", who->user);
	else if (who->has_uid && *who->login)
		snprintf(out, size, "uid %lu (%s)", (unsigned long)who->uid, who->login);
	else if (who->has_uid)
		snprintf(out, size, "uid %lu", (unsigned long)who->uid);
	else
		snprintf(out, size, "%s", *who->host ? who->host : "somebody unknown");
	return out;
}
