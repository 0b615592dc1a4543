#include "queue/op.h"

#include "queue/internal.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 2048, BLOCK_BYTES = 8192, NEWS_COMPARED = 16 };

struct queue_op *op_new(struct queue *q)
{
	struct queue_op *op = malloc(sizeof *op + FIRST_BYTES);

	/* Small and of fixed size: without it nothing can be answered any more. */
	if (!op)
		abort();
	*op = (struct queue_op){ .q = q, .free = (uint8_t *)(op + 1), .left = FIRST_BYTES, .bytes = FIRST_BYTES };
	return op;
}

static void free_buffers(struct op_step *step)
{
	if (step->kind == OP_ACCEPT)
		free(step->accept.tail);
	if (step->kind == OP_CHUNK)
		free(step->chunk.data);
}

void op_free(struct queue_op *op)
{
	struct op_block *next;

	if (!op)
		return;
	for (struct op_step *s = op->first; s; s = s->next)
		free_buffers(s);
	for (struct op_block *b = op->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(op);
}

static bool grow(struct queue_op *op, size_t size)
{
	size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;
	struct op_block *b = NULL;

	if (!queue_internal_must_fail(op->q, "alloc"))
		b = malloc(sizeof *b + bytes);
	if (!b) {
		op->err = QUEUE_NO_MEMORY;
		return false;
	}
	b->next = op->blocks;
	op->blocks = b;
	op->free = (uint8_t *)(b + 1);
	op->left = bytes;
	op->bytes += bytes;
	return true;
}

void *op_alloc(struct queue_op *op, size_t size)
{
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (size > op->left && !grow(op, size))
		return NULL;
	p = op->free;
	op->free += size;
	op->left -= size;
	return memset(p, 0, size);
}

const char *op_text(struct queue_op *op, const char *text, size_t max)
{
	size_t len = text ? strlen(text) : 0;
	char *copy;

	if (len > max)
		op->err = op->err == QUEUE_OK ? QUEUE_INVALID : op->err;
	if (len == 0 || len > max)
		return "";
	copy = op_alloc(op, len + 1);
	return copy ? memcpy(copy, text, len) : "";
}

struct op_step *op_step(struct queue_op *op, enum op_kind kind)
{
	struct op_step *s = op_alloc(op, sizeof *s);

	if (!s)
		return NULL;
	s->kind = kind;
	if (op->last)
		op->last->next = s;
	else
		op->first = s;
	op->last = s;
	return s;
}

/* ---------------------------------------------------------------- news */

static struct queue_news *add_news(struct queue_op *op)
{
	struct op_news *n = op_alloc(op, sizeof *n);

	if (!n)
		return NULL;
	n->next = op->news;
	op->news = n;
	return &n->news;
}

void op_news_flow(struct queue_op *op, uint32_t flow_id, const struct queue_flow *flow, int64_t due_ms)
{
	struct queue_news *news;
	int seen = 0;

	for (struct op_news *n = op->news; n && seen < NEWS_COMPARED; n = n->next, seen++) {
		if (n->news.kind == QUEUE_NEWS_FLOW && n->news.flow_id == flow_id) {
			if (due_ms < n->news.due_ms)
				n->news.due_ms = due_ms;
			return;
		}
	}
	news = add_news(op);
	if (!news)
		return;
	news->kind = QUEUE_NEWS_FLOW;
	news->flow_id = flow_id;
	news->due_ms = due_ms;
	news->flow = (struct queue_flow){ .target = op_text(op, flow->target, SIZE_MAX),
					  .submitter = op_text(op, flow->submitter, SIZE_MAX),
					  .band = flow->band };
}

void op_news_timer(struct queue_op *op, int64_t when_ms)
{
	struct queue_news *news;

	for (struct op_news *n = op->news; n; n = n->next) {
		if (n->news.kind == QUEUE_NEWS_TIMER) {
			if (when_ms < n->news.due_ms)
				n->news.due_ms = when_ms;
			return;
		}
	}
	news = add_news(op);
	if (!news)
		return;
	news->kind = QUEUE_NEWS_TIMER;
	news->due_ms = when_ms;
}

void op_news_accepted(struct queue_op *op, uint64_t id)
{
	struct queue_news *news = add_news(op);

	if (!news)
		return;
	news->kind = QUEUE_NEWS_ACCEPTED;
	news->id = id;
}
