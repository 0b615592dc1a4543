#include "queue/flow.h"

#include <string.h>

enum { RECORD_MAX = 2 * (RECORD_FLOW_MAX + 3) + 32, NUMBERS_TRIED = 1000 };

static bool is_same(const struct queue_flow *a, const struct queue_flow *b)
{
	return a->band == b->band && strcmp(a->target, b->target) == 0 && strcmp(a->submitter, b->submitter) == 0;
}

enum queue_err flow_get(struct store_txn *t, uint32_t flow_id, struct record_flow *out)
{
	uint8_t key[KEY_FLOW];
	struct queue_bytes value;
	enum queue_err err;

	key_flow(key, flow_id);
	err = store_get(t, STORE_STATE, key, sizeof key, &value);
	if (err == QUEUE_OK && !record_flow_decode(value, out))
		return QUEUE_DAMAGED;
	return err;
}

enum queue_err flow_after(struct store_txn *t, uint32_t after, uint32_t *out_id, struct record_flow *out)
{
	uint8_t from[KEY_FLOW];
	struct queue_bytes key, value;
	enum queue_err err;
	uint32_t id;

	if (after == UINT32_MAX)
		return QUEUE_NOT_FOUND;
	key_flow(from, after + 1);
	err = store_seek(t, STORE_STATE, from, sizeof from, &key, &value);
	if (err != QUEUE_OK)
		return err;
	if (!key_flow_read(key, &id))
		return QUEUE_NOT_FOUND;
	if (!record_flow_decode(value, out))
		return QUEUE_DAMAGED;
	*out_id = id;
	return QUEUE_OK;
}

/* Equal hashes lie side by side; the flow's own record decides. */
static enum queue_err find(struct store_txn *t, const struct queue_flow *name, uint64_t hash, uint32_t *out_id)
{
	uint8_t from[KEY_FLOW_NAME];
	struct queue_bytes key;
	struct record_flow f;
	uint64_t found;
	uint32_t id = 0;
	enum queue_err err;

	for (;;) {
		key_flow_name(from, hash, id);
		err = store_seek(t, STORE_STATE, from, sizeof from, &key, NULL);
		if (err != QUEUE_OK)
			return err;
		if (!key_flow_name_read(key, &found, &id) || found != hash)
			return QUEUE_NOT_FOUND;
		err = flow_get(t, id, &f);
		if (err != QUEUE_OK)
			return store_fail(t, err == QUEUE_NOT_FOUND ? QUEUE_DAMAGED : err);
		if (is_same(&f.flow, name)) {
			*out_id = id;
			return QUEUE_OK;
		}
		if (id++ == UINT32_MAX)
			return QUEUE_NOT_FOUND;
	}
}

/* After four thousand million flows numbers come around: take one that is not in use. */
static enum queue_err new_number(struct apply *a, uint32_t *out_id)
{
	struct record_flow f;
	uint32_t id;

	for (int i = 0; i < NUMBERS_TRIED; i++) {
		id = (uint32_t)a->c.next_flow++;
		if (id == 0)
			continue;
		if (a->c.next_flow <= UINT32_MAX || flow_get(a->txn, id, &f) == QUEUE_NOT_FOUND) {
			*out_id = id;
			return QUEUE_OK;
		}
	}
	return QUEUE_BUSY;
}

static enum queue_err save(struct apply *a, uint32_t id, const struct record_flow *f)
{
	uint8_t key[KEY_FLOW], record[RECORD_MAX];

	key_flow(key, id);
	record_flow_encode(record, f);
	return store_put(a->txn, STORE_STATE, key, sizeof key, record, record_flow_size(f));
}

enum queue_err flow_intern(struct apply *a, const struct queue_flow *name, uint32_t *out_id)
{
	uint64_t hash = record_flow_hash(name);
	struct record_flow f = { .flow = *name };
	uint8_t key[KEY_FLOW_NAME];
	enum queue_err err = find(a->txn, name, hash, out_id);

	if (err != QUEUE_NOT_FOUND)
		return err;
	err = new_number(a, out_id);
	if (err != QUEUE_OK)
		return err;
	key_flow_name(key, hash, *out_id);
	store_put(a->txn, STORE_STATE, key, sizeof key, "", 0);
	return save(a, *out_id, &f);
}

/* ---------------------------------------------------------------- due entries and wake times */

static void put_timer(struct apply *a, uint32_t id, int64_t when_ms)
{
	uint8_t key[KEY_TIMER];

	if (when_ms == 0)
		return;
	key_timer(key, (struct queue_timer){ .when_ms = when_ms, .kind = QUEUE_TIMER_FLOW, .id = id });
	store_put(a->txn, STORE_SCHEDULE, key, sizeof key, "", 0);
}

static void drop_timer(struct apply *a, uint32_t id, int64_t when_ms)
{
	uint8_t key[KEY_TIMER];

	if (when_ms == 0)
		return;
	key_timer(key, (struct queue_timer){ .when_ms = when_ms, .kind = QUEUE_TIMER_FLOW, .id = id });
	store_del(a->txn, STORE_SCHEDULE, key, sizeof key);
}

/* `f` may point into the store: it is saved before anything else is written. */
static enum queue_err set_wake(struct apply *a, uint32_t id, struct record_flow *f, int64_t when_ms)
{
	int64_t old_ms = f->wake_ms;
	enum queue_err err;

	if (when_ms == old_ms)
		return QUEUE_OK;
	f->wake_ms = when_ms;
	err = save(a, id, f);
	drop_timer(a, id, old_ms);
	put_timer(a, id, when_ms);
	return err;
}

enum queue_err flow_add(struct apply *a, uint32_t flow_id, int64_t due_ms, uint64_t id, uint32_t n)
{
	uint8_t key[KEY_DUE];
	struct record_flow f;
	enum queue_err err = flow_get(a->txn, flow_id, &f);

	if (err != QUEUE_OK)
		return store_fail(a->txn, err == QUEUE_NOT_FOUND ? QUEUE_DAMAGED : err);
	/* Zero means "no timer": the first moment of time is its second millisecond. */
	if (due_ms < 1)
		due_ms = 1;
	op_news_flow(a->op, flow_id, &f.flow, due_ms);
	if (f.wake_ms == 0 || due_ms < f.wake_ms)
		set_wake(a, flow_id, &f, due_ms);
	key_due(key, flow_id, due_ms, id, n);
	return store_put(a->txn, STORE_SCHEDULE, key, sizeof key, "", 0);
}

void flow_remove(struct apply *a, uint32_t flow_id, int64_t due_ms, uint64_t id, uint32_t n)
{
	uint8_t key[KEY_DUE];

	key_due(key, flow_id, due_ms < 1 ? 1 : due_ms, id, n);
	store_del(a->txn, STORE_SCHEDULE, key, sizeof key);
}

static enum queue_err first_due(struct apply *a, uint32_t flow_id, int64_t *out_due_ms)
{
	uint8_t from[KEY_DUE];
	struct queue_bytes key;
	struct queue_due due;
	uint32_t flow;
	enum queue_err err;

	key_due(from, flow_id, 0, 0, 0);
	err = store_seek(a->txn, STORE_SCHEDULE, from, sizeof from, &key, NULL);
	if (err != QUEUE_OK)
		return err;
	if (!key_due_read(key, &flow, &due) || flow != flow_id)
		return QUEUE_NOT_FOUND;
	*out_due_ms = due.due_ms;
	return QUEUE_OK;
}

static enum queue_err forget(struct apply *a, uint32_t id, const struct record_flow *f)
{
	uint8_t key[KEY_FLOW_NAME];
	uint64_t hash = record_flow_hash(&f->flow);
	int64_t wake_ms = f->wake_ms;

	key_flow_name(key, hash, id);
	store_del(a->txn, STORE_STATE, key, sizeof key);
	key_flow(key, id);
	store_del(a->txn, STORE_STATE, key, KEY_FLOW);
	drop_timer(a, id, wake_ms);
	return a->txn->err;
}

/* Forgotten without entries; else it wakes at the first of them, within these bounds. */
static enum queue_err sleep_between(struct apply *a, uint32_t flow_id, int64_t from_ms, int64_t limit_ms)
{
	struct record_flow f;
	int64_t due_ms = 0;
	enum queue_err err = flow_get(a->txn, flow_id, &f);

	if (err == QUEUE_NOT_FOUND)
		return QUEUE_OK; /* forgotten already */
	if (err != QUEUE_OK)
		return err;
	err = first_due(a, flow_id, &due_ms);
	if (err == QUEUE_NOT_FOUND)
		return forget(a, flow_id, &f);
	if (err != QUEUE_OK)
		return err;
	if (due_ms < from_ms)
		due_ms = from_ms;
	return set_wake(a, flow_id, &f, due_ms < limit_ms ? due_ms : limit_ms);
}

enum queue_err flow_rest(struct apply *a, uint32_t flow_id, int64_t limit_ms)
{
	return sleep_between(a, flow_id, 1, limit_ms < 1 ? 1 : limit_ms);
}

enum queue_err flow_park(struct apply *a, uint32_t flow_id, int64_t until_ms)
{
	return sleep_between(a, flow_id, until_ms < 1 ? 1 : until_ms, INT64_MAX);
}
