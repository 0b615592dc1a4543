/*
 * agenda - what is to be done about lanes, so that one that needs nothing costs nothing: which are to be looked at now
 *          or later, which records are not in the queue yet, which lanes perhaps nobody needs any more.
 *
 * Owns:    the heap's array; lanes put themselves on it (lane_look() and the like) and are taken off by lane_free().
 * Threads: any, one object per thread.
 */
#ifndef AGENDA_H
#define AGENDA_H

#include "base/heap.h"
#include "base/list.h"

struct agenda {
	struct list now;   /* lanes with something new: see whether they have work */
	struct heap later; /* lanes to be looked at by boot time, in ms */
	struct list crowd; /* lanes with work that wait for room in the set of recipients in flight */
	struct list dirty; /* lanes whose record in the queue is out of date */
	struct list spent; /* lanes whose token bucket has changed since it was stored */
	struct list loose; /* MX lanes that somebody needs less than before */
};

static inline void agenda_init(struct agenda *agenda)
{
	*agenda = (struct agenda){ .later = { .nodes = NULL } };
	list_init(&agenda->now);
	list_init(&agenda->crowd);
	list_init(&agenda->dirty);
	list_init(&agenda->spent);
	list_init(&agenda->loose);
}

/* No lane is on it any more. */
static inline void agenda_fini(struct agenda *agenda)
{
	heap_fini(&agenda->later);
}

#endif
