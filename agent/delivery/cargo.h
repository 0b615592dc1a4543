/*
 * cargo - the body of a load on its way to a next hop: read from the queue, looked at and converted where the hop cannot
 *         take it as it is.
 *
 * Owns:    a reader of the body, the converter, at most one chunk of the original and what it became.
 * Never:   holds a view of the queue across calls; touches a connection.
 * Threads: the queue's.
 *
 * A hop that lacks nothing gets the stored bytes, unread until they are sent. Where something is lacking the message is
 * read twice: cargo_look() in bounded steps, so that nobody else waits for it, then cargo_next() as for all others.
 */
#ifndef CARGO_H
#define CARGO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "message/convert.h"
#include "queue/queue.h"
#include "smtp/client.h"

/* What the next hop can take. */
struct cargo_terms {
	bool is_8bit, is_binary, is_utf8; /* 8BITMIME; CHUNKING and BINARYMIME; SMTPUTF8 */
};
struct cargo_terms cargo_terms(unsigned extensions); /* EHLO_BIT() of smtp/ehlo.h */

struct cargo {
	uint64_t id;
	enum queue_body body;
	uint64_t size_bytes;
	struct queue_body_reader reader;
	bool is_open;     /* the reader is */
	bool is_too_much; /* for the hop, as it is stored */
	enum convert_target target;
	struct convert *convert; /* NULL: nobody has to look at it */
	struct buf rest;         /* of a chunk, not yet converted */
	struct buf out;
};

void cargo_init(struct cargo *c, uint64_t id, enum queue_body body, uint64_t size_bytes);
/* Nothing is left of it; may be called at any time and twice. */
void cargo_fini(struct cargo *c);

/* Whether a hop on these terms must be spared something, so that the message has to be looked at. `needs_utf8`: it came
 * with SMTPUTF8. */
bool cargo_begin(struct cargo *c, struct cargo_terms terms, bool needs_utf8);

enum cargo_look {
	CARGO_MORE, /* call again, in another turn */
	CARGO_DONE, /* *out tells; the facts live as long as the cargo or until cargo_next() */
	CARGO_BAD,  /* *out_err: the body could not be read */
};
enum cargo_look cargo_look(struct cargo *c, struct queue_view *view, const struct convert_facts **out,
			   enum queue_err *out_err);
/* What is announced of it. After cargo_begin() and, where it said so, cargo_look(). */
enum client_content cargo_content(const struct cargo *c);
uint64_t cargo_size(const struct cargo *c); /* bytes; 0: not known */

/* The next bytes, at most CLIENT_BODY_MAX; borrowed until the next call or the end of the view. `out_is_last`: nothing
 * follows. */
enum queue_err cargo_next(struct cargo *c, struct queue_view *view, struct span *out, bool *out_is_last);

#endif
