/*
 * who - what is known of the one who hands in a message, and whether a rule of the configuration is about them.
 *
 * Owns:    nothing but the text in a struct who, and what the system said about the last few uids: a lookup can cost a
 *          question to another service, so it is asked at most once a minute for each of them.
 * Never:   looks up a name while a rule is matched.
 * Threads: one.
 */
#ifndef WHO_H
#define WHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"

enum { WHO_GROUPS_MAX = 64, WHO_TEXT_SIZE = 160 };

struct who {
	const char *user;     /* proven by AUTH or a certificate, or ""; borrowed */
	const char *host;     /* "192.0.2.7", or "" on a Unix socket; borrowed */
	const char *listener; /* its name; borrowed */
	bool has_uid;
	uid_t uid;
	char login[64]; /* name of uid, or "" */
	gid_t groups[WHO_GROUPS_MAX];
	size_t group_count;
};

/* Looks up the login name and groups of `uid` where it is known (NULL: unknown). */
void who_init(struct who *who, const char *listener, const char *host, const uid_t *uid);
/* The session has authenticated, or a drop file is read for somebody: `user` is borrowed. */
void who_set_user(struct who *who, const char *user);

/* All lists of the rule that are not empty fit. */
bool who_fits(const struct config_who *rule, const struct who *who);
/* The parts of it, for rules that have one list only. An empty list fits nobody. */
bool who_has_uid(const struct config_strings *uids, const struct who *who);
bool who_has_gid(const struct config_strings *gids, const struct who *who);
bool who_has_network(const struct config_strings *networks, const struct who *who);
/* "user alice", "uid 1000 (joe)", "192.0.2.7": for records and refusals. Returns `out`. */
const char *who_text(const struct who *who, char *out, size_t size);

#endif
