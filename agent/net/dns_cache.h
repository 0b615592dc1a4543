/*
 * dns_cache - what resolvers said, for as long as its records live: addresses of a host, or a whole answer as it came.
 *
 * Owns:    a bounded number of items of bounded size; the least recently used goes first.
 * Threads: one.
 */
#ifndef DNS_CACHE_H
#define DNS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

enum { DNS_CACHE_ITEMS = 512, DNS_CACHE_BYTES = 5120 /* of one item; a larger one is not kept */ };

struct dns_cache {
	struct list items; /* the least recently used first */
	size_t count;
};

struct dns_cache_item {
	const char *name;
	uint16_t type; /* name and type are the key */
	struct span bytes;
	const char *end; /* where the aliases led, or NULL */
	bool authentic;
};

void dns_cache_init(struct dns_cache *cache);
void dns_cache_clear(struct dns_cache *cache);
/* NULL: not known, or no longer. Valid until the next call on the cache. */
const struct dns_cache_item *dns_cache_find(struct dns_cache *cache, const char *name, uint16_t type, int64_t now_ms,
					    uint32_t *out_left_s);
/* A copy takes the place of what was known before; with `ttl_s` 0 nothing does. */
void dns_cache_keep(struct dns_cache *cache, const struct dns_cache_item *item, uint32_t ttl_s, int64_t now_ms);

#endif
