/*
 * writer - the thread that writes: takes all operations that wait, has them run as one group, hands them back.
 *
 * No urgent operation waits to collect more: while one commit flushes, the next group gathers. Only operations that
 * say they are patient wait, for an urgent one to take them along or until their time is over.
 *
 * Owns:    the thread, the two lists between the threads, and an eventfd that is readable when something is finished.
 * Threads: all functions from the caller's thread. This is the only file that knows of threads.
 */
#ifndef WRITER_H
#define WRITER_H

#include "queue/group.h"

struct writer;

/* NULL when the thread or the eventfd cannot be made. */
struct writer *writer_new(struct group *group);
/* Finishes what waits, ends the thread. Finished operations that nobody took are freed. NULL is fine. */
void writer_free(struct writer *w);
void writer_submit(struct writer *w, struct queue_op *op);
/* What waits now is written at once, however patient. */
void writer_hurry(struct writer *w);
/* The finished operations in order of submission, or NULL. */
struct queue_op *writer_take(struct writer *w);
int writer_fd(const struct writer *w);

#endif
