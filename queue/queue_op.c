#include "queue/internal.h"
#include "queue/receipt.h"

#include <stdlib.h>
#include <string.h>

enum { RCPTS_MAX = 100000, STATE_VALUE_MAX = 65536 };

struct queue_op *queue_op_new(struct queue *q)
{
	return op_new(q);
}

void queue_op_free(struct queue_op *op)
{
	struct queue_receipt *next;

	if (!op)
		return;
	for (struct queue_receipt *r = op->receipts; r; r = next) {
		next = r->next;
		r->next = NULL;
		queue_receipt_free(r);
	}
	op_free(op);
}

void queue_op_patience(struct queue_op *op, uint32_t ms)
{
	op->patience_ms = ms;
}

static void refuse(struct queue_op *op, enum queue_err err)
{
	if (op->err == QUEUE_OK)
		op->err = err;
}

static struct queue_flow copy_flow(struct queue_op *op, const struct queue_flow *flow)
{
	return (struct queue_flow){ .target = op_text(op, flow->target, RECORD_FLOW_MAX),
				    .submitter = op_text(op, flow->submitter, RECORD_FLOW_MAX),
				    .band = flow->band };
}

void queue_op_submit(struct queue_op *op, queue_done_fn *done, void *arg)
{
	op->done = done;
	op->arg = arg;
	if (op->first && op->first->kind == OP_ACCEPT && op->q->ops_under_way >= 2 * INTERNAL_OPS)
		refuse(op, QUEUE_BUSY);
	queue_internal_submit(op->q, op);
}

/* ---------------------------------------------------------------- accept */

/* Where the schedule first looks at it. */
static int64_t first_due(const struct queue_envelope *e, const struct queue_rcpt *r)
{
	int64_t due_ms = r->due_ms ? r->due_ms : e->arrival_ms;

	return due_ms < e->hold_until_ms ? e->hold_until_ms : due_ms;
}

static void encode_rcpts(struct queue_op *op, struct op_accept *accept, const struct queue_envelope *e,
			 const struct queue_rcpt *rcpts)
{
	for (uint32_t n = 0; n < accept->rcpt_count; n++) {
		struct queue_rcpt r = rcpts[n];
		struct op_rcpt *out = &accept->rcpts[n];

		r.n = n;
		r.flow_id = 0;
		r.state = QUEUE_RCPT_WAITING;
		r.due_ms = first_due(e, &rcpts[n]);
		out->flow = copy_flow(op, &rcpts[n].flow);
		out->due_ms = r.due_ms;
		out->len = record_rcpt_size(&r);
		out->record = op_alloc(op, out->len);
		if (!out->record)
			return;
		if (out->len == 0) {
			refuse(op, QUEUE_INVALID);
			return;
		}
		record_rcpt_encode(out->record, &r);
	}
}

static void encode_envelope(struct queue_op *op, struct op_accept *accept, const struct record_envelope *r)
{
	accept->envelope_len = record_envelope_size(r);
	if (accept->envelope_len == 0) {
		refuse(op, QUEUE_INVALID);
		return;
	}
	accept->envelope = op_alloc(op, accept->envelope_len);
	if (accept->envelope)
		record_envelope_encode(accept->envelope, r);
}

/* Times of which 0 means never. */
static int64_t earlier(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static int64_t deliver_by(const struct queue_envelope *e, uint32_t mode)
{
	return e->flags & mode ? e->deliver_by_ms : 0;
}

static struct record_envelope complete(struct queue_receipt *receipt, const struct queue_envelope *envelope,
				       size_t count)
{
	struct record_envelope r = { .e = *envelope, .body = receipt->stream.body };

	r.e.size_bytes = receipt->size_bytes;
	r.e.chunks = receipt->chunks_sent + (receipt->len > 0);
	r.e.rcpt_count = (uint32_t)count;
	receipt->q->config.hash.final(receipt->hash, r.e.sha256);
	r.timer_ms[QUEUE_TIMER_WARN] = earlier(envelope->warn_ms, deliver_by(envelope, QUEUE_BY_NOTIFY));
	r.timer_ms[QUEUE_TIMER_EXPIRE] = earlier(envelope->expires_ms, deliver_by(envelope, QUEUE_BY_RETURN));
	r.timer_ms[QUEUE_TIMER_RELEASE] = envelope->flags & QUEUE_HELD ? envelope->hold_until_ms : 0;
	return r;
}

static void take_body(struct queue_op *op, struct op_accept *accept, struct queue_receipt *receipt)
{
	accept->tail = receipt->buffer;
	accept->tail_len = receipt->len;
	accept->stream = receipt->stream.body ? &receipt->stream : NULL;
	op->bytes += receipt->len;
	receipt->buffer = NULL;
	receipt->len = receipt->capacity = 0;
}

void queue_op_accept(struct queue_op *op, struct queue_receipt *receipt, const struct queue_envelope *envelope,
		     const struct queue_rcpt *rcpts, size_t count)
{
	struct op_step *s = op_step(op, OP_ACCEPT);
	struct record_envelope r;

	receipt->next = op->receipts;
	op->receipts = receipt;
	if (!s)
		return;
	if (receipt->err != QUEUE_OK)
		refuse(op, receipt->err);
	if (count == 0 || count > RCPTS_MAX) {
		refuse(op, QUEUE_INVALID);
		return;
	}
	r = complete(receipt, envelope, count);
	s->id = envelope->id ? envelope->id : queue_next_id(op->q, envelope->arrival_ms);
	if (s->id < RECORD_FIRST_ID)
		refuse(op, QUEUE_INVALID);
	op->id = s->id;
	s->accept.rcpts = op_alloc(op, count * sizeof *s->accept.rcpts);
	if (!s->accept.rcpts)
		return;
	s->accept.rcpt_count = (uint32_t)count;
	s->accept.size_bytes = r.e.size_bytes;
	s->accept.chunks = r.e.chunks;
	s->accept.flags = r.e.flags;
	memcpy(s->accept.timer_ms, r.timer_ms, sizeof s->accept.timer_ms);
	encode_envelope(op, &s->accept, &r);
	encode_rcpts(op, &s->accept, envelope, rcpts);
	take_body(op, &s->accept, receipt);
}

/* ---------------------------------------------------------------- outcomes */

void queue_op_settle(struct queue_op *op, uint64_t id, const struct queue_outcome *outcomes, size_t count)
{
	struct op_step *s = op_step(op, OP_SETTLE);
	struct queue_outcome *copy = s && count <= RCPTS_MAX ? op_alloc(op, count * sizeof *copy) : NULL;

	if (!copy) {
		refuse(op, QUEUE_INVALID);
		return;
	}
	s->id = id;
	s->settle.outcomes = copy;
	s->settle.count = count;
	for (size_t i = 0; i < count; i++) {
		copy[i] = outcomes[i];
		copy[i].reply = op_text(op, outcomes[i].reply, RECORD_TEXT_MAX);
		copy[i].host = op_text(op, outcomes[i].host, RECORD_TEXT_MAX);
		copy[i].lane = op_text(op, outcomes[i].lane, RECORD_TEXT_MAX);
		copy[i].tls = op_text(op, outcomes[i].tls, RECORD_TEXT_MAX);
		if (outcomes[i].kind > QUEUE_DOUBT)
			refuse(op, QUEUE_INVALID);
	}
}

/* A step about one recipient or QUEUE_ALL; NULL: the operation has failed already. */
static struct op_step *rcpt_step(struct queue_op *op, enum op_kind kind, uint64_t id, uint32_t n)
{
	struct op_step *s = op_step(op, kind);

	if (s) {
		s->id = id;
		s->n = n;
	}
	return s;
}

void queue_op_reported(struct queue_op *op, uint64_t id, uint32_t n)
{
	rcpt_step(op, OP_REPORTED, id, n);
}

void queue_op_remove(struct queue_op *op, uint64_t id, uint32_t n, const char *by, int64_t at_ms)
{
	struct op_step *s = rcpt_step(op, OP_REMOVE, id, n);

	if (!s)
		return;
	s->remove.by = op_text(op, by, 256);
	s->remove.at_ms = at_ms;
}

void queue_op_due(struct queue_op *op, uint64_t id, uint32_t n, int64_t due_ms)
{
	struct op_step *s = rcpt_step(op, OP_DUE, id, n);

	if (s)
		s->due_ms = due_ms;
}

void queue_op_flow(struct queue_op *op, uint64_t id, uint32_t n, const struct queue_flow *flow)
{
	struct op_step *s = rcpt_step(op, OP_FLOW, id, n);

	if (s)
		s->flow = copy_flow(op, flow);
}

void queue_op_flags(struct queue_op *op, uint64_t id, uint32_t set, uint32_t clear, int64_t due_ms)
{
	struct op_step *s = rcpt_step(op, OP_FLAGS, id, QUEUE_ALL);

	if (!s)
		return;
	s->flags.set = set;
	s->flags.clear = clear;
	s->flags.due_ms = due_ms;
}

/* ---------------------------------------------------------------- timers, flows, lanes, state */

void queue_op_timer(struct queue_op *op, struct queue_timer timer)
{
	struct op_step *s = op_step(op, OP_TIMER);

	if (s)
		s->timer = timer;
}

void queue_op_timer_drop(struct queue_op *op, struct queue_timer timer)
{
	struct op_step *s = op_step(op, OP_TIMER_DROP);

	if (s)
		s->timer = timer;
}

void queue_op_flow_rest(struct queue_op *op, uint32_t flow_id)
{
	struct op_step *s = op_step(op, OP_FLOW_REST);

	if (s)
		s->flow_id = flow_id;
}

void queue_op_flow_park(struct queue_op *op, uint32_t flow_id, int64_t until_ms)
{
	struct op_step *s = op_step(op, OP_FLOW_PARK);

	if (s)
		s->timer = (struct queue_timer){ .when_ms = until_ms, .kind = QUEUE_TIMER_FLOW, .id = flow_id };
}

void queue_op_lane(struct queue_op *op, const struct queue_lane *lane)
{
	struct op_step *s = op_step(op, OP_LANE);

	if (!s)
		return;
	s->lane = *lane;
	s->lane.name = op_text(op, lane->name, RECORD_NAME_MAX);
	s->lane.error = op_text(op, lane->error, RECORD_TEXT_MAX);
	s->lane.paused_by = op_text(op, lane->paused_by, RECORD_TEXT_MAX);
	if (!*s->lane.name)
		refuse(op, QUEUE_INVALID);
}

void queue_op_lane_drop(struct queue_op *op, const char *name)
{
	struct op_step *s = op_step(op, OP_LANE_DROP);

	if (s)
		s->lane.name = op_text(op, name, RECORD_NAME_MAX);
}

void queue_op_state(struct queue_op *op, const char *name, struct queue_bytes value)
{
	struct op_step *s = op_step(op, OP_STATE);
	void *copy;

	if (!s)
		return;
	s->state.name = op_text(op, name, RECORD_STATE_MAX);
	if (!*s->state.name || value.len > STATE_VALUE_MAX)
		refuse(op, QUEUE_INVALID);
	if (value.len == 0 || value.len > STATE_VALUE_MAX)
		return;
	copy = op_alloc(op, value.len);
	if (!copy)
		return;
	memcpy(copy, value.data, value.len);
	s->state.value = (struct queue_bytes){ .data = copy, .len = value.len };
}

void queue_op_history_trim(struct queue_op *op, int64_t now_ms, size_t count)
{
	struct op_step *s = op_step(op, OP_TRIM);

	if (!s)
		return;
	s->trim.now_ms = now_ms;
	s->trim.count = count;
}
