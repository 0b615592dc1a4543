/*
 * protocol - the records between the agent and sendoff-helper.
 *
 * A record: length 4 (of what follows, big-endian), kind 1, id 4, payload. RUN and CHECK carry the timeout (4,
 * milliseconds) before the command, or before what is kept of a password, a NUL and the password; FETCH likewise before
 * what protocol_fetch_write() makes. An id belongs to one request from there to its OUTPUT (of CHECK: "yes" or "no"),
 * ANSWER (of FETCH) or FAILED; there is none after CANCEL.
 *
 * Owns nothing; pure. A record read borrows the bytes it was read from.
 * Threads: any.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>

#include "base/buf.h"

enum { PROTOCOL_PAYLOAD = 68 * 1024, PROTOCOL_HEAD = 9, PROTOCOL_RECORD = PROTOCOL_HEAD + 4 + PROTOCOL_PAYLOAD };

enum protocol_kind {
	PROTOCOL_RUN = 1, /* agent: run this command */
	PROTOCOL_CANCEL,  /* agent: end it, say nothing more of it */
	PROTOCOL_OUTPUT,  /* helper: it went well and printed this */
	PROTOCOL_FAILED,  /* helper: it failed, for this reason */
	PROTOCOL_CHECK,   /* agent: is this the password? */
	PROTOCOL_FETCH,   /* agent: send this request of HTTPS */
	PROTOCOL_ANSWER,  /* helper: this is what came of it */
};

enum protocol_verdict { PROTOCOL_MORE, PROTOCOL_DONE, PROTOCOL_BAD };

struct protocol_record {
	enum protocol_kind kind;
	uint32_t id;
	uint32_t timeout_ms; /* RUN, CHECK, FETCH */
	struct span payload;
};

/* One record at the front of `in`, whose length is put into *out_used. */
enum protocol_verdict protocol_read(struct span in, struct protocol_record *out, size_t *out_used);
/* Appends it; false: larger than a record may be, or than `out` may grow. */
bool protocol_write(struct buf *out, const struct protocol_record *record);

/* What FETCH carries: max_bytes 4, then each field as length 4 and bytes; nothing behind them. */
struct protocol_fetch {
	uint32_t max_bytes;
	struct span url, addresses, ca_file,
		content_type; /* text without control characters; all but `url` may be empty */
	struct span body;
};
enum { PROTOCOL_BODY = 64 * 1024, PROTOCOL_URL = 2048, PROTOCOL_TEXT = 4096 };
/* What ANSWER carries: flags 1, status 2, `text` and `body` as length 4 and bytes; nothing behind them. */
struct protocol_answer {
	bool ok, is_tls;
	uint16_t status;
	struct span text; /* ok: the content type, or empty; else what went wrong. No control characters */
	struct span body; /* ok only */
};

/* Appends the payload; false: something is too long, or is not what it may be. */
bool protocol_fetch_write(struct buf *out, const struct protocol_fetch *fetch);
bool protocol_answer_write(struct buf *out, const struct protocol_answer *answer);
/* False: it is not what the writers make. What is read borrows the payload. */
bool protocol_fetch_read(struct span payload, struct protocol_fetch *out);
bool protocol_answer_read(struct span payload, struct protocol_answer *out);

#endif
