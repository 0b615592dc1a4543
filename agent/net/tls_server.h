/*
 * tls_server - what the sessions of one listener share: certificate, key, ticket key, and which clients are known. The
 *              other functions are in tls.h.
 *
 * Owns:    what was read of the files; counted, so that a session keeps what it began with.
 * Threads: one.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include <gnutls/gnutls.h>
#include <sys/stat.h>
#include <time.h>

#include "net/tls.h"

/* NORMAL alone would allow TLS 1.0. */
#define TLS_SERVER_PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* What is replaced when the files are. */
struct tls_server_files {
	unsigned references; /* the server, and sessions */
	gnutls_certificate_credentials_t credentials;
};

/* Of a file when it was looked at last. */
struct tls_server_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

enum { TLS_SERVER_CERTIFICATE, TLS_SERVER_KEY, TLS_SERVER_CA, TLS_SERVER_NAMES };

struct tls_server {
	unsigned references; /* its maker, and sessions */
	struct tls_server_files *files;
	gnutls_priority_t priority;
	gnutls_datum_t ticket_key;
	char *names[TLS_SERVER_NAMES]; /* NULL: none */
	struct tls_server_stamp stamps[TLS_SERVER_NAMES];
	bool asks_clients;
	char *pins; /* separated by NUL, two at the end; NULL: none */
	int64_t looked_ms;
};

/* Prepares a session; false: out of memory. *out_files is counted for it. */
bool tls_server_attach(struct tls_server *server, gnutls_session_t session, struct tls_server_files **out_files);
void tls_server_detach(struct tls_server_files *files); /* NULL is fine */

#endif
