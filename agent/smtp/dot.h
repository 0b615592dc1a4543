/*
 * dot - the transparency of message data (RFC 5321, 4.5.2): reading it up to its one true end, and writing it.
 *
 * Owns nothing; a decoder or encoder is a small value. What they hand out lies in the input wherever it can, else in
 * constants; both work on any cut of the stream.
 * Never:   ends data at anything but CRLF.CRLF; writes a bare CR or LF, or a dot that was not stuffed.
 * Threads: any, one object per thread.
 */
#ifndef DOT_H
#define DOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum dot_place {
	DOT_LINE_START, /* after CRLF, or at the very start: here a dot has a meaning */
	DOT_IN_LINE,
	DOT_AFTER_CR,  /* the CR is held back */
	DOT_AFTER_DOT, /* decoder: a dot at the start of a line is held back */
	DOT_AFTER_DOT_CR,
	DOT_ENDED,
};

enum dot_found {
	DOT_BARE_NEWLINE = 1 << 0, /* a CR or LF that is not part of a CRLF: handed out as CRLF */
	DOT_8BIT = 1 << 1,
	DOT_NUL = 1 << 2,
};

enum dot_verdict { DOT_MORE, DOT_DONE };

struct dot_decoder {
	enum dot_place place;
	unsigned found; /* enum dot_found, of everything so far */
};

/* At the start of data, just behind the CRLF of the DATA command. */
void dot_decode_init(struct dot_decoder *d);
/* Takes bytes off the front of *in and hands out what they mean: *out may be empty also when bytes were taken. DOT_MORE:
 * call again while *in is not empty. DOT_DONE: the end was read; what is left in *in does not belong to the data. */
enum dot_verdict dot_decode(struct dot_decoder *d, struct span *in, struct span *out);

/* Text that comes by its length (BDAT): the same rule about line ends, and no dot means anything. Begins like data;
 * call until *in is empty. */
void dot_text(struct dot_decoder *d, struct span *in, struct span *out);
/* What completes the last line of such a text, mostly nothing. */
struct span dot_text_end(struct dot_decoder *d);
/* Which of DOT_8BIT and DOT_NUL are in bytes that nobody decodes. */
unsigned dot_look(struct span s);

struct dot_encoder {
	enum dot_place place;
};

void dot_encode_init(struct dot_encoder *e);
/* The same the other way round: call until *in is empty. */
void dot_encode(struct dot_encoder *e, struct span *in, struct span *out);
/* What closes the data: completes the last line, then ".\r\n". The encoder is at the start again. */
struct span dot_encode_end(struct dot_encoder *e);
/* All of `in` appended to `out`; false: the cap is hit, and the encoder stands where the appended bytes end: `*in` is
 * what has not been taken. */
bool dot_encode_append(struct dot_encoder *e, struct span *in, struct buf *out);

#endif
