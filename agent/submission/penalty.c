#include "submission/penalty.h"

#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"

enum { BUCKETS = 1024, COST_MS = PENALTY_WINDOW_MS / PENALTY_FAILURES };

struct record {
	struct list node; /* of its hash chain */
	struct list age;  /* quiet longest first */
	unsigned streak;
	int64_t last_ms;
	int64_t clear_ms; /* when all failures are paid off */
	char who[];
};

struct penalty {
	struct list chains[BUCKETS];
	struct list ages;
	size_t count;
};

struct penalty *penalty_new(void)
{
	struct penalty *penalty = MEM_NEW(struct penalty);

	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&penalty->chains[i]);
	list_init(&penalty->ages);
	return penalty;
}

static void forget(struct penalty *penalty, struct record *record)
{
	list_remove(&record->node);
	list_remove(&record->age);
	mem_free(record);
	penalty->count--;
}

static struct record *oldest(struct penalty *penalty)
{
	struct list *node = list_first(&penalty->ages);

	return node ? LIST_ENTRY(node, struct record, age) : NULL;
}

void penalty_free(struct penalty *penalty)
{
	struct record *record;

	if (!penalty)
		return;
	while ((record = oldest(penalty)))
		forget(penalty, record);
	mem_free(penalty);
}

static struct list *chain_of(struct penalty *penalty, const char *who)
{
	return &penalty->chains[text_hash(span_str(who)) % BUCKETS];
}

static struct record *find(struct penalty *penalty, const char *who)
{
	struct list *chain = chain_of(penalty, who);

	for (struct list *node = list_first(chain); node; node = list_next(chain, node)) {
		struct record *record = LIST_ENTRY(node, struct record, node);

		if (strcmp(record->who, who) == 0)
			return record;
	}
	return NULL;
}

static struct record *find_or_add(struct penalty *penalty, const char *who, int64_t now_ms)
{
	struct record *record = find(penalty, who), *old;
	size_t len = strlen(who) + 1;

	if (record)
		return record;
	while ((old = oldest(penalty)) && (penalty->count >= PENALTY_MAX || now_ms - old->last_ms >= PENALTY_WINDOW_MS))
		forget(penalty, old);
	record = mem_calloc(1, sizeof(*record) + len);
	memcpy(record->who, who, len);
	list_init(&record->age);
	list_append(chain_of(penalty, who), &record->node);
	penalty->count++;
	return record;
}

int64_t penalty_wait(struct penalty *penalty, const char *who, int64_t now_ms)
{
	const struct record *record = find(penalty, who);
	int64_t wait_ms = record ? record->clear_ms + COST_MS - (now_ms + PENALTY_WINDOW_MS) : 0;

	return wait_ms > 0 ? wait_ms : 0;
}

int64_t penalty_add(struct penalty *penalty, const char *who, int64_t now_ms)
{
	struct record *record = find_or_add(penalty, who, now_ms);
	int64_t delay_ms = PENALTY_DELAY_MS;

	if (now_ms - record->last_ms >= PENALTY_WINDOW_MS)
		record->streak = 0;
	record->last_ms = now_ms;
	record->clear_ms = (record->clear_ms > now_ms ? record->clear_ms : now_ms) + COST_MS;
	/* Those that were under way together may be more than twenty; it is no debt for hours. */
	if (record->clear_ms > now_ms + PENALTY_WINDOW_MS)
		record->clear_ms = now_ms + PENALTY_WINDOW_MS;
	for (unsigned i = 0; i < record->streak && delay_ms < PENALTY_DELAY_MAX_MS; i++)
		delay_ms *= 2;
	record->streak++;
	list_remove(&record->age);
	list_append(&penalty->ages, &record->age);
	return delay_ms < PENALTY_DELAY_MAX_MS ? delay_ms : PENALTY_DELAY_MAX_MS;
}

void penalty_succeed(struct penalty *penalty, const char *who)
{
	struct record *record = find(penalty, who);

	if (record)
		record->streak = 0;
}
