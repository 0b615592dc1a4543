#include "net/dns_cache.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { TTL_MOST_S = 3600 };

struct slot {
	struct list node;
	struct dns_cache_item item; /* its parts are the slot's */
	uint32_t hash;
	int64_t expires_ms; /* boot time */
};

void dns_cache_init(struct dns_cache *cache)
{
	list_init(&cache->items);
	cache->count = 0;
}

static void drop(struct dns_cache *cache, struct slot *slot)
{
	list_remove(&slot->node);
	cache->count--;
	mem_free((char *)slot->item.name);
	mem_free((char *)slot->item.bytes.data);
	mem_free((char *)slot->item.end);
	mem_free(slot);
}

void dns_cache_clear(struct dns_cache *cache)
{
	struct list *node;

	while ((node = list_first(&cache->items)))
		drop(cache, LIST_ENTRY(node, struct slot, node));
}

static struct slot *find(struct dns_cache *cache, const char *name, uint16_t type, int64_t now_ms)
{
	uint32_t hash = text_hash(span_str(name));

	for (struct list *at = list_first(&cache->items); at; at = list_next(&cache->items, at)) {
		struct slot *slot = LIST_ENTRY(at, struct slot, node);

		if (slot->hash != hash || slot->item.type != type || strcmp(slot->item.name, name) != 0)
			continue;
		if (slot->expires_ms <= now_ms) {
			drop(cache, slot);
			return NULL;
		}
		list_remove(at);
		list_append(&cache->items, at);
		return slot;
	}
	return NULL;
}

void dns_cache_keep(struct dns_cache *cache, const struct dns_cache_item *item, uint32_t ttl_s, int64_t now_ms)
{
	struct slot *slot = find(cache, item->name, item->type, now_ms);

	if (slot)
		drop(cache, slot);
	if (ttl_s == 0 || item->bytes.len > DNS_CACHE_BYTES)
		return;
	if (cache->count == DNS_CACHE_ITEMS)
		drop(cache, LIST_ENTRY(list_first(&cache->items), struct slot, node));
	slot = MEM_NEW(struct slot);
	slot->item = *item;
	slot->item.name = mem_strdup(item->name);
	slot->item.bytes.data = mem_dup(item->bytes.data, item->bytes.len);
	slot->item.end = item->end ? mem_strdup(item->end) : NULL;
	slot->hash = text_hash(span_str(item->name));
	slot->expires_ms = now_ms + (int64_t)(ttl_s < TTL_MOST_S ? ttl_s : TTL_MOST_S) * 1000;
	list_init(&slot->node);
	list_append(&cache->items, &slot->node);
	cache->count++;
}

const struct dns_cache_item *dns_cache_find(struct dns_cache *cache, const char *name, uint16_t type, int64_t now_ms,
					    uint32_t *out_left_s)
{
	const struct slot *slot = find(cache, name, type, now_ms);

	if (!slot)
		return NULL;
	*out_left_s = (uint32_t)((slot->expires_ms - now_ms) / 1000);
	return &slot->item;
}
