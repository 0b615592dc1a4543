/*
 * trust - may the one at the other end hand in mail here without more ado, and under which name is it counted?
 *
 * Unix sockets: the peer's uid or one of its groups decides. TCP: the network, and on loopback the uid or group too.
 * A loopback peer that closed its socket has no uid any more: it is welcome where every user is. Whoever comes by way of a
 * proxy is a network peer, never one of this machine's, and where the proxy does not say who it is, nobody.
 * AUTH and certificates are proofs beyond that: the session asks for them where this says no.
 * Owns nothing. Threads: any.
 */
#ifndef TRUST_H
#define TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "who.h"

enum { TRUST_NAME_SIZE = 192 };

/* What is known of a peer beside who it is. */
struct trust_peer {
	bool is_unix;
	bool is_loopback;
	bool is_proxied;
	bool is_unnamed; /* proxied, for nobody that was named: a health check */
};

/* False: `why` has a sentence for the peer and the log. */
bool trust_judge(const struct config_trust *config, const struct trust_peer *peer, const struct who *who, char *why,
		 size_t why_size);

/* "user:alice", "cert:host.example" where `by_certificate`, "uid:1000", "net:192.0.2.7": the submitter of the queue's
 * envelopes, and whose rate and quota counts. A user's name that is too long ends in a digest of the rest. */
void trust_name(const struct who *who, bool by_certificate, char out[TRUST_NAME_SIZE]);

#endif
