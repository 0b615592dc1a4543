/*
 * own - where this agent itself takes mail, so that it sends none there.
 *
 * Owns nothing. It knows what the configuration says of listeners; a port that the kernel chose is not among that.
 * Threads: any.
 */
#ifndef OWN_H
#define OWN_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "net/dns.h"

/* A listener has this port, whatever its address. */
bool own_has_port(const struct config *config, uint16_t port);
/* A listener answers there; the unspecified address is this machine. */
bool own_is(const struct config *config, const struct dns_address *address, uint16_t port);

#endif
