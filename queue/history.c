#include "queue/history.h"

#include <string.h>

static uint64_t charge(size_t record_len)
{
	return KEY_HISTORY + KEY_HISTORY_OF + record_len;
}

static enum queue_err delete_record(struct apply *a, struct queue_history_at at, size_t record_len)
{
	uint8_t key[KEY_HISTORY], of[KEY_HISTORY_OF];

	key_history(key, at.at_ms, at.id, at.n);
	key_history_of(of, at.id, at.at_ms, at.n);
	store_del(a->txn, STORE_HISTORY, key, sizeof key);
	store_del(a->txn, STORE_HISTORY, of, sizeof of);
	a->c.history_records -= a->c.history_records > 0;
	a->c.history_bytes -= charge(record_len) < a->c.history_bytes ? charge(record_len) : a->c.history_bytes;
	return a->txn->err;
}

static enum queue_err oldest(struct apply *a, struct queue_history_at *out, size_t *out_len)
{
	static const uint8_t first[1] = { 0 };
	struct queue_bytes key, value;
	enum queue_err err = store_seek(a->txn, STORE_HISTORY, first, sizeof first, &key, &value);

	if (err != QUEUE_OK)
		return err;
	if (!key_history_read(key, out))
		return QUEUE_NOT_FOUND;
	*out_len = value.len;
	return QUEUE_OK;
}

/* Deletes up to `count` records while there are more bytes than the bound or they are older than `before_ms`. */
static enum queue_err delete_old(struct apply *a, int64_t before_ms, size_t count)
{
	struct queue_history_at at;
	size_t len = 0;
	enum queue_err err = QUEUE_OK;

	for (; count > 0 && err == QUEUE_OK; count--) {
		err = oldest(a, &at, &len);
		if (err != QUEUE_OK)
			break;
		if (a->c.history_bytes <= a->shared->history_max_bytes && (int64_t)at.at_ms >= before_ms)
			break;
		err = delete_record(a, at, len);
	}
	return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
}

enum queue_err history_trim(struct apply *a, int64_t now_ms, size_t count)
{
	return delete_old(a, now_ms - a->shared->history_ms, count);
}

enum queue_err history_add(struct apply *a, const struct queue_outcome *outcome)
{
	struct queue_outcome o = *outcome;
	uint8_t key[KEY_HISTORY], of[KEY_HISTORY_OF], *out;
	uint64_t at_ms = o.at_ms > 0 ? (uint64_t)o.at_ms : 0;
	size_t len;

	o.attempts = a->rcpt.attempts;
	o.address = a->rcpt.address;
	o.sender = a->env.e.sender;
	o.submitter = a->env.e.submitter;
	o.message_id = a->env.e.message_id;
	o.subject = a->env.e.subject;
	o.uid = a->env.e.uid;
	o.arrival_ms = a->env.e.arrival_ms;
	o.size_bytes = a->env.e.size_bytes;
	len = record_outcome_size(&o);
	if (len == 0)
		return store_fail(a->txn, QUEUE_INVALID);
	key_history(key, at_ms, a->id, o.n);
	key_history_of(of, a->id, at_ms, o.n);
	out = store_reserve(a->txn, STORE_HISTORY, key, sizeof key, len);
	if (!out)
		return a->txn->err;
	record_outcome_encode(out, &o);
	store_put(a->txn, STORE_HISTORY, of, sizeof of, "", 0);
	a->c.history_records++;
	a->c.history_bytes += charge(len);
	/* Two for one, so that a lowered bound is reached too. */
	return a->c.history_bytes > a->shared->history_max_bytes ? delete_old(a, 0, 2) : a->txn->err;
}

/* ---------------------------------------------------------------- reading */

static enum queue_err read_outcome(struct queue_bytes value, const struct queue_history_at *at,
				   struct queue_outcome *out)
{
	if (!record_outcome_decode(value, out))
		return QUEUE_DAMAGED;
	out->id = at->id;
	out->n = at->n;
	out->at_ms = (int64_t)at->at_ms;
	return QUEUE_OK;
}

enum queue_err history_before(struct store_txn *t, struct queue_history_at *at, struct queue_outcome *out)
{
	uint8_t from[KEY_HISTORY];
	struct queue_bytes key, value;
	struct queue_history_at found;
	enum queue_err err;

	/* Keys that begin with 0xff belong to the index. */
	key_history(from, at->at_ms >> 56 == 0xff ? (uint64_t)0xff << 56 : at->at_ms, at->id, at->n);
	err = store_seek_before(t, STORE_HISTORY, from, at->at_ms >> 56 == 0xff ? 1 : sizeof from, &key, &value);
	if (err != QUEUE_OK)
		return err;
	if (!key_history_read(key, &found))
		return QUEUE_DAMAGED;
	*at = found;
	return read_outcome(value, at, out);
}

enum queue_err history_of_after(struct store_txn *t, uint64_t id, struct queue_history_at *after,
				struct queue_outcome *out)
{
	uint8_t from[KEY_HISTORY_OF], key[KEY_HISTORY];
	struct queue_bytes of, value;
	struct queue_history_at at;
	enum queue_err err;

	key_history_of(from, id, after->at_ms, after->n);
	err = store_seek(t, STORE_HISTORY, from, sizeof from, &of, NULL);
	if (err == QUEUE_OK && after->id == id && of.len == sizeof from && memcmp(of.data, from, sizeof from) == 0)
		err = store_next(t, STORE_HISTORY, &of, NULL);
	if (err != QUEUE_OK)
		return err;
	if (!key_history_of_read(of, &at))
		return QUEUE_DAMAGED;
	if (at.id != id)
		return QUEUE_NOT_FOUND;
	key_history(key, at.at_ms, at.id, at.n);
	err = store_get(t, STORE_HISTORY, key, sizeof key, &value);
	if (err != QUEUE_OK)
		return err == QUEUE_NOT_FOUND ? QUEUE_DAMAGED : err;
	*after = at;
	return read_outcome(value, &at, out);
}
