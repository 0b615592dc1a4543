/*
 * load - one message in one attempt: what of it is in memory, from the moment it is picked until its outcomes are
 *        committed.
 *
 * Owns:    the job, copies of the addresses and of what was said about each recipient. Never the body.
 * Threads: any, one object per thread.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mem.h"
#include "delivery/scheduler.h"
#include "queue/queue.h"
#include "smtp/client.h"

struct load_rcpt {
	const char *address;
	uint32_t n;
	uint32_t attempts; /* before this one */
	uint8_t notify;
	bool has_outcome; /* outcomes[] of the load has one for it */
	bool is_back;     /* it was returned to the scheduler */
};

struct load {
	struct list node; /* its holder's */
	struct scheduler_job *job;
	struct mem_arena arena;
	const char *sender, *target, *submitter;
	uint8_t band;
	int64_t arrival_ms, expires_ms;
	uint64_t size_bytes;
	uint32_t flags; /* the envelope's */
	enum queue_body body;
	struct load_rcpt *rcpts; /* one for each of job->count */
	size_t count;
	struct queue_outcome *outcomes; /* room for `count` */
	size_t outcome_count;
	struct client_message message; /* for the engine (hop) */
	bool was_delivered;            /* to one recipient at least */
	bool was_judged, is_guilty;    /* of breaking connections, see scheduler_suspect() */
	enum queue_err error;          /* why the body could not be read */
	const char *tls;               /* facts of the connection, or "" */
	bool keeps_flow;               /* its route is not looked at again */
	bool is_damaged;               /* the body is not what was accepted: to be held */
};

/* Reads envelope and recipients once. NULL: the records are gone or damaged (*out_err says which); the job is still
 * the caller's. */
struct load *load_new(struct scheduler_job *job, struct queue_view *view, enum queue_err *out_err);
/* With its job. NULL is fine. */
void load_free(struct load *load);
/* A copy that lives as long as the load; cut to what is sensible for a reply. */
const char *load_text(struct load *load, struct span text);

#endif
