/*
 * target_order - in which order the hosts of MX and SRV records are tried. Pure.
 *
 * Owns:    nothing; chance is the caller's.
 * Threads: any.
 */
#ifndef TARGET_ORDER_H
#define TARGET_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "delivery/chance.h"
#include "net/dns.h"

/* RFC 5321, 5.1: by preference, equals shuffled. */
void target_order_mx(struct dns_record *records, size_t count, struct chance *chance);
/* RFC 2782: by priority; among equals the chance to come first is in proportion to the weight, those of weight 0 have a
 * very small one. */
void target_order_srv(struct dns_record *records, size_t count, struct chance *chance);

#endif
