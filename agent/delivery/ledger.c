#include "delivery/ledger.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

enum {
	WRITE_AGAIN_MS = 5000, /* after an operation about lanes failed */
	BATCH = 256,           /* lanes in one operation */
	PLAIN_MAX = 180,       /* the queue's names of values are short: a longer name is cut and told by its digest */
	NAME_SIZE = 256,
};

/* ---------------------------------------------------------------- names and values */

static void value_name(const char *kind, const char *lane, char out[NAME_SIZE])
{
	uint8_t digest[CRYPTO_SHA256_LEN];
	int len;

	if (strlen(lane) <= PLAIN_MAX) {
		snprintf(out, NAME_SIZE, "%s/%s", kind, lane);
		return;
	}
	crypto_hash(CRYPTO_SHA256, span_str(lane), digest);
	len = snprintf(out, NAME_SIZE, "%s/%.*s#", kind, PLAIN_MAX - 40, lane);
	for (int i = 0; i < 16; i++)
		len += snprintf(out + len, (size_t)(NAME_SIZE - len), "%02x", digest[i]);
}

/* Over a restart a refused account is tried at once only if it is not the same any more. */
static void add_mark(struct queue_op *op, const struct lane *lane)
{
	char name[NAME_SIZE];

	value_name("account", lane->name, name);
	queue_op_state(op, name,
		       (struct queue_bytes){ &lane->secret_mark,
					     lane->trouble == TRAFFIC_ACCOUNT ? sizeof lane->secret_mark : 0 });
}

static void add_record(struct queue_op *op, const struct lane *lane, struct moment now)
{
	struct queue_lane record;

	if (lane_record(lane, now, &record))
		queue_op_lane(op, &record);
	else
		queue_op_lane_drop(op, lane->name);
	add_mark(op, lane);
}

static void add_bucket(struct queue_op *op, const struct lane *lane, struct moment now)
{
	char name[NAME_SIZE], value[LANE_BUCKET_SIZE];

	value_name("rate", lane->name, name);
	queue_op_state(op, name, (struct queue_bytes){ value, lane_bucket_print(lane, now, value) + 1 });
}

static void add_pause(struct scheduler *s, struct queue_op *op)
{
	if (s->paused_by)
		queue_op_lane(op, &(struct queue_lane){ .name = "*",
							.error = "",
							.paused_by = s->paused_by,
							.paused_ms = s->paused_wall_ms });
	else
		queue_op_lane_drop(op, "*");
}

void ledger_forget(struct queue_op *op, const char *name)
{
	char value[NAME_SIZE];

	queue_op_lane_drop(op, name);
	value_name("account", name, value);
	queue_op_state(op, value, (struct queue_bytes){ NULL, 0 });
	value_name("rate", name, value);
	queue_op_state(op, value, (struct queue_bytes){ NULL, 0 });
}

/* ---------------------------------------------------------------- writing */

/* What an operation carries; its lanes stay in memory until it is answered. */
struct page {
	struct scheduler *scheduler;
	struct queue_op *op;
	struct lane **records, **buckets;
	size_t record_count, bucket_count;
	bool has_pause;
};

static void put_back(struct list *list, struct list *node)
{
	if (list_is_empty(node))
		list_append(list, node);
}

static void written(void *arg, enum queue_err err, uint64_t id)
{
	struct page *page = arg;
	struct scheduler *s = page->scheduler;
	struct agenda *agenda = &s->lanes.agenda;

	(void)id;
	for (size_t i = 0; i < page->record_count; i++) {
		struct lane *lane = page->records[i];

		lane->writing--;
		if (err)
			put_back(&agenda->dirty, &lane->dirty_node);
		lane_loosen(lane);
	}
	for (size_t i = 0; i < page->bucket_count; i++) {
		struct lane *lane = page->buckets[i];

		lane->writing--;
		if (err)
			put_back(&agenda->spent, &lane->spent_node);
		lane_loosen(lane);
	}
	s->is_pause_dirty |= err && page->has_pause;
	s->is_writing = false;
	s->write_boot_ms = err ? s->now.boot_ms + WRITE_AGAIN_MS : s->now.boot_ms;
	mem_free(page->records);
	mem_free(page->buckets);
	mem_free(page);
	scheduler_answered(s);
}

static size_t length(const struct list *list, size_t max)
{
	size_t count = 0;

	for (struct list *node = list_first(list); node && count < max; node = list_next(list, node))
		count++;
	return count;
}

static void fill_records(struct page *page, struct list *dirty, size_t max, struct moment now)
{
	page->record_count = length(dirty, max);
	page->records = mem_calloc(page->record_count + 1, sizeof(struct lane *));
	for (size_t i = 0; i < page->record_count; i++) {
		struct lane *lane = LIST_ENTRY(list_first(dirty), struct lane, dirty_node);

		list_remove(&lane->dirty_node);
		lane->writing++;
		page->records[i] = lane;
		add_record(page->op, lane, now);
	}
}

static void fill_buckets(struct page *page, struct list *spent, size_t max, struct moment now)
{
	page->bucket_count = length(spent, max);
	page->buckets = mem_calloc(page->bucket_count + 1, sizeof(struct lane *));
	for (size_t i = 0; i < page->bucket_count; i++) {
		struct lane *lane = LIST_ENTRY(list_first(spent), struct lane, spent_node);

		list_remove(&lane->spent_node);
		lane->writing++;
		page->buckets[i] = lane;
		add_bucket(page->op, lane, now);
		if (lane->domain)
			add_record(page->op, lane, now); /* by which the bucket is found again */
	}
}

void ledger_write(struct scheduler *s, struct moment now)
{
	struct agenda *agenda = &s->lanes.agenda;
	bool with_buckets = now.boot_ms >= s->bucket_boot_ms && !list_is_empty(&agenda->spent);
	size_t max = s->is_stopped ? SIZE_MAX : BATCH;
	struct page *page;

	if (list_is_empty(&agenda->dirty) && !with_buckets && !s->is_pause_dirty)
		return;
	page = MEM_NEW(struct page);
	page->scheduler = s;
	page->op = queue_op_new(s->queue);
	fill_records(page, &agenda->dirty, max, now);
	if (with_buckets)
		fill_buckets(page, &agenda->spent, max, now);
	if (with_buckets && list_is_empty(&agenda->spent))
		s->bucket_boot_ms = now.boot_ms + SCHEDULER_BUCKET_MS;
	page->has_pause = s->is_pause_dirty;
	if (s->is_pause_dirty)
		add_pause(s, page->op);
	s->is_pause_dirty = false;
	s->is_writing = true;
	queue_op_submit(page->op, written, page);
}

bool ledger_is_written(const struct scheduler *s, const char *name)
{
	const struct lane *lane = name ? lanes_find(&s->lanes, span_str(name)) : NULL;

	if (name)
		return !lane || (list_is_empty(&lane->dirty_node) && !lane->writing);
	return !s->is_writing && !s->is_pause_dirty && list_is_empty(&s->lanes.agenda.dirty);
}

int64_t ledger_deadline(const struct scheduler *s)
{
	const struct agenda *agenda = &s->lanes.agenda;

	if (s->is_writing)
		return INT64_MAX;
	if (!list_is_empty(&agenda->dirty) || s->is_pause_dirty)
		return s->write_boot_ms;
	return list_is_empty(&agenda->spent)          ? INT64_MAX
	       : s->bucket_boot_ms > s->write_boot_ms ? s->bucket_boot_ms
						      : s->write_boot_ms;
}

/* ---------------------------------------------------------------- reading */

static void restore_record(struct scheduler *s, struct lane *lane, const struct queue_lane *record, struct moment now)
{
	lane_restore(lane, record, now);
	if (!lane->domain)
		return;
	if (lane->paused_by && record->paused_ms < s->lanes.resumed_wall_ms)
		lane_resume(lane);
	else if (lane->trouble && record->since_ms < s->lanes.woken_wall_ms)
		lane_wake(lane);
}

void ledger_restore(struct scheduler *s, struct lane *lane, struct moment now)
{
	struct queue_view *view = queue_view(s->queue);
	struct queue_bytes bytes;
	struct queue_lane record;
	char name[NAME_SIZE];

	if (!view)
		return;
	if (queue_view_lane(view, lane->name, &record) == QUEUE_OK)
		restore_record(s, lane, &record, now);
	value_name("rate", lane->name, name);
	if (lane_has_rate(lane) && queue_view_state(view, name, &bytes) == QUEUE_OK && bytes.len &&
	    ((const char *)bytes.data)[bytes.len - 1] == '\0')
		lane_bucket_restore(lane, bytes.data, now);
	value_name("account", lane->name, name);
	if (lane->trouble == TRAFFIC_ACCOUNT && queue_view_state(view, name, &bytes) == QUEUE_OK &&
	    bytes.len == sizeof lane->secret_mark)
		memcpy(&lane->secret_mark, bytes.data, bytes.len);
}

void ledger_restore_pause(struct scheduler *s)
{
	struct queue_view *view = queue_view(s->queue);
	struct queue_lane record;

	if (!view || queue_view_lane(view, "*", &record) != QUEUE_OK || !record.paused_by[0])
		return;
	s->paused_by = mem_strdup(record.paused_by);
	s->paused_wall_ms = record.paused_ms;
}
