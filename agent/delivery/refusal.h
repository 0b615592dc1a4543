/*
 * refusal - does a server refuse us for where the connection comes from, so that the other family of addresses, IPv4 or
 *           IPv6, may do better? The table.
 *
 * Owns nothing; pure.
 * Threads: any.
 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include <stdbool.h>

#include "smtp/reply.h"

/* `is_relay`: a smart host, where 5.7.1 alone is about the account or the sender. */
bool refusal_is_of_origin(const struct reply *reply, bool is_relay);

#endif
