/*
 * calendar - the queue's timers in order of time, read by a cursor.
 *
 * A timer is handed out once; it stays in the queue until whoever took it has it dropped by an operation, so a crash
 * brings it back. One that could not be dealt with is met again after calendar_rewind().
 * Threads: the queue's.
 */
#ifndef CALENDAR_H
#define CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#include "queue/queue.h"

struct calendar {
	struct queue *queue;
	struct queue_timer at; /* the last one handed out */
	int64_t next_wall_ms;  /* when the next one comes, as far as known; INT64_MAX: none */
};

void calendar_init(struct calendar *c, struct queue *queue);
/* A timer, or an entry of a flow, was added at `when_ms` or later; nothing (INT64_MAX) is fine. */
void calendar_news(struct calendar *c, int64_t when_ms);
/* From the beginning of time. */
void calendar_rewind(struct calendar *c);
/* The next timer whose time has come; false: none now. */
bool calendar_next(struct calendar *c, int64_t now_ms, struct queue_timer *out);

#endif
