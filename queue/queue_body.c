#include "queue/internal.h"
#include "queue/key.h"

#include <string.h>

enum queue_err queue_body_open(struct queue_view *v, uint64_t id, struct queue_body_reader *out)
{
	uint8_t key[KEY_MAIL];
	struct record_envelope r;
	struct queue_bytes value;
	enum queue_err err;

	key_mail(key, id, KEY_ENVELOPE, 0);
	err = store_get(&v->txn, STORE_MAIL, key, sizeof key, &value);
	if (err != QUEUE_OK)
		return err;
	if (!record_envelope_decode(value, &r))
		return QUEUE_DAMAGED;
	*out = (struct queue_body_reader){ .q = v->q,
					   .id = id,
					   .chunks_at = r.body ? r.body : id,
					   .chunks = r.e.chunks,
					   .left_bytes = r.e.size_bytes };
	memcpy(out->sha256, r.e.sha256, sizeof out->sha256);
	out->hash = v->q->config.hash.new();
	return QUEUE_OK;
}

static bool digest_is_right(struct queue_body_reader *r)
{
	uint8_t digest[32];

	r->q->config.hash.final(r->hash, digest);
	return memcmp(digest, r->sha256, sizeof digest) == 0;
}

/* Chunks are full but for the last one, and together they have the size that the envelope says. */
static bool length_is_right(const struct queue_body_reader *r, size_t len)
{
	bool is_last = r->next + 1 == r->chunks;

	return is_last ? len == r->left_bytes : len > 0 && len < r->left_bytes;
}

enum queue_err queue_body_next(struct queue_body_reader *r, struct queue_view *v, struct queue_bytes *out)
{
	uint8_t key[KEY_MAIL];
	struct queue_bytes chunk;
	enum queue_err err;

	if (r->next > r->chunks)
		return QUEUE_CORRUPT; /* it said so before */
	if (r->next == r->chunks) {
		/* An empty body has a digest too. */
		if (r->chunks == 0 && !digest_is_right(r)) {
			r->next = r->chunks + 1;
			return QUEUE_CORRUPT;
		}
		*out = (struct queue_bytes){ 0 };
		return QUEUE_OK;
	}
	key_mail(key, r->chunks_at, KEY_BODY, r->next);
	err = store_get(&v->txn, STORE_MAIL, key, sizeof key, &chunk);
	if (err == QUEUE_NOT_FOUND) {
		/* The message left meanwhile, or a chunk is missing. */
		key_mail(key, r->id, KEY_ENVELOPE, 0);
		err = store_get(&v->txn, STORE_MAIL, key, sizeof key, &chunk);
		return err == QUEUE_OK ? QUEUE_CORRUPT : err;
	}
	if (err != QUEUE_OK)
		return err;
	if (length_is_right(r, chunk.len))
		r->q->config.hash.update(r->hash, chunk.data, chunk.len);
	if (!length_is_right(r, chunk.len) || (r->next + 1 == r->chunks && !digest_is_right(r))) {
		r->next = r->chunks + 1;
		return QUEUE_CORRUPT;
	}
	r->left_bytes -= chunk.len;
	r->next++;
	*out = chunk;
	return QUEUE_OK;
}

void queue_body_close(struct queue_body_reader *r)
{
	if (r->hash)
		r->q->config.hash.free(r->hash);
	r->hash = NULL;
}
