/*
 * report - one mail that tells a sender what became of a message, or of many, on its way into the queue: composed, perhaps
 *          with the whole original behind it, and accepted by the operation that lets the reported recipients leave (or
 *          notes the warning).
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

enum {
	REPORT_RCPTS = 200,     /* recipients of one message in one report */
	REPORT_RCPTS_MAX = 400, /* of all messages in one */
};

struct report;

struct report_setup {
	struct queue *queue;
	const struct scheduler
		*scheduler; /* its configuration counts when the report is made, and again when it is queued */
	bool is_warning;
	bool is_by;     /* a warning that the time to deliver by has passed (RFC 2852) */
	int64_t now_ms; /* wall clock */
	void (*done)(void *arg, struct report *report, enum queue_err err, uint64_t id);
	void *arg;
};

/* What it tells of. */
struct report_message {
	struct queue_timer timer; /* that asked for it; dropped by the operation */
	size_t first, count;      /* among the recipients */
	const char *id, *message_id, *subject, *envid;
	int64_t arrival_ms, deliver_by_ms;
};

struct report {
	struct list node; /* the caller's */
	struct report_setup setup;
	struct mem_arena arena;
	struct report_message *messages;
	size_t message_count, message_room;
	struct dsn_rcpt *rcpts;
	uint32_t *n; /* their numbers */
	size_t count, room;
	bool is_partial;       /* the caller says: more recipients are owed a report than are in this one */
	bool is_double;        /* about a message that has no sender to be told: to the postmaster */
	const char *sender;    /* who is told */
	int64_t warn_again_ms; /* a warning: when another one may be due; 0: never */
	char message_id[512];
	uint32_t uid; /* who may see it */
	bool is_8bit, is_utf8, is_requiretls;
	struct buf text, tail; /* not yet appended */
	struct queue_receipt *receipt;
	struct queue_body_reader reader; /* of the original */
	bool has_reader, has_tail;
};

struct report *report_new(const struct report_setup *setup);
void report_free(struct report *report); /* NULL is fine */
/* The next recipients are of this message. */
void report_about(struct report *report, struct queue_timer timer, const struct queue_envelope *envelope);
/* After all there is nothing to say of the message of the last report_about(). */
void report_not_about(struct report *report);
void report_add(struct report *report, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
		enum dsn_action action);
/* Of one message. `to` gets it. */
void report_start(struct report *report, struct queue_view *view, const struct queue_envelope *envelope,
		  const char *to);
/* Of many, which all had the same sender. */
void report_start_digest(struct report *report, const char *to);

#endif
