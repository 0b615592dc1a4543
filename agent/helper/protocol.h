/*
 * protocol - the records between the agent and sendoff-helper.
 *
 * A record: length 4 (of what follows, big-endian), kind 1, id 4, payload. RUN and CHECK carry the timeout (4,
 * milliseconds) before the command, or before what is kept of a password, a NUL and the password. An id belongs to one
 * request from there to its OUTPUT (of CHECK: "yes" or "no") or FAILED; there is none after CANCEL.
 *
 * Owns nothing; pure. A record read borrows the bytes it was read from.
 * Threads: any.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>

#include "base/buf.h"

enum { PROTOCOL_PAYLOAD = 64 * 1024, PROTOCOL_HEAD = 9, PROTOCOL_RECORD = PROTOCOL_HEAD + 4 + PROTOCOL_PAYLOAD };

enum protocol_kind {
	PROTOCOL_RUN = 1, /* agent: run this command */
	PROTOCOL_CANCEL,  /* agent: end it, say nothing more of it */
	PROTOCOL_OUTPUT,  /* helper: it went well and printed this */
	PROTOCOL_FAILED,  /* helper: it failed, for this reason */
	PROTOCOL_CHECK,   /* agent: is this the password? */
};

enum protocol_verdict { PROTOCOL_MORE, PROTOCOL_DONE, PROTOCOL_BAD };

struct protocol_record {
	enum protocol_kind kind;
	uint32_t id;
	uint32_t timeout_ms; /* RUN, CHECK */
	struct span payload;
};

/* One record at the front of `in`, whose length is put into *out_used. */
enum protocol_verdict protocol_read(struct span in, struct protocol_record *out, size_t *out_used);
/* Appends it; false: larger than a record may be, or than `out` may grow. */
bool protocol_write(struct buf *out, const struct protocol_record *record);

#endif
