/*
 * tls_dane - what TLSA records say of a chain of certificates (RFC 6698, 7671, 7672).
 *
 * Usage 3 names the peer's certificate or key itself, and nothing else counts: no name, no date, no issuer (RFC 7672,
 * 3.1.1). Usage 2 names an anchor: a certificate that the peer sends, or one that the record holds whole (2 0 0), or a
 * certificate signed with the key that the record holds whole (2 1 0). Each anchor is tried alone, without any other
 * certificate being trusted: that a chain carries the anchor means nothing, the peer's own certificate must lead to it. A
 * peer's own certificate is its anchor only when it is signed by itself.
 *
 * Owns:    the anchors in a struct tls_dane until tls_dane_free(). Records are usable ones (tlsa_choose()).
 * Never:   trusts anything; looks at names or dates. That is the caller's, anchor by anchor.
 * Threads: any.
 */
#ifndef TLS_DANE_H
#define TLS_DANE_H

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "net/tls.h"

enum {
	TLS_DANE_ANCHORS = 8, /* most that are tried: each may cost as many signatures as the chain has */
	TLS_DANE_KEYS = 4,    /* most records "2 1 0" that are tried */
	TLS_DANE_CHAIN = 16,
};

/* An anchor, and the peer's chain without it. */
struct tls_dane_anchor {
	gnutls_x509_crt_t anchor;                /* owned */
	gnutls_x509_crt_t chain[TLS_DANE_CHAIN]; /* borrowed; the peer's own first */
	unsigned count;
};

struct tls_dane {
	struct tls_dane_anchor anchors[TLS_DANE_ANCHORS];
	size_t count;
};

/* A record of usage 3 names the peer's certificate. */
bool tls_dane_names(gnutls_x509_crt_t own, const struct tls_tlsa *records, size_t count);
/* The anchors that records of usage 2 name; with none `out` is empty. `chain` outlives it. */
void tls_dane_find(const gnutls_x509_crt_t *chain, unsigned chain_count, const struct tls_tlsa *records, size_t count,
		   struct tls_dane *out);
void tls_dane_free(struct tls_dane *dane);

#endif
