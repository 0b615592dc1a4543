/*
 * verbs - the table of what sendoff(1) can do: it drives dispatch, the options that are taken, and help.
 *
 * Threads: one.
 */
#ifndef VERBS_H
#define VERBS_H

#include <stdio.h>

#include "cli.h"

enum {
	VERBS_FILTER = 1 << 0,  /* the filter's options, ids as arguments */
	VERBS_ASK = 1 << 1,     /* --yes and --dry-run */
	VERBS_DRAIN = 1 << 2,   /* --timeout and --close */
	VERBS_RAW = 1 << 3,     /* reads its own options */
	VERBS_EXPLAIN = 1 << 4, /* --from, --to, --user, --uid, --listener and --host */
	VERBS_USER = 1 << 5,    /* --file, --password-stdin and --hash-stdin */
	VERBS_DAY = 1 << 7,     /* --day */
	VERBS_ENDS = 1 << 6,    /* --from and --to */
};

struct verbs_row {
	const char *name;
	const char *arguments; /* for the synopsis */
	const char *summary;   /* one line */
	const char *details;   /* for `help VERB`; "" for none */
	unsigned takes;
	int min_words, max_words;
	int (*run)(struct cli *cli); /* the exit status */
};

const struct verbs_row *verbs_find(const char *name); /* or NULL */
/* The nearest name, for "did you mean"; NULL: none is near. */
const char *verbs_nearest(const char *name);
void verbs_usage(FILE *out);
void verbs_help(FILE *out, const struct verbs_row *row);

#endif
