/*
 * addresslist - take the addresses out of a To, Cc or Bcc field or a list somebody typed (RFC 5322, 3.4 and 4.4).
 *
 * Owns:    nothing; the value is borrowed until the end was handed out.
 * Never:   guesses: what is neither an address nor clearly a name in front of one is an error, since half a list must
 *          not be mailed. Names, comments and folding are dropped; the address keeps its bytes, quoting and all.
 * Threads: any, one object per thread.
 *
 * Understood: mailboxes with and without a display name, groups (also empty and unclosed ones), quoted strings,
 * comments (nested), domain literals, source routes (dropped), empty places between commas, ';' in place of ',',
 * bare local parts ("root"). Whether an address is well formed is for smtp/address.h to say.
 *
 * Where in the value an address stands is told too, so that it can be changed and everything around it kept.
 */
#ifndef ADDRESSLIST_H
#define ADDRESSLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

enum addresslist_verdict { ADDRESSLIST_ADDRESS, ADDRESSLIST_END, ADDRESSLIST_BAD };

struct addresslist {
	struct span rest;
	const char *error; /* after BAD: what is wrong, for people (lower case, no dot) */
	/* After ADDRESS, parts of the value: */
	struct span where;   /* from the first byte of the address to the last, comments and folding between and all */
	struct span phrase;  /* its display name in front of the '<' as written; empty for none */
	struct span comment; /* inside of the last comment of its place; empty for none */
	struct span end;     /* empty; where its mailbox ends: behind the '>', else behind the address */
};

enum { ADDRESSLIST_MAX = 1000 }; /* bytes that are enough for any address */

void addresslist_init(struct addresslist *l, struct span value);
/* The next address into `out`, which is cleared first and should hold ADDRESSLIST_MAX bytes. After END or BAD the list
 * is over. After BAD, `out` holds what was read of the address. */
enum addresslist_verdict addresslist_next(struct addresslist *l, struct buf *out);

#endif
