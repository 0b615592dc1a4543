/*
 * dns_cache - addresses of names for as long as their records live; failures are never kept.
 *
 * Owns:    a bounded number of names; the least recently used goes first.
 * Threads: one.
 */
#ifndef DNS_CACHE_H
#define DNS_CACHE_H

#include "net/dns.h"

struct dns_cache {
	struct list names; /* the least recently used first */
	size_t count;
};

struct dns_cache_name {
	struct list node;
	char *name;
	struct dns_address *list;
	size_t count;
	bool authentic;
	int64_t expires_ms; /* boot time */
};

void dns_cache_init(struct dns_cache *cache);
void dns_cache_clear(struct dns_cache *cache);
/* NULL: not known, or no longer. Valid until the next call on the cache. */
const struct dns_cache_name *dns_cache_find(struct dns_cache *cache, const char *name, int64_t now_ms);
void dns_cache_keep(struct dns_cache *cache, const char *name, const struct dns_addresses *result, int64_t now_ms);

#endif
