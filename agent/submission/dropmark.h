/*
 * dropmark - which dropped files the queue has messages of: the value of the queue's state DROPMARK_STATE.
 *
 * It is written with every acceptance, names the files that may still lie there although all or some of their
 * recipients have the message, and is all that is needed to take none of them twice:
 *
 *     NAME -          whole: only to be removed
 *     NAME 1000 501   the first 1000 recipients have it; uid 501's
 *
 * Owns:    the list and the text. Bounded: DROPMARK_WHOLE files whose removal is not on stable storage yet, and
 *          DROPMARK_PARTS that are taken in part, of one user at most DROPMARK_OWN.
 * Threads: one.
 */
#ifndef DROPMARK_H
#define DROPMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "smtp/dropfile.h"

#define DROPMARK_STATE "drop"

enum { DROPMARK_WHOLE = 64, DROPMARK_PARTS = 64, DROPMARK_OWN = 4, DROPMARK_MAX = DROPMARK_WHOLE + DROPMARK_PARTS };

struct dropmark {
	char name[DROPFILE_NAME_SIZE];
	bool is_whole;
	uint32_t done; /* recipients, where it is not whole */
	uint32_t uid;
};

struct dropmarks {
	struct dropmark list[DROPMARK_MAX];
	size_t count;
	struct buf text;
};

void dropmark_init(struct dropmarks *m);
void dropmark_fini(struct dropmarks *m);
/* What was written; lines that cannot be read are passed over. */
void dropmark_read(struct dropmarks *m, struct span text);
/* The value, with this file as well (NULL: as it is); valid until the next call. Empty where there is none. */
struct span dropmark_write(struct dropmarks *m, const struct dropmark *also);

const struct dropmark *dropmark_find(const struct dropmarks *m, const char *name); /* or NULL */
/* Replaces the one of the same name. There must be room: see below. */
void dropmark_set(struct dropmarks *m, const struct dropmark *mark);
void dropmark_forget(struct dropmarks *m, const char *name);
void dropmark_forget_whole(struct dropmarks *m);

bool dropmark_has_room(const struct dropmarks *m);                       /* for one that is whole */
bool dropmark_has_room_in_part(const struct dropmarks *m, uint32_t uid); /* for one that is not */
size_t dropmark_whole(const struct dropmarks *m);

#endif
