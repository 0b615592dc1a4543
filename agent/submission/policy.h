/*
 * policy - the rules of one listener under one configuration, as its sessions need them.
 *
 * Owns:    a reference to the configuration, and the certificate. Counted: a session keeps the policy it began with.
 * Threads: one.
 */
#ifndef POLICY_H
#define POLICY_H

#include "config.h"
#include "net/tls.h"
#include "smtp/server.h"

struct policy {
	unsigned references;
	struct config *config;
	const struct config_listener *listener;
	struct server_config server;    /* for whom trust lets in */
	struct server_config strangers; /* the same for those who must prove first who they are */
	struct tls_server *tls;         /* or NULL */
};

/* NULL: `why` has a line for people. */
struct policy *policy_new(struct config *config, const struct config_listener *listener, char *why, size_t why_size);
struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy); /* NULL is fine */

/* Can a stranger become known here, by AUTH or a certificate? */
bool policy_takes_proofs(const struct policy *policy);

#endif
