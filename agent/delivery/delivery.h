/*
 * delivery - the sending side: everything between the queue's schedule and the next hop's reply.
 *
 * Owns:    lanes, flows at work, connections to next hops, outcomes on their way into the queue, reports (DSN), the
 *          watch over the machine's network. It is the queue's watcher (queue_set_watcher).
 * Promise: a recipient is settled once, by one committed operation; what was not settled is still due after a crash.
 *          An attempt and an outage write nothing about messages.
 * Needs:   the caller ends queue views at the end of each turn of the loop, and calls queue_dispatch().
 * Threads: the loop's. Logs; the files it drives (scheduler, lane, flow, network) are pure.
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"
#include "queue/queue.h"
#include "traffic.h"

struct delivery;
struct helper;

struct delivery_setup {
	struct loop *loop;
	struct queue *queue;
	struct config *config; /* takes a reference of its own */
	struct dns *dns;
	struct tls_client *tls;
	struct helper *helper;             /* runs secret_command; NULL: such accounts wait and say why */
	const char *credentials_directory; /* for secret_credential; NULL: $CREDENTIALS_DIRECTORY */
};

/* Starts to deliver in the loop's next turn. Never NULL. The setup is copied; what it points to outlives delivery. */
struct delivery *delivery_new(const struct delivery_setup *setup);
/* New configuration: lanes follow at once, connections whose account changed are closed when idle, waiting mail moves
 * to its new target in bounded steps. `done` (may be NULL) comes once, from a later turn of the loop, with the number
 * of messages that changed route; a further reload supersedes the first, which is then answered as well. */
void delivery_reload(struct delivery *d, struct config *config, void (*done)(void *arg, uint64_t messages), void *arg);
const struct traffic *delivery_traffic(struct delivery *d);
/* Starts no new message; what is being sent is finished for at most a few seconds, outcomes are handed to the queue.
 * `done` comes once, from a later turn; after it only delivery_free(). The queue must still be dispatched. */
void delivery_stop(struct delivery *d, void (*done)(void *arg), void *arg);
/* Also without delivery_stop(): then what was being sent is cut off and still due. Waits for the queue to answer what it
 * was given; before queue_close(). NULL is fine. */
void delivery_free(struct delivery *d);

#endif
