/*
 * filewatch - tells when a file is not what it was: written in place, replaced by a rename, or, where its name is a link,
 *             led elsewhere or changed there.
 *
 * Owns:    watches over the file's directory and over that of what it leads to. Where there is no inotify, or no right to
 *          read a directory, it stays silent. The file need not be there.
 * Promise: `changed` comes from the loop, once for all that happened in a turn, and only if the file is another one: its
 *          inode, size or time. Nothing is polled.
 * Threads: the loop's.
 */
#ifndef FILEWATCH_H
#define FILEWATCH_H

#include "net/loop.h"

struct filewatch;

struct filewatch *filewatch_new(struct loop *loop, const char *path, void (*changed)(void *arg), void *arg);
void filewatch_free(struct filewatch *watch); /* NULL is fine */

#endif
