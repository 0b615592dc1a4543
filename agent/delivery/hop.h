/*
 * hop - one connection to a next hop: the way there (approach.h), then the client engine until it is closed. Where DNS says
 *       for good that a domain takes no mail there is no connection: the hop gives the lane's mail back to its senders.
 *
 * Owns:    the connection, its engine and the loads of the (at most two) messages under way on it.
 * Promise: nothing of it calls the scheduler's user back from inside hop_* calls but through pool->poke, which only
 *          notes that there is something to do. It frees itself when it is over.
 * Threads: the loop's.
 */
#ifndef HOP_H
#define HOP_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/approach.h"
#include "delivery/load.h"
#include "delivery/pool.h"
#include "net/conn.h"
#include "smtp/client.h"

enum {
	HOP_LINGER_MS = 2 * 1000,
};

enum hop_place {
	HOP_NOWHERE, /* connecting, busy or closing */
	HOP_IDLE,    /* could take a message and has none */
	HOP_AHEAD,   /* could take a message behind the one under way */
};

struct hop {
	struct list node, waiting; /* in the pool */
	struct pool *pool;
	struct lane *lane;
	struct config *config; /* the one it began with */
	const struct config_smarthost *host;

	struct approach *approach;
	struct conn *conn;
	struct client *client;
	struct loop_task task; /* pump later in this turn */
	struct loop_timer keep;

	enum hop_place place;
	bool is_ready;                    /* the scheduler counts it as ready */
	bool is_dead;                     /* the connection is gone, the engine knows */
	bool is_late;                     /* the engine's deadline has passed */
	bool is_retired;                  /* no more messages */
	bool tries_next;                  /* another address instead of giving up */
	bool renews;                      /* the same one again, with another token */
	bool without_tls;                 /* the same one again, in clear: opportunistic TLS failed there */
	uint32_t messages;                /* given to it */
	char peer[600];                   /* "mx1.example.org [192.0.2.1]", "mx1.example.org via 127.0.0.1:9050" */
	char tls[TLSPOLICY_OUTCOME_SIZE]; /* "TLSv1.3 dane"; "": none (yet) */
	bool is_tls_noted;                /* for reports, once for each connection */
	int family;                       /* AF_INET, AF_INET6; 0: neither, or a proxy's */
	bool is_last_resort;              /* its family is one to be avoided, and nothing else was left */
	char *never; /* a dead end instead of a connection: what every recipient is told; NULL: none */

	struct list loads;    /* under way, the oldest first */
	struct load *looking; /* read through before it is given to the engine */
};

/* The lane counts one connecting already. Nothing is called back from here. */
void hop_start(struct pool *pool, struct lane *lane);
/* Takes a message if it can and there is one. */
void hop_feed(struct hop *hop);
void hop_retire(struct hop *hop);
/* Ends it now. */
void hop_cut(struct hop *hop);

#endif
