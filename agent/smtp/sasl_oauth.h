/*
 * sasl_oauth - what clients say with an OAuth token: OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's and Microsoft's form,
 *              which came before it).
 *
 * Owns nothing; pure. Messages are not in base64.
 * Threads: any.
 */
#ifndef SMTP_SASL_OAUTH_H
#define SMTP_SASL_OAUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* RFC 6750, 2.1: b64token. Nothing else ever parts a message where it should not. */
bool sasl_oauth_is_token(struct span token);
/* Printable UTF-8, not empty. */
bool sasl_oauth_is_user(struct span user);

/* RFC 7628, 3.1. `host` NULL and `port` 0: unsaid. False: `out` is full. */
bool sasl_oauth_bearer(struct buf *out, struct span user, struct span token, const char *host, uint16_t port);
/* https://developers.google.com/gmail/imap/xoauth2-protocol */
bool sasl_oauth_xoauth2(struct buf *out, struct span user, struct span token);

#endif
