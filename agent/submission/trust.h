/*
 * trust - who is at the other end, and may it hand in mail here?
 *
 * Unix sockets and loopback TCP: the peer's uid decides; other TCP: the network. A loopback peer that closed its socket
 * has no uid any more: it is welcome where every user is.
 * Names of users are looked up once, when the rules are made. Pure after that.
 * Threads: any.
 */
#ifndef TRUST_H
#define TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"

struct trust;

/* What is known of a peer. */
struct trust_peer {
	bool is_unix;
	bool is_loopback;
	bool has_uid; /* SO_PEERCRED or sock_diag told */
	uid_t uid;
	const char *host; /* "192.0.2.7"; "" on a Unix socket */
};

struct trust_submitter {
	char name[80]; /* "uid:1000", "net:192.0.2.7": the submitter of the queue's envelopes */
	uint32_t uid;  /* UINT32_MAX: unknown */
};

struct trust *trust_new(const struct config_trust *config);
void trust_free(struct trust *trust); /* NULL is fine */

/* True: `out` is filled in. False: `why` has a sentence for the peer and the log. */
bool trust_judge(const struct trust *trust, const struct trust_peer *peer, struct trust_submitter *out, char *why,
		 size_t why_size);

#endif
