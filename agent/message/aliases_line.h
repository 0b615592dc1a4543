/*
 * aliases_line - read the lines of an aliases(5) file and of the lists it includes: names, and what stands behind them.
 *
 * Owns:    nothing; results lie in the caller's buffers.
 * Never:   opens a file; knows which names there are.
 * Threads: any.
 *
 * A line that begins with a blank continues the one before; empty lines and lines whose first character is '#' count
 * for nothing, also between a line and its continuation. A comment within a line stands in (brackets).
 */
#ifndef ALIASES_LINE_H
#define ALIASES_LINE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"

/* Takes the next logical line off *rest into `out` (cleared first), one '\n' for each line end within, and adds the
 * lines passed to *line, which counts from 1. `continued`: lines that begin with a blank belong to the one before.
 * False: nothing is left. */
bool aliases_line_next(struct span *rest, int *line, bool continued, struct buf *out, int *out_first_line);

/* Takes "name:" off the front of a logical line: what it means (unquoted, ASCII case folded) goes to `out`, cleared
 * first. NULL, or what is wrong. `out_is_default`: it is a bare '*'. */
const char *aliases_line_name(struct span *line, struct buf *out, bool *out_is_default);

enum aliases_line_kind {
	ALIASES_LINE_ADDRESS, /* joe@example.org, or joe */
	ALIASES_LINE_MAILBOX, /* \joe: no alias, whatever there is */
	ALIASES_LINE_INCLUDE, /* :include:/path */
	ALIASES_LINE_BAD,
};

struct aliases_line_items {
	struct span rest;
	int line; /* where the item that was read last begins */
	enum aliases_line_kind kind;
	const char *error; /* of BAD: what is wrong */
	int passed;        /* line ends within it */
};

/* `list` is what aliases_line_name() left of a logical line, or all of a line; it begins in line `line`. */
void aliases_line_items(struct aliases_line_items *items, struct span list, int line);
/* The next item: its text goes to `out`, cleared first: the address in canonical form, or the path; after BAD the item
 * as it is written. False: nothing is left. */
bool aliases_line_item(struct aliases_line_items *items, struct buf *out);

#endif
