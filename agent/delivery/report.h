/*
 * report - one delivery status notification on its way into the queue: composed, perhaps with the whole original behind
 *          it, and accepted by the operation that lets the reported recipients leave (or notes the warning).
 *
 * Owns:    copies of what it says, and at most one chunk of the original.
 * Promise: `done` comes once, from queue_dispatch() or from inside report_start() when it fails at once. The caller
 *          then frees the report.
 * Never:   reads a clock or logs.
 * Threads: the queue's.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "delivery/scheduler.h"
#include "message/dsn.h"
#include "queue/queue.h"

enum { REPORT_RCPTS = 200 }; /* recipients in one report */

struct report;

struct report_setup {
	struct queue *queue;
	const struct scheduler
		*scheduler;       /* its configuration counts when the report is made, and again when it is queued */
	struct queue_timer timer; /* that asked for it; dropped by the operation */
	bool is_warning;
	bool is_by;     /* a warning that the time to deliver by has passed (RFC 2852) */
	int64_t now_ms; /* wall clock */
	void (*done)(void *arg, struct report *report, enum queue_err err, uint64_t id);
	void *arg;
};

struct report {
	struct list node; /* the caller's */
	struct report_setup setup;
	struct mem_arena arena;
	struct dsn_rcpt *rcpts;
	uint32_t *n; /* their numbers */
	size_t count;
	bool is_partial; /* the caller says: more recipients are owed a report than are in this one */
	const char *sender;
	int64_t warn_again_ms; /* a warning: when another one may be due; 0: never */
	char message_id[512];
	uint32_t uid;
	bool is_8bit, is_utf8, is_requiretls;
	struct buf text, tail; /* not yet appended */
	struct queue_receipt *receipt;
	struct queue_body_reader reader; /* of the original */
	bool has_reader, has_tail;
};

struct report *report_new(const struct report_setup *setup);
void report_free(struct report *report); /* NULL is fine */
/* At most REPORT_RCPTS times. */
void report_add(struct report *report, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
		enum dsn_action action);
void report_start(struct report *report, struct queue_view *view, const struct queue_envelope *envelope);

#endif
