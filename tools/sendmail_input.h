/*
 * sendmail_input - what a program wrote to sendmail's standard input, made into a message with CRLF line ends.
 *
 * Owns:    nothing but its place in the stream.
 * Never:   stuffs dots (smtp/dot.h does when the message is sent); changes anything but line ends: LF, CRLF and a CR
 *          alone each end a line, and the last line gets an end where it lacks one.
 * Threads: any, one object per thread.
 */
#ifndef SENDMAIL_INPUT_H
#define SENDMAIL_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

struct sendmail_input {
	bool dot_is_text; /* -i */
	bool in_line;     /* the line under way has bytes */
	bool after_cr;    /* an LF belongs to the line end before it */
	bool after_dot;   /* the line under way is a dot, which is held back */
	bool ended;       /* a lone dot was read: the rest is nobody's */
	bool has_8bit;
	uint64_t bytes; /* written so far */
};

void sendmail_input_init(struct sendmail_input *in, bool dot_is_text);
/* Appends what `s` becomes to `out`, which must have room for 2 * s.len + 1 bytes. */
void sendmail_input_feed(struct sendmail_input *in, struct span s, struct buf *out);
/* The stream is at its end: what was held back, and the end of the last line; at most 3 bytes. */
void sendmail_input_finish(struct sendmail_input *in, struct buf *out);

#endif
