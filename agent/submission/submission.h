/*
 * submission - the accepting side: listeners and their sessions, trust, limits, intake into the queue.
 *
 * Owns:    listeners, sessions and the receipts of messages coming in. The queue takes over at the commit.
 * Promise: 250 only after the queue has answered; a message not received whole is never queued; no session can
 *          hold up another; every limit has a reply.
 * Threads: the loop's.
 */
#ifndef SUBMISSION_H
#define SUBMISSION_H

#include "base/buf.h"
#include "config.h"
#include "helper/helper.h"
#include "net/loop.h"
#include "queue/queue.h"
#include "traffic.h"

struct submission;

struct submission_setup {
	struct loop *loop;
	struct queue *queue;   /* may be set later, before submission_start() */
	struct config *config; /* takes a reference of its own */
	struct helper *helper; /* checks passwords; NULL: nobody does */
};

/* Binds every listener (inherited sockets by name first), so that privileges can be given up after it. NULL: `why`
 * has a line for people. */
struct submission *submission_new(const struct submission_setup *setup, char *why, size_t why_size);
/* Starts to accept. */
void submission_start(struct submission *s, struct queue *queue);
/* New sessions use the new configuration. Certificates are read again. 0 or -errno with `why`, then the old one
 * stays. */
int submission_reload(struct submission *s, struct config *config, char *why, size_t why_size);
const struct reception *submission_reception(struct submission *s);
/* Stops accepting; idle sessions get 421, messages whose end was seen are answered. `done` comes once, when the last
 * session has gone. */
void submission_stop(struct submission *s, void (*done)(void *arg), void *arg);
void submission_free(struct submission *s); /* NULL is fine */
/* "127.0.0.1:25, /run/sendoff/submit" for the start-up record. */
void submission_names(const struct submission *s, struct buf *out);

#endif
