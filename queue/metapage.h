/*
 * metapage - looks at a queue file before LMDB maps it.
 *
 * LMDB believes the two meta pages at the head of its file: a page size of zero divides by zero, a file that was cut
 * kills the process with SIGBUS at the first touch of a page that is gone. So these pages are read and judged first.
 *
 * Never:   writes, maps or keeps anything.
 * Threads: any.
 */
#ifndef METAPAGE_H
#define METAPAGE_H

#include "queue/queue.h"

/* QUEUE_OK (also for an empty file, which LMDB will fill), QUEUE_DAMAGED or QUEUE_IO. On failure `why` says what is
 * wrong with the file, in words that follow "path: ". */
enum queue_err metapage_check(int fd, char *why, size_t why_size);

#endif
