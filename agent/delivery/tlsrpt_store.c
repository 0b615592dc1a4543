#include "delivery/tlsrpt_store.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/instant.h"

enum { SAVED_AT_ONCE = 64, SWEPT_AT_ONCE = 100, ID_LEN = 8, PATIENCE_MS = 1000, DATE_LEN = 10 };

#define PREFIX      "tlsrpt:"
#define MAIL_PREFIX "tlsrpt-mail:"

/* ---------------------------------------------------------------- names */

static void name_of(const char *prefix, const char *domain, char out[QUEUE_STATE_NAME_SIZE])
{
	uint8_t digest[CRYPTO_SHA256_LEN];
	size_t len;

	if (snprintf(out, QUEUE_STATE_NAME_SIZE, "%s%s", prefix, domain) < QUEUE_STATE_NAME_SIZE)
		return;
	crypto_hash(CRYPTO_SHA256, span_str(domain), digest);
	len = (size_t)snprintf(out, QUEUE_STATE_NAME_SIZE, "%ssha256-", prefix);
	for (size_t i = 0; i < sizeof digest; i++, len += 2)
		snprintf(out + len, 3, "%02x", digest[i]);
}

/* "tlsrpt:2026-11-24:", so that names sort by age. */
static void day_prefix(int64_t day, char out[64])
{
	char date[INSTANT_SIZE];

	instant_print(day * TLSREPORT_DAY_MS, date);
	snprintf(out, 64, PREFIX "%.*s:", DATE_LEN, date);
}

static bool begins_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* ---------------------------------------------------------------- memory */

void tlsrpt_store_init(struct tlsrpt_store *store, struct queue *queue, void (*written)(void *arg), void *arg)
{
	*store = (struct tlsrpt_store){ .queue = queue, .written = written, .arg = arg, .day = -1 };
	list_init(&store->counts);
	snprintf(store->swept, sizeof store->swept, PREFIX);
}

static void forget(struct tlsrpt_store *store, struct tlsrpt_count *count)
{
	store->bytes -= tlsrpt_count_size(count);
	tlsrpt_count_free(count);
}

/* Those that were not used for the longest time go first; they are read again when they are needed. */
static void make_room(struct tlsrpt_store *store)
{
	struct list *next;

	for (struct list *node = store->counts.prev; node != &store->counts; node = next) {
		struct tlsrpt_count *count = LIST_ENTRY(node, struct tlsrpt_count, node);

		next = node->prev;
		if (store->bytes <= TLSRPT_STORE_BYTES)
			return;
		if (!count->is_dirty && !count->is_writing)
			forget(store, count);
	}
}

static void add(struct tlsrpt_store *store, struct tlsrpt_count *count)
{
	make_room(store);
	list_prepend(&store->counts, &count->node);
	store->bytes += tlsrpt_count_size(count);
}

static struct tlsrpt_count *in_memory(struct tlsrpt_store *store, int64_t day, const char *domain)
{
	for (struct list *node = list_first(&store->counts); node; node = list_next(&store->counts, node)) {
		struct tlsrpt_count *count = LIST_ENTRY(node, struct tlsrpt_count, node);

		if (count->day == day && strcmp(count->domain, domain) == 0) {
			list_remove(node);
			list_prepend(&store->counts, node);
			return count;
		}
	}
	return NULL;
}

static struct tlsrpt_count *load(struct tlsrpt_store *store, int64_t day, const char *domain)
{
	struct queue_view *view = queue_view(store->queue);
	char prefix[64], name[QUEUE_STATE_NAME_SIZE];
	struct tlsrpt_count *count;
	struct queue_bytes value;

	day_prefix(day, prefix);
	name_of(prefix, domain, name);
	if (!view || queue_view_state(view, name, &value) != QUEUE_OK)
		return NULL;
	count = tlsrpt_count_read(span_of(value.data, value.len));
	if (count && (count->day != day || strcmp(count->domain, domain) != 0)) {
		tlsrpt_count_free(count);
		count = NULL;
	}
	if (count)
		count->is_saved = true;
	return count;
}

/* How many domains the day has: counted once, when the first is added after the start. */
static size_t count_domains(struct tlsrpt_store *store, int64_t day)
{
	struct queue_view *view = queue_view(store->queue);
	char prefix[64], name[QUEUE_STATE_NAME_SIZE];
	struct queue_bytes value;
	size_t count = 0;

	day_prefix(day, prefix);
	snprintf(name, sizeof name, "%s", prefix);
	while (view && count < TLSRPT_DOMAINS && queue_view_state_next(view, name, name, &value) == QUEUE_OK &&
	       begins_with(name, prefix))
		count++;
	return count;
}

struct tlsrpt_count *tlsrpt_store_find(struct tlsrpt_store *store, int64_t day, const char *domain, bool make)
{
	struct tlsrpt_count *count = in_memory(store, day, domain);

	if (count)
		return count;
	count = load(store, day, domain);
	if (!count && make) {
		if (store->day != day) {
			store->day = day;
			store->domains = count_domains(store, day);
		}
		if (store->domains >= TLSRPT_DOMAINS)
			return NULL;
		store->domains++;
		count = tlsrpt_count_new(day, domain);
	}
	if (count)
		add(store, count);
	return count;
}

void tlsrpt_store_touch(struct tlsrpt_store *store, struct tlsrpt_count *count)
{
	count->is_dirty = true;
	/* What it grew by is not known here: all are added up, and they are few. */
	store->bytes = 0;
	for (struct list *node = list_first(&store->counts); node; node = list_next(&store->counts, node))
		store->bytes += tlsrpt_count_size(LIST_ENTRY(node, struct tlsrpt_count, node));
}

struct tlsrpt_count *tlsrpt_store_next(struct tlsrpt_store *store, int64_t day, char name[QUEUE_STATE_NAME_SIZE])
{
	struct queue_view *view = queue_view(store->queue);
	char prefix[64], next[QUEUE_STATE_NAME_SIZE];
	struct queue_bytes value;

	day_prefix(day, prefix);
	if (!name[0])
		snprintf(name, QUEUE_STATE_NAME_SIZE, "%s", prefix);
	while (view && queue_view_state_next(view, name, next, &value) == QUEUE_OK && begins_with(next, prefix)) {
		struct tlsrpt_count *read = tlsrpt_count_read(span_of(value.data, value.len)), *count = NULL;

		memcpy(name, next, QUEUE_STATE_NAME_SIZE);
		if (read && read->day == day)
			count = tlsrpt_store_find(store, day, read->domain, false);
		tlsrpt_count_free(read);
		if (count)
			return count;
	}
	return NULL;
}

/* ---------------------------------------------------------------- disk */

void tlsrpt_store_put(struct queue_op *op, const struct tlsrpt_count *count, unsigned flags)
{
	char prefix[64], name[QUEUE_STATE_NAME_SIZE];
	struct tlsrpt_count copy = *count;
	struct buf record;

	copy.flags = flags;
	buf_init(&record, TLSRPT_COUNT_RECORD);
	day_prefix(count->day, prefix);
	name_of(prefix, count->domain, name);
	if (tlsrpt_count_write(&record, &copy))
		queue_op_state(op, name, (struct queue_bytes){ buf_span(&record).data, record.len });
	buf_fini(&record);
}

static void on_written(void *arg, enum queue_err err, uint64_t id)
{
	struct tlsrpt_store *store = arg;

	(void)id;
	store->is_writing = false;
	for (struct list *node = list_first(&store->counts); node; node = list_next(&store->counts, node)) {
		struct tlsrpt_count *count = LIST_ENTRY(node, struct tlsrpt_count, node);

		count->is_dirty = count->is_dirty || (count->is_writing && err != QUEUE_OK);
		count->is_saved = count->is_saved || (count->is_writing && err == QUEUE_OK);
		count->is_writing = false;
	}
	make_room(store);
	store->written(store->arg);
}

/* The operation that writes the next few; NULL: there are none. */
static struct queue_op *some_changes(struct tlsrpt_store *store)
{
	struct queue_op *op = NULL;
	int count = 0;

	for (struct list *node = list_first(&store->counts); node && count < SAVED_AT_ONCE;
	     node = list_next(&store->counts, node)) {
		struct tlsrpt_count *c = LIST_ENTRY(node, struct tlsrpt_count, node);

		if (!c->is_dirty)
			continue;
		op = op ? op : queue_op_new(store->queue);
		tlsrpt_store_put(op, c, c->flags);
		c->is_dirty = false;
		c->is_writing = true;
		count++;
	}
	return op;
}

bool tlsrpt_store_save(struct tlsrpt_store *store)
{
	struct queue_op *op;

	if (store->is_writing)
		return true;
	op = some_changes(store);
	if (!op)
		return false;
	store->is_writing = true;
	queue_op_patience(op, PATIENCE_MS);
	queue_op_submit(op, on_written, store);
	return true;
}

static void nothing(void *arg)
{
	(void)arg;
}

void tlsrpt_store_fini(struct tlsrpt_store *store)
{
	struct queue_op *op;
	struct list *node;

	store->written = nothing;
	while ((op = some_changes(store)))
		queue_op_submit(op, NULL, NULL);
	if (store->is_writing)
		queue_wait(store->queue);
	while ((node = list_first(&store->counts)))
		forget(store, LIST_ENTRY(node, struct tlsrpt_count, node));
}

/* ---------------------------------------------------------------- the sweep */

static uint64_t get_id(const void *bytes)
{
	const unsigned char *at = bytes;
	uint64_t id = 0;

	for (int i = 0; i < ID_LEN; i++)
		id = id << 8 | at[i];
	return id;
}

static bool has_waiting(struct queue_view *view, struct queue_bytes ids)
{
	struct queue_envelope envelope;

	for (size_t at = 0; at + ID_LEN <= ids.len; at += ID_LEN)
		if (queue_view_envelope(view, get_id((const char *)ids.data + at), &envelope) == QUEUE_OK)
			return true;
	return false;
}

static void forget_days(struct tlsrpt_store *store, int64_t before)
{
	struct list *next;

	for (struct list *node = list_first(&store->counts); node; node = next) {
		struct tlsrpt_count *count = LIST_ENTRY(node, struct tlsrpt_count, node);

		next = list_next(&store->counts, node);
		if (count->day < before && !count->is_writing)
			forget(store, count);
	}
}

bool tlsrpt_store_sweep(struct tlsrpt_store *store, int64_t today)
{
	struct queue_view *view = queue_view(store->queue);
	char oldest[64], name[QUEUE_STATE_NAME_SIZE];
	struct queue_op *op = NULL;
	struct queue_bytes value;
	bool is_more = view != NULL, is_mail = begins_with(store->swept, MAIL_PREFIX);

	day_prefix(today - TLSRPT_STORE_DAYS, oldest);
	forget_days(store, today - TLSRPT_STORE_DAYS);
	for (int i = 0; is_more && i < SWEPT_AT_ONCE; i++) {
		is_more = queue_view_state_next(view, store->swept, name, &value) == QUEUE_OK &&
			  (is_mail ? begins_with(name, MAIL_PREFIX)
				   : begins_with(name, PREFIX) && strcmp(name, oldest) < 0);
		if (!is_more)
			break;
		memcpy(store->swept, name, sizeof name);
		if (is_mail && has_waiting(view, value))
			continue;
		op = op ? op : queue_op_new(store->queue);
		queue_op_state(op, name, (struct queue_bytes){ "", 0 });
	}
	if (op)
		queue_op_submit(op, NULL, NULL);
	/* First the days, then the mails. */
	if (!is_more)
		snprintf(store->swept, sizeof store->swept, "%s", is_mail ? PREFIX : MAIL_PREFIX);
	return is_more || !is_mail;
}

/* ---------------------------------------------------------------- our own mails */

bool tlsrpt_store_has_mail(struct tlsrpt_store *store, const char *domain)
{
	struct queue_view *view = queue_view(store->queue);
	char name[QUEUE_STATE_NAME_SIZE];
	struct queue_bytes ids;

	name_of(MAIL_PREFIX, domain, name);
	return view && queue_view_state(view, name, &ids) == QUEUE_OK && has_waiting(view, ids);
}

void tlsrpt_store_put_mail(struct tlsrpt_store *store, struct queue_op *op, const char *domain, uint64_t id)
{
	struct queue_view *view = queue_view(store->queue);
	char name[QUEUE_STATE_NAME_SIZE], list[TLSRPT_STORE_MAILS * ID_LEN];
	struct queue_bytes ids = { "", 0 };
	size_t len = 0;

	name_of(MAIL_PREFIX, domain, name);
	if (view && queue_view_state(view, name, &ids) != QUEUE_OK)
		ids.len = 0;
	for (size_t at = 0; view && at + ID_LEN <= ids.len && len + ID_LEN < sizeof list; at += ID_LEN) {
		struct queue_bytes one = { (const char *)ids.data + at, ID_LEN };

		if (!has_waiting(view, one))
			continue;
		memcpy(list + len, one.data, ID_LEN);
		len += ID_LEN;
	}
	for (int i = 0; i < ID_LEN; i++)
		list[len + (size_t)i] = (char)(id >> (56 - 8 * i));
	queue_op_state(op, name, (struct queue_bytes){ list, len + ID_LEN });
}
