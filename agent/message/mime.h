/*
 * mime - the encodings of RFC 2045 and RFC 2047 that messages of our own making and listings need.
 *
 * Owns:    nothing; pure.
 * Threads: any.
 */
#ifndef MIME_H
#define MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/* RFC 2045, 6.7: lines of at most 76 characters, CRLF in `s` are line ends, any other control byte is encoded; ends
 * with CRLF. False: `out` is full. */
bool mime_quoted_printable(struct buf *out, struct span s);

/* A display name or unstructured text for a header field: as it is where it is plain ASCII, else as encoded words of
 * UTF-8 (RFC 2047), folded with CRLF SP. Control bytes become '?'; so do bytes that are not UTF-8. `phrase`: in front
 * of an address, so anything but atoms is quoted or encoded (RFC 5322, 3.2.5). */
bool mime_words_encode(struct buf *out, struct span s, bool phrase);

/* A display name for a message whose header may be UTF-8 (RFC 6532): atoms stay, all else is quoted. Cleaned like above,
 * in one line. */
bool mime_phrase_utf8(struct buf *out, struct span s);

/* Unfolds, and replaces encoded words whose charset is UTF-8, US-ASCII or ISO-8859-1 by UTF-8; whatever else there is
 * stays as it is. The result may hold any byte: clean it before it is shown. False: `out` is full. */
bool mime_words_decode(struct buf *out, struct span s);

#endif
