/*
 * sandbox - what the agent may do on this machine: descriptors, the user it becomes, what it gives up for good.
 *
 * Order of use: files, descriptors, (helper started, sockets bound), become, seal, (queue opened, mail served).
 * Failures are told as 0 or -errno with a line for people.
 * Threads: call before there is a second one.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sandbox_user {
	const char *name; /* NULL: stays who it is */
	uid_t uid;
	gid_t gid;
};

/* Who `name` is; NULL, or not root: the process stays who it is. */
int sandbox_find(const char *name, struct sandbox_user *out, char *why, size_t why_size);
/* Descriptors 0, 1 and 2 exist afterwards, so that no socket ever gets their numbers; umask 077; SIGPIPE ignored. */
void sandbox_streams(void);
/* As many descriptors as the system allows, at most `want`; returns how many there are. */
size_t sandbox_descriptors(size_t want);
/* The directory, and with `parents` the ones above it, where missing; the last belongs to the user to come and has
 * exactly `mode`. An existing one is left as it is. */
int sandbox_directory(const char *path, mode_t mode, bool parents, const struct sandbox_user *user, char *why,
		      size_t why_size);
/* Gives up root for good, its groups too; checks that there is no way back. */
int sandbox_become(const struct sandbox_user *user, char *why, size_t why_size);
/* No new privileges by any exec, no core files and no tracing by others: passwords are in this memory. */
void sandbox_seal(void);

#endif
