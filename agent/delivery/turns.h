/*
 * turns - a line in which submitters take turns, whoever came first with however much; urgent bands go before.
 *
 * Submitters share TURNS_LINES lines by the hash of their name, so that its size is fixed: one who fills a line delays
 * those in the same line, and nobody else.
 * Owns:    nothing: what stands in it may leave by list_remove().
 * Threads: any, one object per thread.
 */
#ifndef TURNS_H
#define TURNS_H

#include <stdbool.h>

#include "base/list.h"

enum { TURNS_BANDS = 4, TURNS_LINES = 32 };

struct turns {
	struct list lines[TURNS_BANDS][TURNS_LINES];
	unsigned next[TURNS_BANDS]; /* the line whose turn it is */
};

/* Which of TURNS_LINES a submitter stands in. */
unsigned turns_line(const char *submitter);
void turns_init(struct turns *turns);
/* To the end of the submitter's line; it stands in no line. */
void turns_join(struct turns *turns, struct list *node, unsigned band, const char *submitter);
/* Out of the line whose turn it is; NULL: nobody waits. */
struct list *turns_take(struct turns *turns);
bool turns_is_empty(const struct turns *turns);

#endif
