#include "submission/limits.h"

#include <assert.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

enum { BUCKETS = 1024, SWEEP = 64 };

struct record {
	struct list node; /* of its hash chain */
	uint32_t connections;
	int64_t full_ms; /* boot time at which the token bucket is full again: all there is to know about it */
	char name[];
};

struct limits {
	struct list chains[BUCKETS];
	size_t count;
	size_t swept; /* next chain to look through for records that can go */
};

struct limits *limits_new(void)
{
	struct limits *limits = MEM_NEW(struct limits);

	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&limits->chains[i]);
	return limits;
}

static void forget(struct limits *limits, struct record *record)
{
	list_remove(&record->node);
	mem_free(record);
	limits->count--;
}

void limits_free(struct limits *limits)
{
	if (!limits)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (!list_is_empty(&limits->chains[i]))
			forget(limits, LIST_ENTRY(list_first(&limits->chains[i]), struct record, node));
	mem_free(limits);
}

static struct list *chain_of(struct limits *limits, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *p = name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	return &limits->chains[hash % BUCKETS];
}

static struct record *find(struct limits *limits, const char *name)
{
	struct list *chain = chain_of(limits, name);

	for (struct list *node = list_first(chain); node; node = list_next(chain, node)) {
		struct record *record = LIST_ENTRY(node, struct record, node);

		if (strcmp(record->name, name) == 0)
			return record;
	}
	return NULL;
}

/* A part of the table each time, so that no single call pays for all of it. */
static void sweep(struct limits *limits, size_t chains, int64_t now_ms)
{
	for (size_t i = 0; i < chains; i++) {
		struct list *chain = &limits->chains[limits->swept++ % BUCKETS];

		for (struct list *node = list_first(chain), *next; node; node = next) {
			struct record *record = LIST_ENTRY(node, struct record, node);

			next = list_next(chain, node);
			if (record->connections == 0 && record->full_ms <= now_ms)
				forget(limits, record);
		}
	}
}

static struct record *find_or_add(struct limits *limits, const char *name, int64_t now_ms)
{
	struct record *record = find(limits, name);
	size_t len = strlen(name) + 1;

	if (record)
		return record;
	sweep(limits, limits->count >= LIMITS_MAX ? BUCKETS : SWEEP, now_ms);
	if (limits->count >= LIMITS_MAX)
		return NULL;
	record = mem_calloc(1, sizeof(*record) + len);
	memcpy(record->name, name, len);
	record->full_ms = now_ms;
	list_append(chain_of(limits, name), &record->node);
	limits->count++;
	return record;
}

bool limits_open(struct limits *limits, const char *client, uint32_t max, int64_t now_ms)
{
	struct record *record = find_or_add(limits, client, now_ms);

	if (!record || (max && record->connections >= max))
		return false;
	record->connections++;
	return true;
}

void limits_close(struct limits *limits, const char *client)
{
	struct record *record = find(limits, client);

	assert(record && record->connections > 0);
	record->connections--;
}

int64_t limits_take(struct limits *limits, const char *submitter, struct config_rate rate, int64_t now_ms)
{
	struct record *record;
	int64_t cost, earliest;

	if (rate.count == 0)
		return 0;
	record = find_or_add(limits, submitter, now_ms);
	if (!record)
		return rate.per_ms;
	/* One message moves the time of being full on by `cost`; it may lie at most one whole period ahead. */
	cost = rate.per_ms / rate.count > 0 ? rate.per_ms / rate.count : 1;
	/* After the rate was raised the old debt is one period of the new rate at most. */
	if (record->full_ms > now_ms + rate.per_ms)
		record->full_ms = now_ms + rate.per_ms;
	earliest = record->full_ms > now_ms ? record->full_ms : now_ms;
	if (earliest + cost > now_ms + rate.per_ms)
		return earliest + cost - (now_ms + rate.per_ms);
	record->full_ms = earliest + cost;
	return 0;
}
