#include "net/dns_cache.h"

#include <string.h>

#include "base/mem.h"

enum { NAMES = 256, TTL_MOST_S = 3600 };

void dns_cache_init(struct dns_cache *cache)
{
	list_init(&cache->names);
	cache->count = 0;
}

static void drop(struct dns_cache *cache, struct dns_cache_name *c)
{
	list_remove(&c->node);
	cache->count--;
	mem_free(c->name);
	mem_free(c->list);
	mem_free(c);
}

void dns_cache_clear(struct dns_cache *cache)
{
	struct list *node;

	while ((node = list_first(&cache->names)))
		drop(cache, LIST_ENTRY(node, struct dns_cache_name, node));
}

static struct dns_cache_name *find(struct dns_cache *cache, const char *name, int64_t now_ms)
{
	for (struct list *at = list_first(&cache->names); at; at = list_next(&cache->names, at)) {
		struct dns_cache_name *c = LIST_ENTRY(at, struct dns_cache_name, node);

		if (strcmp(c->name, name) != 0)
			continue;
		if (c->expires_ms <= now_ms) {
			drop(cache, c);
			return NULL;
		}
		list_remove(at);
		list_append(&cache->names, at);
		return c;
	}
	return NULL;
}

void dns_cache_keep(struct dns_cache *cache, const char *name, const struct dns_addresses *result, int64_t now_ms)
{
	struct dns_cache_name *c = find(cache, name, now_ms);
	uint32_t ttl_s = result->ttl_s < TTL_MOST_S ? result->ttl_s : TTL_MOST_S;

	if (c)
		drop(cache, c);
	if (ttl_s == 0)
		return;
	if (cache->count == NAMES)
		drop(cache, LIST_ENTRY(list_first(&cache->names), struct dns_cache_name, node));
	c = MEM_NEW(struct dns_cache_name);
	c->name = mem_strdup(name);
	c->list = mem_dup(result->list, result->count * sizeof(*result->list));
	c->count = result->count;
	c->authentic = result->authentic;
	c->expires_ms = now_ms + (int64_t)ttl_s * 1000;
	list_init(&c->node);
	list_append(&cache->names, &c->node);
	cache->count++;
}

const struct dns_cache_name *dns_cache_find(struct dns_cache *cache, const char *name, int64_t now_ms)
{
	return find(cache, name, now_ms);
}
