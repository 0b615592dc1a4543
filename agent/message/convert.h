/*
 * convert - turn a stored message into one that the next hop can carry (RFC 2045, 2046, 3030, 6152): what it cannot
 *           take is put into quoted-printable or base64, part by part.
 *
 * Owns:    what it has to remember of the message: the boundaries that are open, one byte for each part (at most
 *          CONVERT_PARTS_MAX), and the line it may have to hold back (1 KB). Never the message.
 * Never:   changes, folds or orders a header field but Content-Transfer-Encoding of what it changes; touches a part
 *          that is signed or encrypted; decodes and re-encodes what is fit to be sent.
 * Threads: any, one object per thread.
 *
 * A message is read twice, whole both times, cut in any way: first to find out whether and what must change, and how
 * long the result will be; then to change it.
 *
 *     struct convert *c = convert_new(CONVERT_7BIT);
 *
 *     for each piece of the message
 *             convert_scan(c, piece);
 *     f = convert_scan_end(c);
 *     if (f->cannot)
 *             refuse it: "5.6.3 " and convert_why_text(f->cannot);
 *     else if (!f->needed)
 *             send it as it is;
 *     else {
 *             announce SIZE=f->size_bytes;
 *             for each piece of the message
 *                     while (piece.len) {
 *                             convert_feed(c, &piece, out);
 *                             take all of out away;
 *                     }
 *             while (!convert_end(c, out))
 *                     take all of out away;
 *     }
 *     convert_free(c);
 *
 * After convert_end() the message may be fed once more (another attempt); convert_rewind() does that in the middle.
 *
 * Written rules:
 * - A part is changed only where a byte of it must be: one above 127 (CONVERT_7BIT), NUL, a CR or LF that is not of a
 *   CRLF, a line of more than 998 bytes. Where nothing must change, the message stays as it is, labels and all.
 * - Text (also a part without Content-Type) becomes quoted-printable, its line ends stay line ends; text with NUL or
 *   bare CR or LF is not made of lines and becomes base64, as all that is not text. Decoded they are the same bytes.
 * - A part that is already quoted-printable or base64 is mended: forbidden bytes are quoted, or dropped where base64
 *   ignores them; lines are broken. What is labelled base64 and whose first line is none has a wrong label, and all of
 *   it is put into base64.
 * - multipart/..., message/rfc822 and message/global are never encoded but looked into, at most CONVERT_DEPTH_MAX
 *   deep. Those labelled 8bit or binary are labelled anew; so are parts that did not need to change.
 * - The fields of message/delivery-status and its kin count as header. Other message/... types, and what lies deeper
 *   or in a multipart whose boundary is missing or longer than CONVERT_BOUNDARY_MAX, cannot be changed.
 * - What is inside multipart/signed or multipart/encrypted cannot be changed (RFC 1847, 2.1).
 * - In front of the first and behind the last part of a multipart nobody looks: forbidden bytes become '?', long lines
 *   are folded.
 * - A message (also an enclosed one) without MIME-Version gets one when its body is encoded, and, without Content-Type,
 *   Content-Type: text/plain; charset=unknown-8bit for bytes above 127 (RFC 1428).
 * - Bytes above 127 and long lines in headers cannot be helped: they are reported and stay. A NUL in a header cannot
 *   be sent. A bare CR or LF in a header or at a boundary is a line end and becomes CRLF.
 * - A line is a boundary's when it is "--", a boundary that is open (the innermost first), perhaps "--", and blanks
 *   only, up to 998 bytes (RFC 2046, 5.1.1). The line end in front of it belongs to it.
 * - A field name is at most 998 bytes long; of a Content-Type the first CONVERT_VALUE_MAX bytes count.
 */
#ifndef CONVERT_H
#define CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum {
	CONVERT_LINE_MAX = 998, /* RFC 5322, 2.1.1 */
	CONVERT_DEPTH_MAX = 100,
	CONVERT_PARTS_MAX = 64 * 1024,
	CONVERT_BOUNDARY_MAX = 200, /* RFC 2046 allows 70 */
	CONVERT_VALUE_MAX = 4096,
	CONVERT_OUT_MIN = 16 * 1024, /* the least cap of `out` */
};

enum convert_target {
	CONVERT_8BIT, /* what DATA can carry with 8BITMIME */
	CONVERT_7BIT, /* what every server can carry */
};

/* Why a message that must change cannot: name, words for the one who sent it. */
#define CONVERT_WHYS(X)                                                                          \
	X(NOTHING, "")                                                                           \
	X(SEALED, "a signed or encrypted part would have to be changed, which would break it")   \
	X(FIXED, "a part of a type that must not be encoded would have to be")                   \
	X(STRUCTURE, "a multipart that cannot be split into its parts would have to be changed") \
	X(DEPTH, "a part that would have to be changed is nested too deeply")                    \
	X(PARTS, "it would have to be changed and has too many parts")                           \
	X(NUL, "its header has a NUL byte")

enum convert_why {
#define X(name, text) CONVERT_##name,
	CONVERT_WHYS(X)
#undef X
};

const char *convert_why_text(enum convert_why why);

struct convert_facts {
	bool needed;             /* some byte must change */
	enum convert_why cannot; /* CONVERT_NOTHING: it can be done (or need not be); the first reason found */
	bool header_8bit;        /* needs SMTPUTF8 (RFC 6531), or a server that does not mind */
	bool header_long;        /* a line of a header is longer than 998 bytes */
	uint64_t size_bytes;     /* of the result; of the message where nothing is needed or possible */
	uint32_t parts;          /* seen, the message itself and multiparts counted */
	uint32_t changed;        /* of these encoded or mended */
};

struct convert *convert_new(enum convert_target target);
void convert_free(struct convert *c);

/* The first reading. The facts live as long as the object. */
void convert_scan(struct convert *c, struct span in);
const struct convert_facts *convert_scan_end(struct convert *c);
/* Valid after convert_scan_end(). */
const struct convert_facts *convert_facts(const struct convert *c);

/* The second reading, of the same bytes; not where the facts say `cannot`. Takes bytes off the front of *in and
 * appends what they become; leaves some in *in when `out` (cap: CONVERT_OUT_MIN or more) has no room: empty it, call
 * again. */
void convert_feed(struct convert *c, struct span *in, struct buf *out);
/* The message is whole. False: `out` has no room; empty it, call again. */
bool convert_end(struct convert *c, struct buf *out);
/* The second reading starts anew. */
void convert_rewind(struct convert *c);

#endif
