/*
 * tls_files - certificates and keys from PEM files, for tls_server and tls_client.
 *
 * Owns nothing; keys are overwritten in memory after use.
 * Threads: any.
 */
#ifndef TLS_FILES_H
#define TLS_FILES_H

#include <gnutls/gnutls.h>
#include <stddef.h>

/* Puts a certificate (with its chain) and its key into the credentials. 0, or -errno and `why` with the file's name. A
 * key that everybody may read is refused. */
int tls_files_load_pair(gnutls_certificate_credentials_t credentials, const char *certificate_file,
			const char *key_file, char *why, size_t why_size);

/* Makes the authorities of a PEM file those that peers are verified against. 0, or -errno and `why`. */
int tls_files_load_trust(gnutls_certificate_credentials_t credentials, const char *file, char *why, size_t why_size);

#endif
