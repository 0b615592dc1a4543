/*
 * cidr - IP addresses and networks as text: "192.0.2.0/24", "2001:db8::/32", "::1".
 *
 * Addresses are 16 bytes, v4 as v4-mapped v6, so that a v4 client of a v6 socket fits its v4 network. Pure.
 */
#ifndef CIDR_H
#define CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct cidr {
	uint8_t address[16];
	unsigned bits; /* 0..128, counted in the 16 bytes */
};

/* A literal address, without brackets or port. */
bool cidr_address(struct span text, uint8_t out[16]);
/* An address or a network; host bits must be zero. */
bool cidr_parse(struct span text, struct cidr *out);
bool cidr_contains(const struct cidr *net, const uint8_t address[16]);
bool cidr_is_loopback(const uint8_t address[16]);

#endif
