/*
 * identity - the rules about senders: what a submitter may send, and under which address it goes.
 *
 * Owns:    nothing; results are the configuration's. Pure.
 * Threads: any.
 */
#ifndef IDENTITY_H
#define IDENTITY_H

#include <stdbool.h>

#include "config.h"
#include "who.h"

/* The first `submitter` section that fits, or NULL. */
const struct config_submitter *identity_submitter(const struct config *config, const struct who *who);
/* May they send with this reverse-path (qualified; "" always may)? */
bool identity_allows(const struct config_submitter *submitter, const char *sender);
/* The first `identity` section that fits, or NULL. `sender` is the reverse-path as given, qualified; "" for the null
 * sender, for which no identity's address is used: reports stay reports. */
const struct config_identity *identity_find(const struct config *config, const struct who *who, const char *sender);
/* The reverse-path to use: the identity's, or `sender` itself. */
const char *identity_sender(const struct config_identity *identity, const char *sender);

/* The domain of a forward-path is this machine's own name (hostname, localhost, "localhost.localdomain"), or it has
 * none: then aliases apply, and an identity's `to`. */
bool identity_is_local(const struct config *config, const char *address);

#endif
