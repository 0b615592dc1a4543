/*
 * load - one message in one attempt: what of it is in memory, from the moment it is picked until its outcomes are
 *        committed.
 *
 * Owns:    the job, copies of the addresses and of what was said about each recipient; of the body what cargo.h says.
 * Threads: any, one object per thread.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mem.h"
#include "delivery/cargo.h"
#include "delivery/scheduler.h"
#include "queue/queue.h"
#include "smtp/client.h"

struct load_rcpt {
	const char *address, *orcpt;
	uint32_t n;
	uint32_t attempts; /* before this one */
	uint8_t notify;
	bool has_outcome; /* outcomes[] of the load has one for it */
	bool is_back;     /* it was returned to the scheduler */
	bool is_moving;   /* untried, and into the flow of another route */
};

struct load {
	struct list node; /* its holder's */
	struct scheduler_job *job;
	struct mem_arena arena;
	const char *sender, *target, *submitter, *route, *envid;
	uint8_t band;
	int64_t arrival_ms;
	int64_t expires_ms;    /* or when it must be delivered by (DELIVERBY, mode R) */
	int64_t deliver_by_ms; /* 0: whenever */
	enum queue_ret ret;
	int8_t priority;
	uint64_t size_bytes;
	uint32_t flags; /* the envelope's */
	enum queue_body body;
	struct load_rcpt *rcpts; /* one for each of job->count */
	size_t count;
	struct queue_outcome *outcomes; /* room for `count` */
	size_t outcome_count;
	struct cargo cargo;            /* the body */
	struct client_message message; /* for the engine (hop) */
	bool passes_dsn, passes_by; /* the hop takes over: reports of success, and of time that passed, are its own */
	bool was_delivered;         /* to one recipient at least */
	bool is_elsewhere;          /* refused recipients go by the other family of addresses */
	bool was_judged, is_guilty; /* of breaking connections, see scheduler_suspect() */
	enum queue_err error;       /* why the body could not be read */
	const char *tls;            /* facts of the connection, or "" */
	bool keeps_flow;            /* its route is not looked at again: one of its recipients has gone */
	bool is_astray;             /* it was not begun: its route has left the lane */
	bool is_counted;            /* a sweep, which was there at the same time, counts it */
	bool is_kept;               /* a report that nobody could be given: to be held */
	bool is_damaged;            /* the body is not what was accepted: to be held */
};

/* Reads envelope and recipients once. NULL: the records are gone or damaged (*out_err says which); the job is still
 * the caller's. */
struct load *load_new(struct scheduler_job *job, struct queue_view *view, enum queue_err *out_err);
/* With its job. NULL is fine. */
void load_free(struct load *load);
/* Fills in `message` and who takes over what, for a hop that offers these extensions (EHLO_BIT()), after cargo_begin() and
 * cargo_look(). False: no memory for it. */
bool load_message(struct load *load, unsigned extensions, bool header_is_8bit, int64_t now_wall_ms);
/* Its time to deliver by, in the mode that returns it, is what ends first. */
bool load_is_by_return(const struct load *load);
/* A copy that lives as long as the load; cut to what is sensible for a reply. */
const char *load_text(struct load *load, struct span text);

#endif
