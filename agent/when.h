/*
 * when - the network that a route's mail waits for: `when` of a route, as text and as what it asks of net/netfacts.h.
 *
 *     interface GLOB     an interface of that name is up, and has an address
 *     gateway NETWORK    a default route leads through a gateway of that address or network
 *     online             there is a default route
 *
 * Owns nothing; pure.
 * Threads: any.
 */
#ifndef WHEN_H
#define WHEN_H

#include <stdbool.h>

#include "config.h"
#include "net/netfacts.h"

/* NULL, or what is wrong with one condition: "names no interface", "names no address" … for the sentence that says it. */
const char *when_mistake(const char *text);
/* What may have been meant by a condition that is none, written into `out`; false: nobody knows. */
enum { WHEN_MEANT_SIZE = 128 };
bool when_meant(const char *text, char out[WHEN_MEANT_SIZE]);
/* One of them holds. Where nobody can look, none does. */
bool when_holds(const struct config_strings *conditions, const struct netfacts *facts);

#endif
