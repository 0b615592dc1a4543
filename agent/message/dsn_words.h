/*
 * dsn_words - the part of a delivery status notification that people read.
 *
 * Says in plain words what became of the mail, what the other side said, and what the reader can do. UTF-8, CRLF line
 * ends, lines of about 74 columns; text from outside is cleaned and cannot start a line of its own.
 * Owns:    nothing; pure.
 * Threads: any.
 */
#ifndef DSN_WORDS_H
#define DSN_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "message/dsn.h"

/* What stands in front of the original's subject: "Not delivered: ". */
const char *dsn_words_subject(const struct dsn_report *r);
/* All of it. False: `out` is full. */
bool dsn_words(struct buf *out, const struct dsn_report *r);
/* What the reader can do about an enhanced status code, one sentence; "" where nothing helps. */
const char *dsn_words_advice(const char *status);

enum { DSN_WORDS_PER_RCPT = 3072, DSN_WORDS_FIXED = 8192 }; /* bytes that are always enough */

#endif
