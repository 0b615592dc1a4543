#include "queue/body.h"

enum { SWEEP_CHUNKS = 64, DROP_AT_ONCE = 16 };

static enum queue_err load_loose(struct apply *a, uint64_t body, struct record_loose *out)
{
	uint8_t key[KEY_NUMBER];
	struct queue_bytes value;
	enum queue_err err;

	key_number(key, 'r', body);
	err = store_get(a->txn, STORE_STATE, key, sizeof key, &value);
	if (err == QUEUE_OK && !record_loose_decode(value, out))
		return QUEUE_DAMAGED;
	return err;
}

static enum queue_err save_loose(struct apply *a, uint64_t body, const struct record_loose *loose)
{
	uint8_t key[KEY_NUMBER], record[RECORD_LOOSE_SIZE];

	key_number(key, 'r', body);
	record_loose_encode(record, loose);
	return store_put(a->txn, STORE_STATE, key, sizeof key, record, sizeof record);
}

static enum queue_err drop_number(struct apply *a, char kind, uint64_t body)
{
	uint8_t key[KEY_NUMBER];

	key_number(key, kind, body);
	return store_del(a->txn, STORE_STATE, key, sizeof key);
}

static enum queue_err put_chunk(struct apply *a, uint64_t id, uint32_t n, const void *data, size_t len)
{
	uint8_t key[KEY_MAIL];

	key_mail(key, id, KEY_BODY, n);
	return store_put(a->txn, STORE_MAIL, key, sizeof key, data, len);
}

static void drop_chunk(struct apply *a, uint64_t id, uint32_t n)
{
	uint8_t key[KEY_MAIL];

	key_mail(key, id, KEY_BODY, n);
	store_del(a->txn, STORE_MAIL, key, sizeof key);
}

enum queue_err body_chunk(struct apply *a, const struct op_step *s)
{
	struct op_stream *stream = s->chunk.stream;
	struct record_loose loose = { 0 };
	enum queue_err err;

	if (stream->err != QUEUE_OK)
		return stream->err;
	/* Whether it is a report, which may use the reserve, shows at the accept. */
	if (a->reports != QUEUE_OK)
		return a->reports;
	if (s->chunk.n > 0) {
		err = load_loose(a, stream->body, &loose);
		if (err != QUEUE_OK)
			return err == QUEUE_NOT_FOUND ? QUEUE_INVALID : err;
	}
	if (loose.chunks != s->chunk.n || loose.is_garbage)
		return QUEUE_INVALID;
	loose.chunks++;
	put_chunk(a, stream->body, s->chunk.n, s->chunk.data, s->chunk.len);
	if (stream->body >= a->c.next_body)
		a->c.next_body = stream->body + 1;
	return save_loose(a, stream->body, &loose);
}

enum queue_err body_disown(struct apply *a, uint64_t body)
{
	struct record_loose loose;
	enum queue_err err = load_loose(a, body, &loose);

	if (err != QUEUE_OK)
		return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
	loose.is_garbage = true;
	a->has_garbage = true;
	return save_loose(a, body, &loose);
}

enum queue_err body_is_whole(struct apply *a, const struct op_accept *accept)
{
	struct record_loose loose;
	enum queue_err err;

	if (!accept->stream)
		return QUEUE_OK;
	if (accept->stream->err != QUEUE_OK)
		return accept->stream->err;
	err = load_loose(a, accept->stream->body, &loose);
	if (err != QUEUE_OK)
		return err == QUEUE_NOT_FOUND ? QUEUE_INVALID : err;
	return loose.chunks + 1 == accept->chunks && !loose.is_garbage ? QUEUE_OK : QUEUE_INVALID;
}

enum queue_err body_finish(struct apply *a, uint64_t id, const struct op_accept *accept)
{
	uint8_t key[KEY_NUMBER], owner[8];
	uint64_t body;

	if (!accept->stream)
		return accept->tail_len ? put_chunk(a, id, 0, accept->tail, accept->tail_len) : QUEUE_OK;
	body = accept->stream->body;
	put_chunk(a, body, accept->chunks - 1, accept->tail, accept->tail_len);
	drop_number(a, 'r', body);
	key_number(key, 'b', body);
	key_put64(owner, id);
	return store_put(a->txn, STORE_STATE, key, sizeof key, owner, sizeof owner);
}

void body_drop(struct apply *a)
{
	uint64_t body = a->env.body;

	if (body)
		drop_number(a, 'b', body);
	if (a->env.e.chunks > DROP_AT_ONCE && body) {
		save_loose(a, body, &(struct record_loose){ .chunks = a->env.e.chunks, .is_garbage = true });
		a->has_garbage = true;
		return;
	}
	for (uint32_t n = 0; n < a->env.e.chunks && a->txn->err == QUEUE_OK; n++)
		drop_chunk(a, body ? body : a->id, n);
}

/* ---------------------------------------------------------------- sweeping */

/* The first record of garbage at or behind *body. Live receipts are passed over: there are few of them. */
static enum queue_err find_garbage(struct apply *a, uint64_t first_body, uint64_t *body, struct record_loose *out)
{
	uint8_t from[KEY_NUMBER];
	struct queue_bytes key, value;
	enum queue_err err;

	key_number(from, 'r', *body);
	err = store_seek(a->txn, STORE_STATE, from, sizeof from, &key, &value);
	for (; err == QUEUE_OK; err = store_next(a->txn, STORE_STATE, &key, &value)) {
		if (!key_number_read(key, 'r', body))
			return QUEUE_NOT_FOUND;
		if (record_loose_decode(value, out) && (out->is_garbage || *body < first_body))
			return QUEUE_OK;
	}
	return err;
}

enum queue_err body_sweep(struct apply *a, uint64_t first_body, bool *out_more)
{
	struct record_loose loose;
	uint64_t body = 0;
	uint32_t budget = SWEEP_CHUNKS;
	enum queue_err err = QUEUE_OK;

	while (budget > 0 && (err = find_garbage(a, first_body, &body, &loose)) == QUEUE_OK) {
		loose.is_garbage = true;
		for (; budget > 0 && loose.chunks > 0; budget--)
			drop_chunk(a, body, --loose.chunks);
		err = loose.chunks ? save_loose(a, body, &loose) : drop_number(a, 'r', body);
		if (err != QUEUE_OK)
			return err;
		if (budget > 0)
			budget--; /* an empty one costs too */
	}
	*out_more = err != QUEUE_NOT_FOUND;
	return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
}
