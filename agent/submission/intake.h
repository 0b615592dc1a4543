/*
 * intake - one message on its way from a session into the queue: fix-up, receipt, envelope, accept.
 *
 * Owns:    the fix-up engine and the receipt; the queue takes the receipt at intake_store().
 * Promise: `stored` comes exactly once for each intake_store() that was not cut loose by intake_abandon(), and never
 *          from inside a call. The message is queued whole or not at all.
 * Threads: the loop's.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include "config.h"
#include "queue/queue.h"
#include "smtp/server.h"
#include "submission/trust.h"

struct intake;

/* What is known of the session; text is borrowed until the message ends. */
struct intake_session {
	struct queue *queue;
	const struct config *config;
	const struct config *routes; /* for the call only: a reload may replace it before the message ends */
	const struct trust_submitter *submitter;
	const char *origin;   /* for people: "loopback 127.0.0.1" */
	const char *peer;     /* "[192.0.2.7]" for the trace, or NULL for local programs */
	const char *helo;     /* or NULL */
	const char *protocol; /* "ESMTPS" */
	const char *tls;      /* facts for the trace, or NULL */
};

enum intake_verdict {
	INTAKE_OK,
	INTAKE_BUSY,    /* nothing was taken: call again with the same bytes when `ready` has come */
	INTAKE_REFUSED, /* `out_reply` says why; the intake is empty again */
};

/* One per session, used for one message after the other. */
struct intake *intake_new(void (*ready)(void *arg), void (*stored)(void *arg, enum queue_err err, uint64_t id),
			  void *arg);
/* The session goes: what was not handed to the queue is dropped, an answer that is under way is not reported. */
void intake_abandon(struct intake *intake);

bool intake_is_open(const struct intake *intake);
enum intake_verdict intake_body(struct intake *intake, const struct intake_session *session,
				const struct server_envelope *envelope, int64_t wall_ms, struct span bytes,
				struct server_reply *out_reply);
/* The message is whole. INTAKE_OK: `stored` will come. INTAKE_BUSY as above. */
enum intake_verdict intake_store(struct intake *intake, const struct intake_session *session,
				 const struct server_envelope *envelope, int64_t wall_ms,
				 struct server_reply *out_reply);
/* The transaction ended otherwise: what was received is dropped. */
void intake_drop(struct intake *intake);

/* The reply for a queue's error. */
struct server_reply intake_reply(enum queue_err err);

#endif
