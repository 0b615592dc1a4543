/*
 * transaction - one message of a client's session: its commands in order, the replies to them by strict count, and
 *               what became of each recipient.
 *
 * Owns:    copies of the replies that decided something, until transaction_end().
 * Never:   decides about the session: it says what a reply means for it, and the client decides.
 * Threads: any, one object per thread.
 *
 * Its commands are numbered: 0 RSET, 1 MAIL, 2 … n+1 RCPT, n+2 DATA, n+3 the final dot. `sent` of them are on their
 * way, `answered` have their reply; the next reply belongs to number `answered`, and there must be one.
 */
#ifndef SMTP_TRANSACTION_H
#define SMTP_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/client.h"
#include "smtp/ehlo.h"
#include "smtp/verdict.h"

enum transaction_state {
	TRANSACTION_FREE,
	TRANSACTION_QUEUED,    /* taken; no command is written yet */
	TRANSACTION_ENVELOPE,  /* commands up to DATA are being sent and answered */
	TRANSACTION_BODY,      /* 354 came */
	TRANSACTION_EMPTY_DOT, /* 354 came although no recipient was accepted: a lone dot was sent */
	TRANSACTION_DOT,       /* the final dot is written */
	TRANSACTION_ANSWERED,  /* the final dot was answered, but the count is not yet proven */
	TRANSACTION_SETTLED,   /* every recipient has its outcome */
};

struct transaction_rcpt {
	enum client_outcome outcome;
	enum client_phase phase;
	struct reply reply;
	bool is_decided, is_too_many;
	bool is_handed; /* the result was handed out */
};

struct transaction {
	enum transaction_state state;
	const struct client_message *message;
	struct transaction_rcpt *rcpts;
	size_t *order; /* the recipients that get a RCPT command */
	size_t asked;  /* their number */
	size_t sent, answered;
	size_t accepted; /* recipients */
	bool mail_accepted, mail_refused, dot_answered;
	bool refusals_are_final; /* replies to RCPT may be handed out */
	struct mem_arena words;
	size_t cursor; /* results before it are handed out or undecided */
};

/* What a reply means beyond the transaction. */
enum transaction_news {
	TRANSACTION_GOES_ON,
	TRANSACTION_OUT_OF_STEP, /* 503: as TRANSACTION_GOES_ON, but the connection should end soon */
	TRANSACTION_CLOSING,     /* 421 */
	TRANSACTION_LANE,
	TRANSACTION_PARKED,
	TRANSACTION_THROTTLED,
	TRANSACTION_DOUBT, /* the reply cannot belong to the command whose turn it is */
};

void transaction_init(struct transaction *t);
void transaction_fini(struct transaction *t);
/* Takes a message. Recipients that this server can never take (RFC 1870, 6.1; RFC 6531, 3.5) are decided at once; when
 * none is left it is settled. */
void transaction_begin(struct transaction *t, const struct client_message *message, bool with_reset,
		       const struct ehlo *offer);
/* After its last result: the slot is free. */
void transaction_end(struct transaction *t);

/* The phase that the next reply belongs to. */
enum client_phase transaction_phase(const struct transaction *t);
/* A reply is owed by the server. */
bool transaction_is_owed(const struct transaction *t);
/* Writes the next command, at most DATA. False when none is left. */
bool transaction_write(struct transaction *t, const struct ehlo *offer, struct buf *out);
/* All that was sent is answered, and the rest of the envelope makes no sense any more: transaction_close(). */
bool transaction_is_hopeless(const struct transaction *t);
/* Settles a hopeless one. */
void transaction_close(struct transaction *t);
/* The server still has it open although it is settled: RSET before the next one. */
bool transaction_is_left_open(const struct transaction *t);

enum transaction_news transaction_reply(struct transaction *t, const struct reply *reply,
					struct verdict_context context);

/* Decides all recipients that have no outcome yet (reply NULL: there are none), and is settled. */
void transaction_settle(struct transaction *t, enum client_outcome outcome, enum client_phase phase,
			const struct reply *reply);
/* Forgets outcomes that rest on replies whose count is in doubt and that were not handed out. */
void transaction_distrust(struct transaction *t);

/* The next result to hand out; its spans live until transaction_end(). */
bool transaction_result(struct transaction *t, struct client_result *out);
/* Settled and all handed out. */
bool transaction_is_over(const struct transaction *t);

#endif
