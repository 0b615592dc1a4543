/*
 * tls - TLS sessions over a non-blocking descriptor (GnuTLS), for clients and servers.
 *
 * Owns:    contexts (certificates, the trust store, the cache of resumption tickets) and sessions.
 * Never:   resumes a session without checking the peer again; allows less than TLS 1.2 unless told so; sends early data
 *          (RFC 8446, 2.3); loads the system's trust store before it is first needed.
 * A client offers no ALPN: no name for SMTP is registered, so a server that minds could only turn it away. A server here
 * turns away clients that mean another protocol.
 * Threads: one. Only tls*.[ch] include <gnutls/...> (beside base/crypto.c).
 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"

struct tls_server; /* certificate and key of a listener; counted references */
struct tls_client; /* everything a client side shares: trust stores, ticket cache */
struct tls_session;

/* 0 or -errno; `why` gets a line for people with the file's name. Refuses a key that others may read. */
int tls_server_new(const char *certificate_file, const char *key_file, struct tls_server **out_server, char *why,
		   size_t why_size);
/* A throw-away self-signed certificate for `name` (for the sink and tests); also written as PEM to
 * `certificate_file` when that is not NULL. */
int tls_server_new_self_signed(const char *name, const char *certificate_file, struct tls_server **out_server,
			       char *why, size_t why_size);
void tls_server_free(struct tls_server *server);
/* From now on clients are asked for a certificate. They may show none; one that is shown must be issued, for clients, by
 * an authority of `ca_file` (NULL: none), or have a key that is pinned ("sha256:…", as in struct tls_demand), or the
 * handshake fails. 0 or -errno with `why`. Such sessions are never resumed. */
int tls_server_ask_clients(struct tls_server *server, const char *ca_file, const char *const *pins, size_t pin_count,
			   char *why, size_t why_size);

enum tls_refresh { TLS_SAME, TLS_RENEWED, TLS_KEPT };

/* Looks, at most once a second of boot time, whether certificate, key or authorities were replaced, and reads them anew;
 * sessions keep what they began with. TLS_KEPT: the new ones cannot be used, and `why` says why, once for each change. */
enum tls_refresh tls_server_refresh(struct tls_server *server, int64_t boot_ms, char *why, size_t why_size);

struct tls_client *tls_client_new(void);
void tls_client_free(struct tls_client *client);

/* A TLSA record (RFC 6698, 2.1). */
struct tls_tlsa {
	uint8_t usage, selector, matching;
	struct span data;
};

/* What a client demands of the peer. Borrowed for tls_connect(). */
struct tls_demand {
	const char *name; /* SNI, and checked against the certificate */
	const char
		*check_name; /* another name to check (tls_name), or NULL; ".example.org": any name one or more labels
	                            below it */
	/* Further names, of which one may fit instead; with a dot in front as above. */
	const char *const *more_names;
	size_t more_name_count;
	/* DANE (RFC 7672): instead of the trust store one of these must match: usage 3 the leaf, whatever its names and
	 * dates; usage 2 a certificate of the chain, which then is the only anchor for chain and names. Others are passed
	 * over; none that is usable: nobody is proven. NULL: no DANE. With pins, both must fit. */
	const struct tls_tlsa *tlsa;
	size_t tlsa_count;
	bool verify; /* false: encrypted but unproven (opportunistic, or tls_verify = no) */
	bool only_notes; /* with `verify`: what would be refused is not, but the facts say so and why; for MTA-STS testing */
	const char *ca_file;     /* NULL: the system's */
	const char *const *pins; /* "sha256:HEX-or-base64" of the SPKI; one must match */
	size_t pin_count;
	const char *certificate_file, *key_file; /* our own, or NULL */
	const char *minimum;                     /* "1.2", "1.3" (also "1.0", "1.1" where someone must); NULL: 1.2 */
	/* Tickets are kept under this (host, port, policy) and under all of the above, so that none is ever used where
	 * something else was demanded; and the peer is checked anew all the same. NULL: none. */
	const char *cache_key;
};

/* Both take no ownership of fd. On failure NULL, with `why`. */
struct tls_session *tls_connect(struct tls_client *client, int fd, const struct tls_demand *demand, char *why,
				size_t why_size);
struct tls_session *tls_accept(struct tls_server *server, int fd, char *why, size_t why_size);
void tls_free(struct tls_session *tls);

enum tls_result { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_FAILED };

/* Goes on with the handshake and, for clients, checks the peer (also on resumption). */
enum tls_result tls_handshake(struct tls_session *tls);
/* Bytes (> 0), 0 at the end of the stream (close_notify or end of connection: *out_clean tells), -EAGAIN, -errno. */
ssize_t tls_read(struct tls_session *tls, void *data, size_t len, bool *out_clean);
/* Bytes taken, -EAGAIN (call again with the same bytes), -errno. */
ssize_t tls_write(struct tls_session *tls, const void *data, size_t len);
/* Bytes that wait inside, decrypted or not, and that no poll will announce: read until -EAGAIN. */
size_t tls_pending(const struct tls_session *tls);
void tls_bye(struct tls_session *tls); /* sends close_notify, does not wait */
/* Why it failed, for people: "certificate expired on …, issuer …". Valid until tls_free(). */
const char *tls_error(const struct tls_session *tls);
/* True when the failure was about the peer's certificate (name, chain, date, pin, DANE). */
bool tls_is_certificate_error(const struct tls_session *tls);

/* What is wrong with a peer's certificate; of several things the first of these. */
enum tls_failure {
	TLS_FAILURE_NONE,   /* nothing, or it is not about a certificate: the handshake itself */
	TLS_FAILURE_ABSENT, /* it shows none that can be read */
	TLS_FAILURE_DANE,   /* no TLSA record fits */
	TLS_FAILURE_PIN,
	TLS_FAILURE_EXPIRED,
	TLS_FAILURE_NOT_YET, /* valid */
	TLS_FAILURE_NAME,
	TLS_FAILURE_REVOKED,
	TLS_FAILURE_UNTRUSTED, /* issuer, signature, constraints, purpose */
};
enum tls_failure tls_failure(const struct tls_session *tls);
/* The result type of RFC 8460, 4.3: "certificate-expired" …; NONE: "validation-failure". */
const char *tls_failure_report(enum tls_failure failure);

struct tls_facts {
	char version[16]; /* "TLSv1.3" */
	char cipher[64];  /* "AES-256-GCM" … */
	bool verified;    /* chain and name, or pin, or DANE */
	bool by_dane;     /* it was DANE */
	bool resumed;
	enum tls_failure failure; /* with `only_notes`: why it would have been refused */
	char why[256];            /* the same for people; "" */
	char peer[128];           /* subject name of the peer's certificate, or "" */
	char user[256]; /* whom a client's certificate proves: its first mail address, else its common name, else (and
			   always by a pin, whose holder could write anything) "sha256:" and 16 digits of its key; "" */
};
void tls_facts(const struct tls_session *tls, struct tls_facts *out);
/* RFC 9266 tls-exporter channel binding, 32 bytes; false where there is none. */
enum { TLS_BINDING_LEN = 32 };
bool tls_channel_binding(const struct tls_session *tls, uint8_t out[TLS_BINDING_LEN]);

#endif
