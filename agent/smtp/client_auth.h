/*
 * client_auth - a client's AUTH (RFC 4954): which mechanism, its exchange, and the next mechanism where the server lacks
 *               one that it offered.
 *
 * Owns:    nothing; works on a struct client.
 * Never:   writes a secret to a connection that is not protected; tries a mechanism twice, or another one after a
 *          refusal that may be about the password: providers count those.
 * Threads: any, one session per thread.
 *
 * Of what the server offers and the configuration allows the first in the order of enum sasl_mechanism is taken. What
 * shows a secret needs proven TLS; so does all else, but for what only answers challenges where the configuration takes
 * clear text for good enough (client_config.auth_in_clear).
 *
 *   the server                                         | we
 *   ---------------------------------------------------+-------------------------------------------------------------
 *   235 when the exchange is complete                  | go on
 *   235 before that; in SCRAM: without its own proof   | FAILED lane: it is not who it should be
 *   SCRAM: a wrong proof, or senseless iterations      | FAILED lane, likewise
 *   a challenge that makes no sense, or one too many   | FAILED lane
 *   a challenge that tells of a refusal (OAuth, SCRAM) | answer it; the reply counts, never 235
 *   504, or 534 about the mechanism                    | the next mechanism; FAILED parked when there is none
 *   any other 5xx                                      | FAILED parked
 *   4xx but 421 and 432                                | FAILED throttled
 */
#ifndef SMTP_CLIENT_AUTH_H
#define SMTP_CLIENT_AUTH_H

#include <stdint.h>

#include "smtp/client_state.h"

/* When EHLO is answered and TLS is as it should be: AUTH where it is configured, else the session is open. */
void client_auth_begin(struct client *c, int64_t now_ms);
/* A reply in CLIENT_STATE_AUTH. */
void client_auth_reply(struct client *c, const struct reply *reply, int64_t now_ms);

#endif
