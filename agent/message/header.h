/*
 * header - read the header section of an RFC 5322 message: where it ends, which fields it has.
 *
 * Owns:    nothing; it works on the message's first bytes, which the caller keeps in one piece until the end of the
 *          header is found. Positions are offsets, so the caller may move them between calls.
 * Never:   changes a byte; decides what a message must have (fixup.h does).
 * Threads: any, one object per thread.
 *
 * A field is a name of printable ASCII without blanks, possibly blanks (RFC 5322, 4.5), a colon, and everything up to
 * a line end that no blank follows. The first empty line ends the header; so does a line that is neither a field nor
 * the continuation of one: it already belongs to the body. If that is the first line, there is no header. A line ends
 * with LF, a CR before it belongs to the line end.
 */
#ifndef HEADER_H
#define HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* The fields that are told apart. */
#define HEADER_FIELDS(X)                          \
	X(FROM, "From")                           \
	X(SENDER, "Sender")                       \
	X(REPLY_TO, "Reply-To")                   \
	X(TO, "To")                               \
	X(CC, "Cc")                               \
	X(BCC, "Bcc")                             \
	X(DATE, "Date")                           \
	X(MESSAGE_ID, "Message-ID")               \
	X(SUBJECT, "Subject")                     \
	X(RECEIVED, "Received")                   \
	X(RETURN_PATH, "Return-Path")             \
	X(DELIVERED_TO, "Delivered-To")           \
	X(AUTO_SUBMITTED, "Auto-Submitted")       \
	X(PRECEDENCE, "Precedence")               \
	X(RESENT_FROM, "Resent-From")             \
	X(RESENT_SENDER, "Resent-Sender")         \
	X(RESENT_REPLY_TO, "Resent-Reply-To")     \
	X(RESENT_TO, "Resent-To")                 \
	X(RESENT_CC, "Resent-Cc")                 \
	X(RESENT_BCC, "Resent-Bcc")               \
	X(RESENT_DATE, "Resent-Date")             \
	X(RESENT_MESSAGE_ID, "Resent-Message-ID") \
	X(MIME_VERSION, "MIME-Version")           \
	X(CONTENT_TYPE, "Content-Type")

enum header_name {
#define X(name, text) HEADER_##name,
	HEADER_FIELDS(X)
#undef X
		HEADER_OTHER, /* every other field */
	HEADER_NAMES,
};

const char *header_name_text(enum header_name name); /* "Message-ID"; HEADER_OTHER: "" */
enum header_name header_name_of(struct span name);   /* ASCII case folded */

struct header {
	size_t at;             /* what has been read: the start of the line that is not yet whole */
	size_t searched;       /* the line end was looked for up to here */
	size_t length;         /* at the end: of the header, without the empty line */
	size_t body;           /* at the end: where the body begins */
	bool any;              /* a field was seen */
	enum header_name last; /* the field that a continuation line belongs to */
	uint32_t counts[HEADER_NAMES];
	struct {
		size_t from, to; /* the first one's value: behind the colon up to its last line end */
	} first[HEADER_NAMES];
};

enum header_verdict {
	HEADER_MORE, /* no end yet */
	HEADER_DONE, /* length and body are set; all of length is fields */
	HEADER_NONE, /* the first line is no field: length and body are 0 */
};

void header_init(struct header *h);
/* `text` is the message from its first byte, as far as it is known; bytes already read are not read again. After DONE
 * or NONE it must not be called again. */
enum header_verdict header_scan(struct header *h, struct span text);
/* The message ends with `text`: DONE or NONE (for an empty message too). A last line without line end counts. */
enum header_verdict header_finish(struct header *h, struct span text);

/* It has a field that somebody who sends it again has put in (RFC 5322, 3.6.6). */
bool header_is_resent(const struct header *h);

/* The raw value of the first field of that name (from behind the colon to before its last line end, folding and all);
 * empty where there is none. Valid as long as `text` is. */
struct span header_first(const struct header *h, struct span text, enum header_name name);
/* The same unfolded, without comments being touched, encoded words of UTF-8, US-ASCII and ISO-8859-1 decoded (RFC
 * 2047), cleaned by text_clean(), at most `max` bytes. Appends to `out`; false at its cap. */
bool header_text(struct buf *out, struct span value, size_t max);

/* ---------------------------------------------------------------- field by field */

/* The length of the field name at the front of a line, and where its value begins; false: the line is no field. */
bool header_split(struct span line, size_t *out_name, size_t *out_value);

struct header_field {
	enum header_name name;
	struct span label; /* the name as written */
	struct span value; /* raw, from behind the colon to before the last line end */
	struct span whole; /* with its line end */
};

/* Takes the first field off *rest, which is a header as header_scan() found it. False: nothing is left, or what is
 * left is no field. */
bool header_next(struct span *rest, struct header_field *out_field);

#endif
