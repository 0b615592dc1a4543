/*
 * digest - who gets a mail for each report, and who gets one mail for many: so that a job which fails ten thousand times
 *          does not flood whoever sent it.
 *
 * A sender may get DIGEST_BURST reports at once and one more each DIGEST_TOKEN_MS. What is beyond waits for at most
 * DIGEST_MS, or until there are DIGEST_MESSAGES of them, and is told of together.
 * Owns:    timers of messages that wait to be told of (at most DIGESTS addresses at once). In memory only: the reports stay
 *          owed in the queue, so that after a restart their timers come again.
 * Never:   reads a clock or the queue.
 * Threads: any, one object per thread.
 */
#ifndef DIGEST_H
#define DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "queue/queue.h"

enum {
	DIGEST_BURST = 20,
	DIGEST_TOKEN_MS = 60 * 1000,
	DIGEST_MS = 10 * 60 * 1000,
	DIGEST_MESSAGES = 200,
	DIGESTS = 64,
	DIGEST_BUCKETS = 2048,
};

/* What waits for one address. */
struct digest {
	struct list node;
	char *address;
	bool is_warning; /* of delays: these are not mixed with outcomes */
	int64_t due_boot_ms;
	struct queue_timer timers[DIGEST_MESSAGES];
	size_t count;
};

/* Of all addresses with that hash: nobody is forgotten, however many there are; those who meet in one share a burst. */
struct digest_bucket {
	double spent; /* tokens; 0: the whole burst is there */
	int64_t at_boot_ms;
};

struct digest_set {
	struct list digests; /* the oldest first */
	size_t count;
	struct digest_bucket buckets[DIGEST_BUCKETS];
};

void digest_init(struct digest_set *set);
void digest_fini(struct digest_set *set);

enum digest_verdict {
	DIGEST_ALONE, /* it may have a mail of its own, now */
	DIGEST_WAITS, /* it was taken and is told of with others */
	DIGEST_FULL,  /* too much waits: ask again later */
};
enum digest_verdict digest_take(struct digest_set *set, const char *address, bool is_warning, struct queue_timer timer,
				int64_t boot_ms);
bool digest_has(const struct digest_set *set, struct queue_timer timer);
/* One whose time has come, which is the caller's now, to be freed with digest_free(); or NULL. */
struct digest *digest_next(struct digest_set *set, int64_t boot_ms);
void digest_free(struct digest *digest);
/* The time of all of them has come. */
void digest_hurry(struct digest_set *set);
int64_t digest_deadline(const struct digest_set *set); /* boot time; INT64_MAX: none */

#endif
