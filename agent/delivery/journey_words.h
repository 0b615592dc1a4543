/*
 * journey_words - what a walk's steps are called, and what people can do where one fails.
 *
 * Owns nothing; pure. Texts are constants.
 * Threads: any.
 */
#ifndef JOURNEY_WORDS_H
#define JOURNEY_WORDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "config.h"
#include "delivery/approach.h"
#include "smtp/client.h"

const char *journey_words_step(enum approach_step_kind kind);
/* It is no failure when there is none. */
bool journey_words_may_lack(enum approach_step_kind kind);
/* What to do when the step failed, about which `text` was said; `domain` NULL: of a smart host. */
const char *journey_words_advice(const struct config_smarthost *host, const char *domain, enum approach_step_kind kind,
				 const char *text);
/* The mechanisms of a server, in parentheses; nothing where there are none. */
void journey_words_logins(unsigned offered, struct buf *out);
/* When the session did; `offers_logins`: by some mechanism. */
const char *journey_words_failure(const struct config_smarthost *host, const struct client_failure *failure,
				  bool offers_logins);
/* When the sender or the recipient was refused. */
const char *journey_words_refusal(const struct client_result *result);
/* What a phase came to that went well. */
void journey_words_phase(enum client_phase phase, const struct client_peer *peer, struct buf *out);

#endif
