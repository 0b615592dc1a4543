/*
 * intake - one message on its way from a session into the queue: who may send it, under which addresses, fix-up,
 * receipt, accept.
 *
 * Owns:    the message that is open: its draft, fix-up and receipt; the queue takes the receipt at intake_store(). Idle,
 *          it is a few words of memory. What a message took of its submitter's quota goes back when it is not queued.
 * Promise: `stored` comes exactly once for each intake_store() that was not cut loose by intake_abandon(), and never
 *          from inside a call. The message is queued whole or not at all.
 * Threads: the loop's.
 *
 *     MAIL  intake_mail()    then RCPT  intake_rcpt() …    then its bytes  intake_body() …    then its end
 *     intake_store(); or intake_drop() wherever the transaction ended otherwise.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include "config.h"
#include "message/aliases.h"
#include "queue/queue.h"
#include "smtp/server.h"
#include "submission/limits.h"
#include "who.h"

struct intake;

/* What is known of the one who hands it in; text is borrowed for the call, but `config`, which outlives the message. */
struct intake_session {
	struct queue *queue;
	const struct config *config;
	const struct config *routes; /* the newest, whatever a session began with */
	struct aliases *aliases;     /* or NULL */
	struct limits *limits;
	const struct who *who;
	const char *submitter; /* trust_name() */
	const char *origin;    /* for people: "loopback 127.0.0.1" */
	const char *helo;      /* or NULL */
	const char *protocol;  /* "ESMTPS" */
	const char *tls;       /* facts for the trace, or NULL */
	int64_t now_ms, wall_ms;
	const char *state; /* of the queue, written with the message: see queue_op_state(); or NULL */
	struct queue_bytes state_value;
};

enum intake_verdict {
	INTAKE_OK,
	INTAKE_BUSY,    /* nothing was taken: call again with the same bytes when `ready` has come */
	INTAKE_REFUSED, /* `out_reply` says why, with text that lives until the next call */
};

/* What the queue answered, and what it was given: for the reply and the log. */
struct intake_result {
	enum queue_err err;
	uint64_t id;
	const char *sender; /* reverse-path as it is queued */
	uint32_t recipients;
};

/* One per session, used for one message after the other. */
struct intake *intake_new(void (*ready)(void *arg), void (*stored)(void *arg, const struct intake_result *result),
			  void *arg);
/* The session goes: what was not handed to the queue is dropped, an answer that is under way is not reported. */
void intake_abandon(struct intake *intake);

/* The sender and size of a new message: OK or REFUSED, and then there is none. */
enum intake_verdict intake_mail(struct intake *intake, const struct intake_session *session,
				const struct server_envelope *envelope, struct server_reply *out_reply);
/* One recipient more, with all that it leads to, or REFUSED: the message goes on without it. */
enum intake_verdict intake_rcpt(struct intake *intake, const struct intake_session *session,
				const struct server_rcpt *rcpt, struct server_reply *out_reply);
/* REFUSED: the intake is empty again. */
enum intake_verdict intake_body(struct intake *intake, const struct intake_session *session, struct span bytes,
				struct server_reply *out_reply);
/* The message is whole. INTAKE_OK: `stored` will come. INTAKE_BUSY, REFUSED as above. */
enum intake_verdict intake_store(struct intake *intake, const struct intake_session *session,
				 const struct server_envelope *envelope, struct server_reply *out_reply);
/* The transaction ended otherwise: what was received is dropped. Fine at any time. */
void intake_drop(struct intake *intake);

/* The reply for a queue's error. */
struct server_reply intake_reply(enum queue_err err);

#endif
