/*
 * terms - what the configuration of a smart host means for the client engine; of TLS tlspolicy.h has the say.
 *
 * Owns nothing; pure. What is handed out points into the configuration.
 * Threads: any.
 */
#ifndef TERMS_H
#define TERMS_H

#include "config.h"
#include "net/tls.h"
#include "smtp/client.h"

/* Without name, secret, TLS and pipelining, which are the connection's. */
struct client_config terms_session(const struct config_smarthost *host);

/* What client_channel_binding() wants; false: none is of use. In TLS 1.2 servers of SCRAM-…-PLUS expect tls-unique
 * (RFC 5802, 6.1; RFC 9266, 3), which is not to be had from us. */
bool terms_binding(const struct tls_session *tls, const struct tls_facts *facts, uint8_t out[TLS_BINDING_LEN]);

#endif
