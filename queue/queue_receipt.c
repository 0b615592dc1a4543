#include "queue/internal.h"
#include "queue/receipt.h"

#include <stdlib.h>
#include <string.h>

struct queue_receipt *queue_receipt_new(struct queue *q)
{
	struct queue_receipt *r = calloc(1, sizeof *r);

	if (!r)
		abort();
	r->q = q;
	r->hash = q->config.hash.new();
	return r;
}

uint64_t queue_receipt_size(const struct queue_receipt *r)
{
	return r->size_bytes;
}

/* ---------------------------------------------------------------- back-pressure */

static bool has_room(const struct queue_receipt *r, size_t len)
{
	const struct queue *q = r->q;

	if (q->ops_under_way >= INTERNAL_OPS)
		return false;
	if (r->len + len <= RECORD_CHUNK)
		return true;
	/* One that has nothing under way may always go on: no receipt waits for ever. */
	return r->jobs == 0 || (r->bytes_under_way + RECORD_CHUNK <= INTERNAL_RECEIPT_BYTES &&
				q->bytes_under_way + RECORD_CHUNK <= INTERNAL_TOTAL_BYTES);
}

bool queue_receipt_is_ready(const struct queue_receipt *r)
{
	return r->err != QUEUE_OK || has_room(r, RECORD_CHUNK);
}

void queue_receipt_on_ready(struct queue_receipt *r, void (*ready)(void *arg), void *arg)
{
	r->ready = ready;
	r->arg = arg;
}

static void wait_for_room(struct queue_receipt *r)
{
	if (r->is_waiting)
		return;
	r->is_waiting = true;
	r->next = r->q->waiting;
	r->q->waiting = r;
}

static void stop_waiting(struct queue_receipt *r)
{
	struct queue_receipt **p = &r->q->waiting;

	if (!r->is_waiting)
		return;
	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	r->is_waiting = false;
	r->next = NULL;
}

void queue_receipt_wake(struct queue *q)
{
	struct queue_receipt *r = q->waiting, **end = &q->waiting;

	/* Callbacks may free receipts, or make them wait again: start over after each. */
	while (r) {
		if (!queue_receipt_is_ready(r)) {
			r = r->next;
			continue;
		}
		stop_waiting(r);
		if (r->ready)
			r->ready(r->arg);
		r = *end;
	}
}

/* ---------------------------------------------------------------- bytes in */

static enum queue_err reserve(struct queue_receipt *r, size_t need)
{
	size_t capacity = r->capacity ? r->capacity : 2048;
	uint8_t *p;

	if (need <= r->capacity)
		return QUEUE_OK;
	while (capacity < need)
		capacity *= 2;
	if (capacity > RECORD_CHUNK)
		capacity = RECORD_CHUNK;
	p = queue_internal_must_fail(r->q, "alloc") ? NULL : realloc(r->buffer, capacity);
	if (!p)
		return QUEUE_NO_MEMORY;
	r->buffer = p;
	r->capacity = capacity;
	return QUEUE_OK;
}

static void job_answered(void *arg, enum queue_err err, uint64_t bytes)
{
	queue_receipt_job_done(arg, (size_t)bytes, err);
}

/* The full buffer becomes a job of the writer. */
static enum queue_err send_chunk(struct queue_receipt *r)
{
	struct queue_op *op = op_new(r->q);
	struct op_step *s = op_step(op, OP_CHUNK);

	if (!s) {
		op_free(op);
		return QUEUE_NO_MEMORY;
	}
	if (r->stream.body == 0)
		r->stream.body = r->q->next_body++;
	s->chunk.stream = &r->stream;
	s->chunk.data = r->buffer;
	s->chunk.len = r->len;
	s->chunk.n = r->chunks_sent++;
	op->id = r->len; /* handed back to job_answered() */
	op->bytes += r->len;
	op->done = job_answered;
	op->arg = r;
	r->jobs++;
	r->bytes_under_way += r->len;
	r->q->bytes_under_way += r->len;
	r->buffer = NULL;
	r->len = r->capacity = 0;
	queue_internal_submit(r->q, op);
	return QUEUE_OK;
}

/* A full buffer is sent only when more comes: the last chunk goes with the accept. */
static enum queue_err take(struct queue_receipt *r, const uint8_t *data, size_t len)
{
	enum queue_err err = QUEUE_OK;
	size_t part;

	while (len > 0 && err == QUEUE_OK) {
		if (r->len == RECORD_CHUNK && (err = send_chunk(r)) != QUEUE_OK)
			break;
		part = RECORD_CHUNK - r->len < len ? RECORD_CHUNK - r->len : len;
		err = reserve(r, r->len + part);
		if (err != QUEUE_OK)
			break;
		memcpy(r->buffer + r->len, data, part);
		r->len += part;
		data += part;
		len -= part;
	}
	return err;
}

enum queue_err queue_receipt_append(struct queue_receipt *r, const void *data, size_t len)
{
	struct queue *q = r->q;

	if (r->err != QUEUE_OK)
		return r->err;
	if (r->size_bytes + len > q->shared.max_message_bytes)
		return r->err = QUEUE_TOO_BIG;
	if (!has_room(r, len)) {
		wait_for_room(r);
		return QUEUE_BUSY;
	}
	/* A small piece may fit before the one that waits would: then nothing is owed any more, and the accept may take the
	 * receipt's place in the list for its own. */
	stop_waiting(r);
	/* Whether it is a report, which may use the reserve, shows at the accept. */
	r->err = queue_internal_room(q, len, true);
	if (r->err != QUEUE_OK)
		return r->err;
	q->config.hash.update(r->hash, data, len);
	q->receiving_bytes += len;
	r->size_bytes += len;
	return r->err = take(r, data, len);
}

/* ---------------------------------------------------------------- the end */

static void dispose(struct queue_receipt *r)
{
	r->q->config.hash.free(r->hash);
	free(r->buffer);
	free(r);
}

static void disown(struct queue_receipt *r)
{
	struct queue_op *op = op_new(r->q);
	struct op_step *s = op_step(op, OP_DISOWN);

	/* A new operation has room for one step. */
	if (!s)
		abort();
	s->body = r->stream.body;
	queue_internal_submit(r->q, op);
}

static void give_up(struct queue_receipt *r)
{
	stop_waiting(r);
	r->q->receiving_bytes -= r->size_bytes;
	if (r->stream.body)
		disown(r);
	if (r->jobs) {
		r->is_given_up = true;
		return;
	}
	dispose(r);
}

void queue_receipt_free(struct queue_receipt *r)
{
	if (r)
		give_up(r);
}

void queue_receipt_job_done(struct queue_receipt *r, size_t bytes, enum queue_err err)
{
	r->jobs--;
	r->bytes_under_way -= bytes;
	r->q->bytes_under_way -= bytes;
	if (err != QUEUE_OK && r->err == QUEUE_OK)
		r->err = err;
	if (r->is_given_up && r->jobs == 0)
		dispose(r);
}

void queue_receipt_finish(struct queue_receipt *r, enum queue_err err)
{
	if (err == QUEUE_OK)
		r->stream.body = 0;
	give_up(r);
}
