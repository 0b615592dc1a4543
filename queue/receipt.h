/*
 * receipt - the inside of a queue_receipt, for queue_op_accept() and the dispatch.
 *
 * Threads: the caller's.
 */
#ifndef RECEIPT_H
#define RECEIPT_H

#include "queue/op.h"

struct queue_receipt {
	struct queue *q;
	void *hash;
	uint8_t *buffer; /* bytes not yet handed to the writer */
	size_t len, capacity;
	uint64_t size_bytes;
	uint32_t chunks_sent;
	size_t bytes_under_way;
	unsigned jobs;           /* of the writer, not yet answered */
	struct op_stream stream; /* body 0: everything is in the buffer */
	enum queue_err err;
	bool is_given_up; /* free it when its last job is answered */
	bool is_waiting;  /* in q->waiting */
	void (*ready)(void *arg);
	void *arg;
	struct queue_receipt *next; /* in q->waiting, or in an operation's list */
};

/* A chunk job was answered. */
void queue_receipt_job_done(struct queue_receipt *r, size_t bytes, enum queue_err err);
/* Tells those that wait and can go on. */
void queue_receipt_wake(struct queue *q);
/* After its accept was answered: `err` tells whether its chunks found an owner. */
void queue_receipt_finish(struct queue_receipt *r, enum queue_err err);

#endif
