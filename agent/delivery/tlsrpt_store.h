/*
 * tlsrpt_store - the counts of TLS sessions of all days and domains: the latest used in memory, all in the queue's state.
 *
 * State names: "tlsrpt:2026-11-24:example.org" (tlsrpt_count.h has the record); a domain too long for a name goes by its
 * digest. "tlsrpt-mail:example.org": ids (8 bytes each) of mails with reports that were queued for that domain.
 * Owns:    the counts in memory, at most TLSRPT_STORE_BYTES of them beside those not yet written.
 * Promise: what is changed is written by the next tlsrpt_store_save(), a bounded number at a time.
 * Threads: the queue's.
 */
#ifndef TLSRPT_STORE_H
#define TLSRPT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "delivery/tlsrpt_count.h"
#include "queue/queue.h"

enum { TLSRPT_STORE_BYTES = 1024 * 1024, TLSRPT_STORE_DAYS = 7, TLSRPT_STORE_MAILS = 100 };

struct tlsrpt_store {
	struct queue *queue;
	struct list counts; /* the latest used first */
	size_t bytes;
	int64_t day; /* the last one that a domain was added to */
	size_t domains;
	bool is_writing;
	void (*written)(void *arg); /* from queue_dispatch() */
	void *arg;
	char swept[QUEUE_STATE_NAME_SIZE]; /* as far as the sweep came */
};

void tlsrpt_store_init(struct tlsrpt_store *store, struct queue *queue, void (*written)(void *arg), void *arg);
/* Hands what is not yet written to the queue, and waits for answers under way. */
void tlsrpt_store_fini(struct tlsrpt_store *store);

/* The count; with `make` a new one where there is none, if the day has room for one more domain. Valid until the next
 * call. NULL: there is none. */
struct tlsrpt_count *tlsrpt_store_find(struct tlsrpt_store *store, int64_t day, const char *domain, bool make);
/* It was changed. */
void tlsrpt_store_touch(struct tlsrpt_store *store, struct tlsrpt_count *count);
/* The first count of the day whose domain's name in the state is greater than `name` (""), which is moved to it. Those
 * that were never written are not among them. */
struct tlsrpt_count *tlsrpt_store_next(struct tlsrpt_store *store, int64_t day, char name[QUEUE_STATE_NAME_SIZE]);
/* Adds the step that writes it to an operation of the caller's, with these flags. */
void tlsrpt_store_put(struct queue_op *op, const struct tlsrpt_count *count, unsigned flags);
/* False: nothing is left to be written; else `written` comes. */
bool tlsrpt_store_save(struct tlsrpt_store *store);
/* Forgets a bounded number of what is over; false: that was all. */
bool tlsrpt_store_sweep(struct tlsrpt_store *store, int64_t today);

/* A mail with a report waits in the queue for this domain. */
bool tlsrpt_store_has_mail(struct tlsrpt_store *store, const char *domain);
/* Adds the step that notes one. */
void tlsrpt_store_put_mail(struct tlsrpt_store *store, struct queue_op *op, const char *domain, uint64_t id);

#endif
