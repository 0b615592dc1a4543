/*
 * draft - the envelope of one message on its way in: what the rules make of its sender and recipients, and what the
 * queue is to be told.
 *
 * Owns:    its text, and a reference to the aliases it began with, so that all recipients of a message follow the same
 *          table. Each address is in it once, however many recipients led to it.
 * Bounds:  DRAFT_TEXT_MAX of addresses; as many recipients as draft_to() is told.
 * Never:   reads a clock; talks to the queue.
 * Threads: any, one object per thread.
 *
 * Written rules:
 * - A recipient that was named twice, or by two aliases, gets the message once; the ways it wants to be notified add up.
 * - What an alias or an identity changed keeps what was given as its ORCPT (RFC 3461, 5.2.7), unless the client said
 *   one. NOTIFY goes with every address of an alias.
 * - MT-PRIORITY above 0 is served in the first band, 0 in the second, below in the third.
 * - A message that is held until later (FUTURERELEASE) lives and warns from its release on.
 * - DELIVERBY counts from MAIL on. R: given up then, if not before. N: warned then, if not before; where the time had
 *   passed when it came, whoever handed it on has told.
 * - SMTPUTF8 is asked of the next hop where the client said it and a header or address has such letters, or where an
 *   address that a rule put in does; a message that only might have had them goes to every server.
 * - A message with a NUL is binary, whatever was declared; one with a byte above 127 is 8-bit.
 */
#ifndef DRAFT_H
#define DRAFT_H

#include "config.h"
#include "envelope.h"
#include "message/aliases.h"
#include "message/fixup.h"
#include "queue/queue.h"
#include "smtp/server.h"
#include "who.h"

enum { DRAFT_TEXT_MAX = 4 * 1024 * 1024, DRAFT_HOLD_MAX_DAYS = 30 };

struct draft;

/* Config and who are borrowed; the who only for the next call. `aliases` may be NULL. */
struct draft *draft_new(const struct config *config, struct aliases *aliases, int64_t wall_ms);
void draft_free(struct draft *d); /* NULL is fine */

/* The sender of MAIL. False: `out_reply` says why; its text dies with the draft or at the next call. */
bool draft_sender(struct draft *d, const struct who *who, const struct server_envelope *envelope,
		  struct server_reply *out_reply);
/* One recipient; all that it leads to are in, or none. At most `max` in all. */
bool draft_to(struct draft *d, const struct server_rcpt *rcpt, uint32_t max, struct server_reply *out_reply);
uint32_t draft_count(const struct draft *d);
/* Takes out again those behind the first `count`. */
void draft_cut(struct draft *d, uint32_t count);
const struct envelope_from *draft_from(const struct draft *d);
struct aliases *draft_aliases(const struct draft *d); /* or NULL */

/* What is known when the message is whole. */
struct draft_end {
	const struct config *routes; /* decide now, and may be newer than the draft's configuration */
	const struct server_envelope *envelope;
	const struct fixup_facts *facts;
	bool header_8bit;
	uint64_t id;
	const char *submitter;
	uint32_t uid;
	const char *origin;
	int64_t wall_ms;
};

/* Fills in an envelope for queue_op_accept() and returns draft_count() recipients; all are borrowed from the draft and
 * from `end`. */
const struct queue_rcpt *draft_seal(struct draft *d, const struct draft_end *end, struct queue_envelope *out);

#endif
