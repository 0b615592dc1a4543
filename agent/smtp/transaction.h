/*
 * transaction - one message of a client's session: its commands in order, the replies to them by strict count, and
 *               what became of each recipient.
 *
 * Owns:    copies of the replies that decided something, until transaction_end().
 * Never:   decides about the session: it says what a reply means for it, and the client decides.
 * Threads: any, one object per thread.
 *
 * Its commands are numbered: 0 RSET, 1 MAIL, 2 … n+1 RCPT, n+2 DATA, n+3 the final dot; where the body goes by BDAT,
 * n+2 and those behind it are chunks. `sent` of them are on their way, `answered` have their reply; the next reply belongs
 * to number `answered`, and there must be one. Of chunks one at a time is unanswered, and counts as sent when it is whole.
 * In LMTP the final dot, or the last chunk, counts once for each accepted recipient (RFC 2033, 4.2).
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

enum { TRANSACTION_DOMAINS = 32 }; /* a limit of domains above this is not counted */

enum transaction_state {
	TRANSACTION_FREE,
	TRANSACTION_QUEUED,    /* taken; no command is written yet */
	TRANSACTION_ENVELOPE,  /* commands up to DATA are being sent and answered */
	TRANSACTION_BODY,      /* 354 came, or it goes by BDAT and a chunk may begin or go on */
	TRANSACTION_CHUNK,     /* a chunk is written that is not the last */
	TRANSACTION_EMPTY_DOT, /* 354 came although no recipient was accepted: a lone dot was sent */
	TRANSACTION_DOT,       /* the final dot is written, or the last chunk */
	TRANSACTION_ANSWERED,  /* the final dot was answered, but the count is not yet proven */
	TRANSACTION_SETTLED,   /* every recipient has its outcome */
};

struct transaction_rcpt {
	const char *address; /* as sent */
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
	size_t told;     /* LMTP: place in `order` of the one whose turn it is behind the final dot */
	bool mail_accepted, mail_refused, dot_answered;
	bool refusals_are_final; /* replies to RCPT may be handed out */
	bool is_chunked, with_utf8, is_lmtp;
	const char *sender; /* as sent */
	int64_t by_at_ms;   /* when the time to deliver by is over */
	int64_t limit_ms;   /* when what is under way must be over, however often the server moves a little */
	struct span domains[TRANSACTION_DOMAINS];
	size_t domain_count;
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
/* Where it is begun. */
struct transaction_terms {
	const struct ehlo *offer;
	bool is_proven; /* passing.h */
	bool with_reset;
	bool is_lmtp;
	int64_t now_ms;
};
/* Takes a message. Recipients that this server can never take (passing.h) are decided at once; when none is left it is
 * settled. */
void transaction_begin(struct transaction *t, const struct client_message *message,
		       const struct transaction_terms *terms);
/* The message before it left its transaction open: RSET goes first after all. Before its first command. */
void transaction_reset_first(struct transaction *t);
/* After its last result: the slot is free. */
void transaction_end(struct transaction *t);

/* The phase that the next reply belongs to. */
enum client_phase transaction_phase(const struct transaction *t);
/* A reply is owed by the server. */
bool transaction_is_owed(const struct transaction *t);
/* Writes the next command, at most DATA. False when none is left. */
bool transaction_write(struct transaction *t, const struct ehlo *offer, int64_t now_ms, struct buf *out);
/* All that was sent is answered, and the rest of the envelope makes no sense any more: transaction_close(). */
bool transaction_is_hopeless(const struct transaction *t);
/* Settles a hopeless one. */
void transaction_close(struct transaction *t);
/* The server still has it open although it is settled: RSET before the next one. */
bool transaction_is_left_open(const struct transaction *t);

enum transaction_news transaction_reply(struct transaction *t, const struct reply *reply,
					struct verdict_context context);

/* Chunks written so far, the one at hand apart. */
size_t transaction_chunks(const struct transaction *t);
/* The final dot, or a chunk, was written whole: it will be answered. */
void transaction_wrote_end(struct transaction *t);
/* What ends the message has more than one reply, one for each recipient. */
bool transaction_has_many_ends(const struct transaction *t);

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
