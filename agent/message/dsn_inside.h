/*
 * dsn_inside - pieces of reports that dsn.c and dsn_digest.c share.
 *
 * All append to `out`, with CRLF line ends and text from outside cleaned; false: it is full.
 * Threads: any.
 */
#ifndef DSN_INSIDE_H
#define DSN_INSIDE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "message/dsn.h"

/* From, To, Subject (`verdict` as it is, `what` cleaned), Date, Message-ID. */
bool dsn_write_origin(struct buf *out, const struct dsn_report *r, const char *verdict, const char *what);
/* The boundary and the header of a part; `encoding` NULL: none. */
bool dsn_write_part(struct buf *out, const struct dsn_report *r, const char *type, const char *encoding);
/* A part of text for people, which is UTF-8. */
bool dsn_write_words(struct buf *out, const struct dsn_report *r, struct span text);
/* The part of RFC 3464. */
bool dsn_write_status_part(struct buf *out, const struct dsn_report *r);

#endif
