/*
 * aliases - a table in the form of aliases(5): "root: me@example.com, joe", continued lines, comments, quotes,
 *           ":include:/file", "*: …" for every other local name.
 *
 * Owns:    the table with copies of all text. Pure: who reads files hands in their text.
 * Never:   runs or writes anything: "|command" and "/file" are refused with their place.
 * Bounds:  ALIASES_MAX_BYTES of text with all includes, ALIASES_DEPTH levels, ALIASES_TARGETS of one expansion.
 * Threads: any, one object per thread.
 */
#ifndef ALIASES_H
#define ALIASES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

enum { ALIASES_MAX_BYTES = 4 * 1024 * 1024, ALIASES_DEPTH = 20, ALIASES_TARGETS = 1000 };

struct aliases;

/* One reference. */
struct aliases *aliases_new(void);
struct aliases *aliases_ref(struct aliases *a);
void aliases_unref(struct aliases *a); /* NULL is fine */
/* Names at this domain are names of this machine too, as those at localhost are: "postmaster: root@host.example"
 * follows root. Before aliases_read(), at most eight times. */
void aliases_local(struct aliases *a, const char *domain);

/* Reads the text of the main file (called once). What is wrong is appended to `errors` as lines "file:line: …"; the
 * lines that are right count all the same. Returns the number of mistakes. */
unsigned aliases_read(struct aliases *a, const char *file, struct span text, struct buf *errors);
/* The next file that an :include: names and that was neither supplied nor given up; NULL: none. Borrowed. */
const char *aliases_wanted(const struct aliases *a);
/* Its text (one address list a line, "#" comments), or that it cannot be read (`text` NULL: `why` says so). */
unsigned aliases_supply(struct aliases *a, const char *file, const struct span *text, const char *why,
			struct buf *errors);

/* One address that a name became, and the line that said so. */
struct aliases_target {
	const char *address; /* a bare local part where it is no alias itself */
	const char *file;
	int line;
};

struct aliases_result {
	struct aliases_target targets[ALIASES_TARGETS];
	size_t count;
};

enum aliases_verdict {
	ALIASES_NONE, /* no alias of that name: it stays what it is */
	ALIASES_DONE,
	ALIASES_MANY, /* more than ALIASES_TARGETS, or too deep */
	ALIASES_LOST, /* everything it leads to is broken or a file that cannot be read */
};

/* Follows a local part (without quotes; ASCII case folded) to its ends, each address once. A name that leads back to
 * itself ("root: root, me@example.com") means the mailbox of that name. Text lives as long as the table. */
enum aliases_verdict aliases_expand(const struct aliases *a, struct span local, struct aliases_result *out);

#endif
