/*
 * pagecheck - walks the pages of a queue file without LMDB, which would follow a damaged one into the void.
 *
 * LMDB believes its pages: a flipped bit in a page's header or in an offset ends in a wild pointer or an endless loop,
 * one in the free list in a page that is used twice. Here each page is read into a buffer and every number in it is
 * checked against its bounds. What records say is not looked at: they have checksums of their own.
 *
 * Owns:    one buffer per level of the tree, for the call.
 * Never:   writes or maps anything, or reads more pages than it is told.
 * Threads: any.
 */
#ifndef PAGECHECK_H
#define PAGECHECK_H

#include "queue/metapage.h"

/* QUEUE_OK: nothing wrong in the first `budget` pages, or in as many as limit_ms (0: no limit) allow, but 256 at least; else QUEUE_DAMAGED or QUEUE_IO and `why`, in words that follow
 * "path ". While the file is in use the caller keeps a reading transaction open, so that no page is used again. */
enum queue_err pagecheck_file(int fd, uint64_t budget, unsigned limit_ms, char *why, size_t why_size);

#endif
