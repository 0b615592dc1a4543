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

struct metapage_tree {
	uint64_t root; /* METAPAGE_NONE: empty */
	unsigned depth;
};
#define METAPAGE_NONE UINT64_MAX

/* What the newest page says; page_bytes 0: the file is empty. */
struct metapage {
	uint64_t page_bytes, last_page;
	struct metapage_tree free_list, trees;
};

/* QUEUE_OK (also for an empty file, which LMDB will fill), QUEUE_DAMAGED or QUEUE_IO. On failure `why` says what is
 * wrong with the file, in words that follow "path ". */
enum queue_err metapage_read(int fd, struct metapage *out, char *why, size_t why_size);

#endif
