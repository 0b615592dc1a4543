/*
 * terms - what the configuration of a smart host means for the client engine and for TLS.
 *
 * Owns nothing; pure. What is handed out points into the configuration.
 * Threads: any.
 */
#ifndef TERMS_H
#define TERMS_H

#include "config.h"
#include "net/tls.h"
#include "smtp/client.h"

/* Without name, secret and pipelining, which are the connection's. */
struct client_config terms_session(const struct config_smarthost *host);

enum { TERMS_KEY_SIZE = 600 };
/* `key` keeps the name under which resumption tickets are kept. */
struct tls_demand terms_tls(const struct config_smarthost *host, char key[TERMS_KEY_SIZE]);
/* The peer is who the configuration says, or a line of it waives the proof: a secret may be sent. */
bool terms_is_authentic(const struct config_smarthost *host, const struct tls_facts *facts);
/* What client_channel_binding() wants; false: none is of use. In TLS 1.2 servers of SCRAM-…-PLUS expect tls-unique
 * (RFC 5802, 6.1; RFC 9266, 3), which is not to be had from us. */
bool terms_binding(const struct tls_session *tls, const struct tls_facts *facts, uint8_t out[TLS_BINDING_LEN]);

#endif
