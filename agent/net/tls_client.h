/*
 * tls_client - what client sessions share: trust stores, our own certificates, resumption tickets. Made and freed by the
 * functions of tls.h; the ones here are for sessions.
 *
 * Owns:    all of it, bounded; what a session still uses lives on by its reference.
 * Threads: one.
 */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <sys/stat.h>

#include "base/list.h"
#include "net/tls.h"

struct tls_client_trust {
	struct list node;
	char *file; /* NULL: the system's */
	struct stat st;
	gnutls_x509_trust_list_t list;
	unsigned references; /* the client's list, and sessions */
};

struct tls_client_ticket {
	struct list node; /* the least recently used first */
	char *key;
	void *data;
	size_t len;
};

/* What we show of ourselves: mostly nothing. */
struct tls_client_own {
	struct list node;
	char *certificate_file, *key_file; /* NULL: none */
	struct stat st;
	gnutls_certificate_credentials_t credentials;
	unsigned references;
};

struct tls_client {
	unsigned references; /* sessions hold one each */
	struct list trusts, tickets, owns;
	size_t trust_count, ticket_count, own_count;
};

/*
 * The store of a file (NULL: the system's), or what we show of ourselves; on failure NULL, with `why`. The caller raises
 * `references` for as long as it needs them.
 */
struct tls_client_trust *tls_client_trust(struct tls_client *client, const char *file, char *why, size_t why_size);
struct tls_client_own *tls_client_own(struct tls_client *client, const struct tls_demand *demand, char *why,
				      size_t why_size);
void tls_client_unref_trust(struct tls_client_trust *trust);
void tls_client_unref_own(struct tls_client_own *own);

/* Resumption: at most one ticket a key; NULL: none. Keeping an empty one forgets. */
struct tls_client_ticket *tls_client_ticket(struct tls_client *client, const char *key);
void tls_client_keep_ticket(struct tls_client *client, const char *key, const gnutls_datum_t *data);
void tls_client_drop_ticket(struct tls_client *client, struct tls_client_ticket *ticket);

#endif
