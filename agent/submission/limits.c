#include "submission/limits.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"

#define QUOTA "quota/" /* and the submitter: the name of a value in the queue */

enum {
	BUCKETS = 1024,
	SWEEP = 64,
	DROPS = 8,      /* values taken off the disk with one message */
	DROP_SWEEP = 8, /* chains looked through for them */
	NAME_MAX_LEN = QUEUE_STATE_NAME_SIZE - sizeof(QUOTA),
	VALUE_LEN = 8,
	NS = 1000000, /* in a millisecond */
};

/* A debt from before a restart that is longer than any period was written by a wrong clock. */
static const int64_t longest_ns = INT64_C(31) * 86400000 * NS;

struct record {
	struct list node; /* of its hash chain */
	uint32_t connections;
	bool is_kept;     /* its quota is on disk */
	int64_t full_ms;  /* boot time at which the token bucket is full again: all there is to know about it */
	int64_t quota_ns; /* the same of the quota; finer, so that a million a day is a million */
	char name[];
};

struct limits {
	struct list chains[BUCKETS];
	size_t count, kept;
	size_t swept;   /* next chain to look through for records that can go */
	size_t dropped; /* next chain to look through for values that can go from the disk */
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
	return &limits->chains[text_hash(span_str(name)) % BUCKETS];
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
			if (record->connections == 0 && record->full_ms <= now_ms && !record->is_kept &&
			    record->quota_ns <= now_ms * NS)
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

/* ---------------------------------------------------------------- quotas */

static int64_t cost_of(struct config_rate quota, uint32_t count)
{
	int64_t one = quota.per_ms * NS / quota.count;

	return (one > 0 ? one : 1) * count;
}

int64_t limits_spend(struct limits *limits, const char *submitter, struct config_rate quota, uint32_t count,
		     int64_t now_ms)
{
	int64_t now_ns = now_ms * NS, period_ns = quota.per_ms * NS, after;
	struct record *record;

	if (quota.count == 0)
		return 0;
	if (count > quota.count)
		return INT64_MAX;
	record = find_or_add(limits, submitter, now_ms);
	if (!record)
		return quota.per_ms;
	/* A quota that was raised, or a clock that was wrong when it was written. */
	if (record->quota_ns > now_ns + period_ns)
		record->quota_ns = now_ns + period_ns;
	after = (record->quota_ns > now_ns ? record->quota_ns : now_ns) + cost_of(quota, count);
	if (after > now_ns + period_ns)
		return (after - now_ns - period_ns + NS - 1) / NS;
	record->quota_ns = after;
	return 0;
}

void limits_give_back(struct limits *limits, const char *submitter, struct config_rate quota, uint32_t count)
{
	struct record *record = quota.count && count ? find(limits, submitter) : NULL;

	if (record)
		record->quota_ns -= cost_of(quota, count);
}

static void write_value(struct queue_op *op, const struct record *record, bool is_full, int64_t now_ms, int64_t wall_ms)
{
	char name[QUEUE_STATE_NAME_SIZE];
	uint8_t value[VALUE_LEN];
	uint64_t full_ns = (uint64_t)(record->quota_ns - now_ms * NS + wall_ms * NS);

	for (size_t i = 0; i < VALUE_LEN; i++)
		value[i] = (uint8_t)(full_ns >> (8 * (VALUE_LEN - 1 - i)));
	snprintf(name, sizeof(name), QUOTA "%s", record->name);
	queue_op_state(op, name, (struct queue_bytes){ value, is_full ? 0 : VALUE_LEN });
}

/* Where the operation fails the value stays, and is found full after the next start. */
static void drop_some(struct limits *limits, struct queue_op *op, int64_t now_ms)
{
	size_t drops = 0;

	for (size_t i = 0; i < DROP_SWEEP && drops < DROPS; i++) {
		struct list *chain = &limits->chains[limits->dropped++ % BUCKETS];

		for (struct list *node = list_first(chain); node && drops < DROPS; node = list_next(chain, node)) {
			struct record *record = LIST_ENTRY(node, struct record, node);

			if (!record->is_kept || record->quota_ns > now_ms * NS)
				continue;
			write_value(op, record, true, now_ms, 0);
			record->is_kept = false;
			limits->kept--;
			drops++;
		}
	}
}

void limits_keep(struct limits *limits, const char *submitter, struct queue_op *op, int64_t now_ms, int64_t wall_ms)
{
	struct record *record = find(limits, submitter);

	if (limits->kept)
		drop_some(limits, op, now_ms);
	if (!record || record->quota_ns <= now_ms * NS || strlen(submitter) > NAME_MAX_LEN ||
	    (!record->is_kept && limits->kept >= LIMITS_KEPT_MAX))
		return;
	write_value(op, record, false, now_ms, wall_ms);
	limits->kept += !record->is_kept;
	record->is_kept = true;
}

static void restore_one(struct limits *limits, const char *submitter, struct queue_bytes value, int64_t now_ms,
			int64_t wall_ms)
{
	const uint8_t *bytes = value.data;
	struct record *record;
	uint64_t full_ns = 0;
	int64_t debt_ns;

	if (value.len != VALUE_LEN)
		return;
	for (size_t i = 0; i < VALUE_LEN; i++)
		full_ns = full_ns << 8 | bytes[i];
	debt_ns = full_ns <= (uint64_t)wall_ms * NS ? 0
		  : full_ns - (uint64_t)wall_ms * NS > (uint64_t)longest_ns
			  ? longest_ns
			  : (int64_t)(full_ns - (uint64_t)wall_ms * NS);
	record = find_or_add(limits, submitter, now_ms);
	if (!record || record->is_kept)
		return;
	record->quota_ns = now_ms * NS + debt_ns;
	record->is_kept = true;
	limits->kept++;
}

void limits_restore(struct limits *limits, struct queue_view *view, int64_t now_ms, int64_t wall_ms)
{
	char name[QUEUE_STATE_NAME_SIZE] = QUOTA;
	struct queue_bytes value;

	while (limits->kept < LIMITS_KEPT_MAX && queue_view_state_next(view, name, name, &value) == QUEUE_OK &&
	       strncmp(name, QUOTA, strlen(QUOTA)) == 0)
		restore_one(limits, name + strlen(QUOTA), value, now_ms, wall_ms);
}
