/*
 * pool - all connections to next hops: opened when the scheduler says so, kept a while when idle, closed in order.
 *
 * Owns:    its hops, and the jobs that none of them could read.
 * Threads: the loop's.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "delivery/aside.h"
#include "delivery/habit.h"
#include "delivery/scheduler.h"
#include "delivery/settle.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"

struct helper;
struct mtasts;
struct tlsrpt;

struct pool {
	struct loop *loop;
	struct queue *queue;
	struct dns *dns;
	struct tls_client *tls;
	struct helper *helper;             /* or NULL */
	const char *credentials_directory; /* or NULL */
	struct mtasts *mtasts;
	struct tlsrpt *tlsrpt;
	struct scheduler *scheduler;
	struct settle *settle;
	void (*poke)(void *arg); /* something happened that the scheduler may want to act upon */
	void *arg;
	struct aside aside; /* what could not be read */
	struct habit habit;
	struct list hops;    /* all */
	struct list waiting; /* those that could take a message, the latest first */
	size_t count;
	bool is_stopping;
};

/* The caller has filled in the first part. */
void pool_init(struct pool *pool);
/* After pool_cut(). */
void pool_fini(struct pool *pool);
void pool_connect(struct pool *pool, struct lane *lane);
/* One that waits takes a message, if there is one. */
void pool_feed(struct pool *pool, struct lane *lane);
/* Those that wait are closed; with `all`, busy ones are when they have finished what they have. */
void pool_retire(struct pool *pool, struct lane *lane, bool all);
/* MX lanes wait for connections: those of others that have no work are closed. */
void pool_spare(struct pool *pool);
/* Like pool_retire() for every lane; connections on their way are given up. */
void pool_stop(struct pool *pool);
/* What is open is cut off; messages under way are settled as far as they came. */
void pool_cut(struct pool *pool);

#endif
