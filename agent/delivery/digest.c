#include "delivery/digest.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

void digest_init(struct digest_set *set)
{
	*set = (struct digest_set){ .count = 0 };
	list_init(&set->digests);
}

void digest_free(struct digest *digest)
{
	list_remove(&digest->node);
	mem_free(digest->address);
	mem_free(digest);
}

void digest_fini(struct digest_set *set)
{
	while (!list_is_empty(&set->digests))
		digest_free(LIST_ENTRY(list_first(&set->digests), struct digest, node));
}

static bool take_token(struct digest_set *set, const char *address, int64_t boot_ms)
{
	struct digest_bucket *b = &set->buckets[text_hash(span_str(address)) % DIGEST_BUCKETS];
	double back = (double)(boot_ms - b->at_boot_ms) / DIGEST_TOKEN_MS;

	b->spent = back < b->spent ? b->spent - back : 0;
	b->at_boot_ms = boot_ms;
	if (b->spent > DIGEST_BURST - 1)
		return false;
	b->spent += 1;
	return true;
}

static struct digest *find(const struct digest_set *set, const char *address, bool is_warning)
{
	for (struct list *node = list_first(&set->digests); node; node = list_next(&set->digests, node)) {
		struct digest *digest = LIST_ENTRY(node, struct digest, node);

		if (digest->is_warning == is_warning && digest->count < DIGEST_MESSAGES &&
		    strcmp(digest->address, address) == 0)
			return digest;
	}
	return NULL;
}

enum digest_verdict digest_take(struct digest_set *set, const char *address, bool is_warning, struct queue_timer timer,
				int64_t boot_ms)
{
	struct digest *digest = find(set, address, is_warning);

	/* Where others wait it stands behind them. */
	if (!digest && take_token(set, address, boot_ms))
		return DIGEST_ALONE;
	if (!digest && set->count == DIGESTS)
		return DIGEST_FULL;
	if (!digest) {
		digest = MEM_NEW(struct digest);
		digest->address = mem_strdup(address);
		digest->is_warning = is_warning;
		digest->due_boot_ms = boot_ms + DIGEST_MS;
		list_append(&set->digests, &digest->node);
		set->count++;
	}
	digest->timers[digest->count++] = timer;
	if (digest->count == DIGEST_MESSAGES)
		digest->due_boot_ms = boot_ms;
	return DIGEST_WAITS;
}

bool digest_has(const struct digest_set *set, struct queue_timer timer)
{
	for (struct list *node = list_first(&set->digests); node; node = list_next(&set->digests, node)) {
		const struct digest *digest = LIST_ENTRY(node, struct digest, node);

		for (size_t i = 0; i < digest->count; i++)
			if (digest->timers[i].id == timer.id && digest->timers[i].kind == timer.kind)
				return true;
	}
	return false;
}

struct digest *digest_next(struct digest_set *set, int64_t boot_ms)
{
	for (struct list *node = list_first(&set->digests); node; node = list_next(&set->digests, node)) {
		struct digest *digest = LIST_ENTRY(node, struct digest, node);

		if (digest->due_boot_ms > boot_ms)
			continue;
		list_remove(&digest->node);
		set->count--;
		return digest;
	}
	return NULL;
}

void digest_hurry(struct digest_set *set)
{
	for (struct list *node = list_first(&set->digests); node; node = list_next(&set->digests, node))
		LIST_ENTRY(node, struct digest, node)->due_boot_ms = 0;
}

int64_t digest_deadline(const struct digest_set *set)
{
	int64_t at = INT64_MAX;

	for (struct list *node = list_first(&set->digests); node; node = list_next(&set->digests, node)) {
		const struct digest *digest = LIST_ENTRY(node, struct digest, node);

		if (digest->due_boot_ms < at)
			at = digest->due_boot_ms;
	}
	return at;
}
