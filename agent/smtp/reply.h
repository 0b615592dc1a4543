/*
 * reply - assemble the other side's replies from a byte stream (RFC 5321, 4.2).
 *
 * Owns:    its text buffer; the spans of a struct reply die at the next reply_feed() or reply_reset().
 * Never:   reads a clock or a socket; holds more than REPLY_LINES_MAX bytes; guesses.
 * Threads: any, one reader per thread.
 *
 * Replies are counted, so what a reply is must never be a matter of taste. Malformed (REPLY_BAD, for good) are:
 * a line that does not begin with a code 200 to 599 followed by a blank, '-' or the end of the line; a bare LF
 * or a bare CR; differing codes within one reply; a line beyond REPLY_LINE_MAX; more than REPLY_COUNT_MAX lines.
 * Not malformed: no text, control bytes, NUL and 8-bit text. They are cleaned (text_clean) as they come in.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum {
	REPLY_LINE_MAX = 2048,  /* bytes of one line without its CRLF; RFC 5321, 4.5.3.1.5 allows 510 */
	REPLY_COUNT_MAX = 128,  /* lines of one reply */
	REPLY_LINES_MAX = 8192, /* bytes of text kept of all lines; the rest is read and dropped */
	REPLY_TEXT_MAX = 512,   /* bytes of `text` */
};

/* RFC 3463; class 0: the reply had none. */
struct reply_status {
	uint8_t class;
	uint16_t subject, detail;
};

struct reply {
	unsigned code; /* 200 to 599; 0: words of our own, not a peer's reply */
	struct reply_status status;
	struct span text;  /* cleaned, one line, without code and enhanced status code; at most REPLY_TEXT_MAX bytes */
	struct span lines; /* cleaned lines as they came, each ended by '\n'; for EHLO */
};

enum reply_verdict { REPLY_MORE, REPLY_DONE, REPLY_BAD };

struct reply_reader {
	struct buf line;  /* the line under way, raw */
	struct buf lines; /* finished lines, cleaned, '\n' after each */
	struct buf text;  /* one-line form, made at the end */
	unsigned code, count;
	bool cr, bad, done;
};

void reply_init(struct reply_reader *reader);
void reply_fini(struct reply_reader *reader);
/* Forgets a reply that is under way, and that one was bad. */
void reply_reset(struct reply_reader *reader);

/* Takes bytes from the front of *io_input up to the end of one reply at most. REPLY_DONE: *out is that reply and
 * the rest of *io_input is untouched. REPLY_BAD: *io_input is left as it is from the offending byte on. */
enum reply_verdict reply_feed(struct reply_reader *reader, struct span *io_input, struct reply *out);
/* True between replies: nothing of a next one has been taken. */
bool reply_is_idle(const struct reply_reader *reader);

/* The enhanced status code at the front of `text` (RFC 2034, 4), if it is well formed and its class is that of
 * `code`; *out_rest is what follows it. */
bool reply_status_parse(struct span text, unsigned code, struct reply_status *out, struct span *out_rest);

/* "450 4.2.0 try again", "450 try again" or only the text when code is 0. False when `out` is full. */
bool reply_print(const struct reply *reply, struct buf *out);

#endif
