/*
 * tls_peer - is the peer the one that is meant? Of a server: chain, dates, name, or pins, or TLSA records. Of a client:
 *            chain and dates, or pins, and who it is. And if not, why not.
 *
 * Owns nothing. To be asked after every handshake, resumed or not: what a cache remembers proves nothing about today's
 * demands.
 * Threads: any.
 */
#ifndef TLS_PEER_H
#define TLS_PEER_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "net/tls.h"

struct tls_peer {
	gnutls_session_t session;
	gnutls_x509_trust_list_t trust; /* NULL: the chain is not looked at */
	const char *const *names;       /* one of them must be the certificate's; with `trust` there is one at least */
	size_t name_count;
	const char *pins;            /* each ends in NUL, two at the end; NULL: none. They stand in for the chain */
	const struct tls_tlsa *tlsa; /* one must fit, instead of `trust` and besides `pins`; NULL: none is asked for */
	size_t tlsa_count;
	bool is_client; /* the peer is; it needs no name, and either of trust and pins will do */

	bool verified, by_dane;
	enum tls_failure failure; /* not verified: which kind */
	char subject[128];        /* of the certificate, cleaned; "" */
	char user[256];           /* of a client that is verified: see struct tls_facts */
	char why[600];            /* the first reason for a refusal, for people; not yet cleaned */
};

/* Fills the second half. False: refused. */
bool tls_peer_check(struct tls_peer *check);

#endif
