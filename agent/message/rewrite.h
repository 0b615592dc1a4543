/*
 * rewrite - turn the raw value of one header field into its new raw value, because a rule of the configuration says so.
 *
 * Owns:    room for the addresses of one alias; everything else is the caller's.
 * Never:   touches a byte that is not part of an address it changes: names, comments, folding and groups stay. A value
 *          that cannot be parsed as a whole, or holds NUL or another control character, stays as it is.
 * Threads: any, one object per thread.
 *
 * Written rules:
 * - A bare local part gets "@domain" right behind it. An address that is not well formed (RFC 5321, 4.1.2) stays.
 * - A name of this machine is a bare local part, or one at `qualify`, localhost or localhost.localdomain. In a field
 *   of recipients it becomes the addresses of its alias: the first in its place, the others behind its mailbox. Without
 *   an alias it becomes `to`. So does a name of this machine that an alias leads to.
 * - Of one header at most REWRITE_NAMES_MAX names are looked up; the others only get their domain.
 */
#ifndef REWRITE_H
#define REWRITE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "message/aliases.h"
#include "smtp/address.h"

enum { REWRITE_NAMES_MAX = 100, REWRITE_NAME_BYTES = 256 /* of a display name of ours */ };

/* Text is borrowed, NULL is "not said". */
struct rewrite_rules {
	const char *qualify; /* domain for bare local parts */
	const char *from;    /* the address that From gets */
	const char *name;    /* its display name, UTF-8; NULL: that of the first mailbox that was there */
	const char *to;      /* for names of this machine without an alias */
	struct aliases *aliases;
	bool utf8; /* the header may hold UTF-8 (SMTPUTF8); else names are encoded and domains ASCII where they can be */
};

struct rewrite {
	struct rewrite_rules rules;
	char domain[ADDRESS_DOMAIN_SIZE]; /* to qualify with, or "" */
	bool is_idn;                      /* it has a form of other letters */
	struct aliases_result *found;     /* NULL until an alias is looked up */
	unsigned lookups;
};

void rewrite_init(struct rewrite *r, const struct rewrite_rules *rules);
void rewrite_fini(struct rewrite *r);

enum rewrite_verdict {
	REWRITE_SAME,    /* the value stays; nothing was appended */
	REWRITE_CHANGED, /* the new value was appended */
	REWRITE_FULL,    /* it is longer than `out` may be */
};

/* A field of addresses; `recipients`: aliases and `to` apply. */
enum rewrite_verdict rewrite_addresses(struct rewrite *r, struct span value, bool recipients, struct buf *out);

/* A From field under an identity. CHANGED: *out_replaced says whether another mailbox stands there now than before, so
 * that the old value is to be kept elsewhere, and *out_parsed whether the old value is a list of mailboxes at all.
 * What cannot be parsed is replaced as well: the address counts, not the form of what was there. */
enum rewrite_verdict rewrite_from(struct rewrite *r, struct span value, struct buf *out, bool *out_replaced,
				  bool *out_parsed);
/* The value of a From field where there was none (rules.from is said). */
enum rewrite_verdict rewrite_new_from(struct rewrite *r, struct buf *out);

#endif
