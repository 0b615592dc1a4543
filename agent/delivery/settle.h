/*
 * settle - what became of each recipient of an attempt, written into the queue: one operation per message.
 *
 * Decides: due times by the route's backoff, expiry, whether a report is owed, a new flow where the route changed.
 * Owns:    loads from settle_close() until their outcomes are committed. An operation that fails is tried again, for
 *          ever: what was delivered must not be delivered twice because the disk was full for a while.
 * Never:   reads a clock. Logs one record per outcome, after its commit.
 * Threads: the queue's.
 */
#ifndef SETTLE_H
#define SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/load.h"
#include "delivery/scheduler.h"

enum { SETTLE_DOUBT_MS = 10 * 60 * 1000 }; /* the least pause before a doubtful recipient is tried again */

struct settle {
	struct queue *queue;
	struct scheduler *scheduler;
	struct list writing, failed; /* loads */
	int64_t retry_boot_ms;       /* when the failed ones are tried again; INT64_MAX: none */
	uint64_t seed;
	uint64_t delivered, deferred, bounced, doubtful; /* recipients since start */
	uint64_t rerouted; /* messages that changed their flow untried, since is_rerouting was set, and that the sweep
			    * does not count */
	uint64_t swept;    /* it has counted up to this message */
	bool is_rerouting; /* the routes changed, and not all that waits is in the flow of its new one yet */
	struct moment now;
};

void settle_init(struct settle *s, struct queue *queue, struct scheduler *scheduler, uint64_t seed);
/* Outcomes that are not committed are forgotten: their recipients are still due. */
void settle_fini(struct settle *s);

enum settle_verdict {
	SETTLE_DELIVERED,
	SETTLE_TEMPORARY,
	SETTLE_PERMANENT,
	SETTLE_DOUBTFUL,
	SETTLE_UNTRIED, /* as before the attempt, not counted */
};
/* `reply` and `host` are copied; the reply is clean text, "450 4.2.0 …". */
void settle_rcpt(struct settle *s, struct load *load, size_t i, enum settle_verdict verdict, const char *reply,
		 const char *host, struct moment now);
/* The connection has done with the message: takes the load. Recipients without a verdict are untried; where their route
 * became another one meanwhile, they go into its flow. */
void settle_close(struct settle *s, struct load *load, struct moment now);
/* The routes changed, and the lane that was about to take this is not in the new one of some recipient. */
bool settle_is_astray(const struct settle *s, const struct load *load);
/* The lane that took it gives it back without a word to anybody: takes the load. */
void settle_astray(struct settle *s, struct load *load, struct moment now);

/* Tries again what could not be written. */
void settle_step(struct settle *s, struct moment now);
int64_t settle_deadline(const struct settle *s);
bool settle_is_idle(const struct settle *s);

/* What becomes of a recipient that failed for good. */
enum settle_fate {
	SETTLE_REPORT, /* its sender is told (RFC 3461, 4.1), or the postmaster where it has none */
	SETTLE_SILENT, /* nobody is told: it was asked for, or there is no sender; the history has it */
	SETTLE_KEEP,   /* a report of our own that nobody can be given: it is held, and shown */
};
/* Of a message with these envelope flags and sender. Never a report to the null reverse-path, never a report about a
 * report to the postmaster. */
enum settle_fate settle_fate(const struct config *config, uint32_t flags, const char *sender, const char *address,
			     uint8_t notify);
/* That it was handed on: where success was asked for and the hop will not tell (RFC 3461, 5.2.2), where each step was
 * asked for, or the time it takes and the hop knows nothing of time (RFC 2852). */
bool settle_owes_relayed(const struct load *load, uint8_t notify);
/* The words under which a recipient is given up: they begin with SETTLE_EXPIRED or, where its sender set the time
 * (`is_by`), with SETTLE_EXPIRED_BY. */
#define SETTLE_EXPIRED    "4.4.7 "
#define SETTLE_EXPIRED_BY "5.4.7 "
enum { SETTLE_TEXT_SIZE = 1200 };
void settle_expired_text(int64_t waited_ms, bool is_by, const char *last_reply, char out[SETTLE_TEXT_SIZE]);

#endif
