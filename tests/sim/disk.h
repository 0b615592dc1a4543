/*
 * disk - what the simulation says to the queue's writer (writer.c beside this file): when a group is taken, when its
 *        flush is over, and that the power goes off.
 *
 * Threads: one, and one queue at a time.
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>

/* Operations that wait to be taken; whether one of them has no patience. */
size_t disk_waits(bool *out_is_urgent);
bool disk_is_flushing(void);
/* At most that many become the group that is being flushed; none is yet. */
void disk_take(size_t max);
/* The flush is over: they are committed, or have failed, and wait to be handed out. */
void disk_commit(void);
/* Whatever is not committed never will be: it is answered QUEUE_STOPPING when the queue is closed. */
void disk_power_off(void);

#endif
