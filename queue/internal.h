/*
 * internal - the queue's own object, for the files that implement queue.h.
 *
 * Threads: everything here belongs to the caller's thread, but `shared`, whose members are atomic.
 */
#ifndef INTERNAL_H
#define INTERNAL_H

#include "queue/group.h"
#include "queue/guard.h"
#include "queue/op.h"
#include "queue/queue.h"
#include "queue/store.h"
#include "queue/writer.h"

struct queue_view {
	struct queue *q;
	struct store_txn txn;
	bool is_open;
	/* Where the last queue_view_history_of() stood. */
	uint64_t history_id;
	uint32_t history_from;
	struct queue_history_at history_at;
};

struct queue {
	struct queue_config config; /* its directory is a copy */
	struct guard guard;
	struct store *store;
	struct group *group;
	struct writer *writer;
	struct group_shared shared;
	struct queue_view view;
	uint64_t last_id, next_body;
	size_t ops_under_way, bytes_under_way;
	uint64_t receiving_bytes; /* of bodies on their way into chunks */
	void (*watch)(void *arg, const struct queue_news *news);
	void *watch_arg;
	struct queue_receipt *waiting;      /* receipts that answered BUSY */
	uint64_t free_pages, free_pages_at; /* cached by transaction */
};

/* Bytes of chunks that may be on their way to the disk, for one receipt and for all. */
enum { INTERNAL_RECEIPT_BYTES = 512 * 1024, INTERNAL_TOTAL_BYTES = 16 * 1024 * 1024, INTERNAL_OPS = 20000 };

bool queue_internal_must_fail(const struct queue *q, const char *what);
void queue_internal_submit(struct queue *q, struct queue_op *op);
/* Why that many bytes more of a body would be refused now; the reserve is for reports. */
enum queue_err queue_internal_room(const struct queue *q, uint64_t more_bytes, bool with_reserve);

#endif
