/*
 * tls_names - the names a certificate is for: whether one of them fits (RFC 6125), and what they are.
 *
 * Owns nothing; pure.
 * Threads: any.
 */
#ifndef TLS_NAMES_H
#define TLS_NAMES_H

#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* A host name or literal address, by GnuTLS's rules for wildcards and common names; or with a dot in front any name of one
 * or more labels below it, where a wildcard of the certificate counts by what is right of its star. */
bool tls_names_fit(gnutls_x509_crt_t crt, const char *name);
/* One of them does. */
bool tls_names_fit_one(gnutls_x509_crt_t crt, const char *const *names, size_t count);
/* The first few, for people; as the certificate has them, so to be cleaned. */
void tls_names_print(gnutls_x509_crt_t crt, struct buf *out);

#endif
