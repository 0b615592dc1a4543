/*
 * op - an operation on its way: steps, the memory they live in, and the answer.
 *
 * Owns:    its arena: every byte a step points to, but chunk buffers, which move with the step that carries them.
 * Threads: one at a time: the caller's until queue_op_submit(), the writer's until it is finished, the caller's again.
 */
#ifndef OP_H
#define OP_H

#include "queue/queue.h"

enum op_kind {
	OP_ACCEPT,
	OP_SETTLE,
	OP_REPORTED,
	OP_REMOVE,
	OP_DUE,
	OP_FLOW,
	OP_FLAGS,
	OP_TIMER,
	OP_TIMER_DROP,
	OP_FLOW_REST,
	OP_FLOW_PARK, /* timer: which, and not before */
	OP_LANE,
	OP_LANE_DROP,
	OP_STATE,
	OP_TRIM,
	OP_CHUNK,  /* one chunk of a receipt under way */
	OP_DISOWN, /* a receipt was given up: its chunks are garbage */
};

/* What the writer and a streaming receipt share; only the writer touches err while jobs are under way. */
struct op_stream {
	uint64_t body;
	enum queue_err err; /* of the first job that failed */
};

struct op_rcpt {
	uint8_t *record; /* encoded, but for its flow's number */
	size_t len;
	struct queue_flow flow;
	int64_t due_ms;
};

struct op_accept {
	uint8_t *envelope; /* encoded */
	size_t envelope_len;
	uint64_t size_bytes;
	uint32_t flags;
	int64_t timer_ms[4]; /* by enum queue_timer_kind; 0: none */
	struct op_rcpt *rcpts;
	uint32_t rcpt_count;
	void *tail; /* the last chunk (malloc) */
	size_t tail_len;
	uint32_t chunks;
	struct op_stream *stream; /* NULL: the tail is all */
};

struct op_step {
	struct op_step *next;
	enum op_kind kind;
	uint64_t id; /* of the message */
	uint32_t n;  /* of the recipient, or QUEUE_ALL */
	union {
		struct op_accept accept;
		struct {
			struct queue_outcome *outcomes;
			size_t count;
		} settle;
		struct {
			const char *by;
			int64_t at_ms;
		} remove;
		int64_t due_ms;
		struct queue_flow flow;
		struct {
			uint32_t set, clear;
			int64_t due_ms;
		} flags;
		struct queue_timer timer;
		uint32_t flow_id;
		struct queue_lane lane; /* OP_LANE_DROP: its name only */
		struct {
			const char *name;
			struct queue_bytes value;
		} state;
		struct {
			int64_t now_ms;
			size_t count;
		} trim;
		struct {
			struct op_stream *stream;
			void *data; /* malloc */
			size_t len;
			uint32_t n;
		} chunk;
		uint64_t body;
	};
};

struct op_news {
	struct op_news *next;
	struct queue_news news;
};

struct op_block {
	struct op_block *next;
};

struct queue_op {
	struct queue_op *next; /* in the list that holds it */
	struct queue *q;
	struct op_step *first, *last;
	struct op_news *news;
	queue_done_fn *done;
	void *arg;
	uint64_t id;
	struct queue_receipt *receipts; /* to free when finished, chained by the receipt */
	enum queue_err built;           /* what went wrong while it was built: then it is not run */
	enum queue_err err;             /* the answer; until the submission: as built */
	uint32_t patience_ms;           /* it may wait so long for company in its commit; 0: not at all */
	size_t bytes;                   /* of memory it holds, about */
	struct op_block *blocks;
	uint8_t *free; /* of the newest block */
	size_t left;
};

struct queue_op *op_new(struct queue *q);
/* Frees chunk buffers that no one took, too. NULL is fine. */
void op_free(struct queue_op *op);
/* Zeroed memory of the operation's own; NULL (and the operation will answer QUEUE_NO_MEMORY) when there is none. */
void *op_alloc(struct queue_op *op, size_t size);
/* A copy; "" for NULL. Refused texts make the operation answer QUEUE_INVALID. Never NULL. */
const char *op_text(struct queue_op *op, const char *text, size_t max);
struct op_step *op_step(struct queue_op *op, enum op_kind kind);
/* News of one operation about the same flow are one, and so are those about timers. */
void op_news_flow(struct queue_op *op, uint32_t flow_id, const struct queue_flow *flow, int64_t due_ms);
void op_news_timer(struct queue_op *op, int64_t when_ms);
void op_news_accepted(struct queue_op *op, uint64_t id);

#endif
