/*
 * dirwatch - tells when something new has appeared in a directory (inotify).
 *
 * Owns:    its descriptor. Where there is no inotify, or no right to read the directory, dirwatch_new() says no: the
 *          caller looks by itself now and then.
 * Promise: `changed` comes from the loop, once for all that happened in a turn; a directory that was removed or moved
 *          counts as a change. Nothing is polled.
 * Threads: the loop's.
 */
#ifndef DIRWATCH_H
#define DIRWATCH_H

#include "net/loop.h"

struct dirwatch;

/* 0 or -errno. Files count when they are whole: closed after writing, moved or linked in. */
int dirwatch_new(struct loop *loop, const char *path, void (*changed)(void *arg), void *arg,
		 struct dirwatch **out_watch);
void dirwatch_free(struct dirwatch *watch); /* NULL is fine */

#endif
