/*
 * caller - who is at the other end of one session, from what its connection shows.
 *
 * Owns:    nothing of the connection's; the name that a certificate proves.
 * Threads: the loop's.
 */
#ifndef CALLER_H
#define CALLER_H

#include "config.h"
#include "net/conn.h"
#include "trust.h"
#include "who.h"

struct caller {
	const struct conn *conn;
	const struct config_listener *listener;
	bool is_tcp;
	bool has_uid; /* SO_PEERCRED or sock_diag told */
	uid_t uid;
	char *certificate; /* whom it proves the peer to be, or NULL */
};

/* When the peer's address is known: behind a PROXY header, where one is due. */
void caller_init(struct caller *caller, const struct conn *conn, const struct config_listener *listener);
void caller_fini(struct caller *caller);

/* Does trust { } of the configuration let them in at this listener? False: `why` says why not. */
bool caller_is_trusted(const struct caller *caller, const struct config_trust *trust, char *why, size_t why_size);
/* For one call: `user` is the authenticated one, or ""; the name is the submitter's (trust.h). */
void caller_who(const struct caller *caller, const char *user, struct who *out_who, char out_name[TRUST_NAME_SIZE]);

#endif
