/*
 * apply - carries out the steps of an operation inside a transaction.
 *
 * A step reads and checks first and writes afterwards, so that one that is refused (QUOTA, NOT_FOUND, INVALID …) has
 * written nothing. Failures of the store stick to the transaction.
 *
 * Owns:    two scratch buffers with the message at hand, since bytes from the store die at the next write.
 * Threads: the writer's.
 */
#ifndef APPLY_H
#define APPLY_H

#include "queue/group.h"
#include "queue/key.h"

enum { APPLY_ENVELOPE_MAX = 7 * (RECORD_TEXT_MAX + 3) + 256, APPLY_RCPT_MAX = 6 * (RECORD_TEXT_MAX + 3) + 64 };

struct apply {
	struct store_txn *txn;
	struct queue_op *op;
	struct record_counters c;
	struct group_shared *shared;
	enum queue_err refusal; /* why new mail is refused now, or QUEUE_OK */
	enum queue_err reports; /* the same for reports, which may use the reserve */
	bool has_garbage;       /* a body was left to the sweeping */
	bool is_trim_due;       /* history has grown */

	/* The message and the recipient at hand; texts point into the buffers. */
	uint64_t id;
	struct record_envelope env;
	size_t env_len;
	struct queue_rcpt rcpt;
	uint8_t env_record[APPLY_ENVELOPE_MAX], rcpt_record[APPLY_RCPT_MAX];
};

/* One step. */
enum queue_err apply_step(struct apply *a, struct op_step *s);

#endif
