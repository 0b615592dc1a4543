/*
 * client_hello - a client's session until it is open: greeting, EHLO or HELO, STARTTLS; AUTH is client_auth's.
 *
 * Owns:    nothing; works on a struct client.
 * Never:   goes on in clear text where TLS is promised.
 * Threads: any, one session per thread.
 */
#ifndef SMTP_CLIENT_HELLO_H
#define SMTP_CLIENT_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include "smtp/client_state.h"

/* A reply in one of the states before CLIENT_STATE_OPEN. */
void client_hello_reply(struct client *c, const struct reply *reply, int64_t now_ms);
/* The connection is protected from now on: everything learnt before is forgotten (RFC 3207, 4.2). */
void client_hello_secured(struct client *c, bool authentic);

#endif
