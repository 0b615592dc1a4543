/*
 * convert_encode - the encodings of RFC 2045 as streams, line ends apart from the rest, into room that is known to be
 *                  enough; or without room, only to count.
 *
 * Owns nothing; small values. Any cut of the text between line ends gives the same bytes.
 * Threads: any, one object per thread.
 */
#ifndef CONVERT_ENCODE_H
#define CONVERT_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Where bytes go. */
struct convert_sink {
	char *at, *end; /* NULL: they are counted only */
	uint64_t bytes; /* put so far */
};

void convert_encode_put(struct convert_sink *sink, struct span s);

enum convert_encoding {
	CONVERT_ENCODE_NOT,
	CONVERT_ENCODE_QP,
	CONVERT_ENCODE_BASE64,
	CONVERT_ENCODE_MEND_QP,     /* what is quoted-printable but for some bytes or lines */
	CONVERT_ENCODE_MEND_BASE64, /* likewise */
	CONVERT_ENCODE_MARGIN,      /* text that nobody reads: '?' for what is forbidden */
};

enum convert_eol { CONVERT_EOL_NONE, CONVERT_EOL_CRLF, CONVERT_EOL_LF, CONVERT_EOL_CR };

struct convert_encoder {
	enum convert_encoding encoding;
	bool seven;    /* MARGIN: bytes above 127 are forbidden */
	bool altered;  /* MARGIN: something was */
	size_t column; /* of the line that is being written */
	char held[3];  /* QP: a blank; MEND_QP: "=", "=X"; BASE64: what does not fill a group */
	unsigned held_len;
};

/* Text without line ends; but BASE64 takes any bytes. */
void convert_encode_text(struct convert_encoder *e, struct span s, struct convert_sink *sink);
/* A line end as it came. NOT and BASE64 keep it, the others make it CRLF. */
void convert_encode_eol(struct convert_encoder *e, enum convert_eol eol, struct convert_sink *sink);
/* `last`: nothing follows, not even a boundary. */
void convert_encode_end(struct convert_encoder *e, bool last, struct convert_sink *sink);

/* All of it is of base64's alphabet. */
bool convert_encode_is_base64(struct span s);

/* The bytes of a line end. */
struct span convert_encode_eol_text(enum convert_eol eol);

#endif
