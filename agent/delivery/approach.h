/*
 * approach - the way to a smart host before anything is spoken: its secret, its addresses, a connected socket.
 *
 * Owns:    the secret until it is taken or the approach ends, and the addresses that were not connected to yet: when
 *          one of them disappoints, approach_next() goes on with the others.
 * Promise: `done` never runs from inside a call; after approach_free() it never runs.
 * Never:   logs, or speaks to the scheduler: it says what happened.
 * Threads: the loop's.
 */
#ifndef APPROACH_H
#define APPROACH_H

#include <stdbool.h>
#include <stddef.h>

#include "delivery/account.h"
#include "net/dial.h"
#include "net/dns.h"

enum { APPROACH_ADDRESSES = 16 }; /* most addresses of a host that are tried */

enum approach_end {
	APPROACH_OK,         /* `fd` is the caller's */
	APPROACH_NO_SECRET,  /* the account's trouble */
	APPROACH_NO_ADDRESS, /* the lane's: its name leads nowhere */
	APPROACH_REFUSED,    /* the lane's: nobody answers there */
	APPROACH_SILENT,     /* no resolver answers */
	APPROACH_OFFLINE,    /* no network */
	APPROACH_LOCAL,      /* our own trouble: descriptors, memory */
};

struct approach_result {
	enum approach_end end;
	bool by_dns;  /* a resolver gave a real answer */
	bool by_host; /* the network gave one: a connection, or a refusal */
	int fd;
	const char *text; /* for people */
};

struct approach;

struct approach_setup {
	struct account_setup account;
	struct dns *dns;
	const struct config_smarthost *host; /* borrowed until approach_free() */
	unsigned turn;                       /* which of its addresses comes first: after a failure another one */
};

struct approach *approach_new(const struct approach_setup *setup,
			      void (*done)(void *arg, const struct approach_result *result), void *arg);
void approach_free(struct approach *approach); /* NULL is fine */

struct span approach_secret(const struct approach *approach); /* empty: none */
void approach_forget_secret(struct approach *approach);
bool approach_has_next(const struct approach *approach);
/* Connects to one of the addresses that were not connected to yet; or `again`, also to the last one. */
void approach_next(struct approach *approach, bool again);

#endif
