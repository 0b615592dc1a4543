/*
 * tls_server - what the sessions of one listener share: certificate, key, ticket key. The functions are in tls.h.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include <gnutls/gnutls.h>

#include "net/tls.h"

/* NORMAL alone would allow TLS 1.0. */
#define TLS_SERVER_PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tls_server {
	unsigned references; /* its maker, and sessions */
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	gnutls_datum_t ticket_key;
};

#endif
