/*
 * dial_inside - what the parts of a dial share; nobody else includes it.
 *
 * dial.c connects, dial_proxy.c speaks with a SOCKS proxy that answered, dial_words.c says what came of it all.
 */
#ifndef DIAL_INSIDE_H
#define DIAL_INSIDE_H

#include <sys/un.h>

#include "net/addr.h"
#include "net/dial.h"
#include "net/socks.h"

enum { DIAL_SOURCES = 2 }; /* one of each family */

struct dial_attempt {
	struct dial *dial;
	struct sockaddr_storage addr;
	socklen_t len;
	int fd;           /* -1: not begun or over */
	int error;        /* positive errno; 0: none yet */
	const char *why;  /* other words than those of the error, or NULL */
	bool is_local;    /* the error is about our own address */
	int64_t begun_ms; /* boot time; 0: not begun */
	int64_t ended_ms;
	int64_t ends_ms; /* at the latest */
	struct loop_io io;
};

struct dial {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_task task; /* the answer, where it was known at once */
	void (*done)(void *arg, const struct dial_result *result);
	void *arg;
	struct dial_attempt attempts[DIAL_TRIES];
	size_t count, begun;
	int64_t next_ms; /* when the next address has its turn */
	int64_t timeout_ms, stagger_ms;
	struct dns_address sources[DIAL_SOURCES];
	size_t source_count;
	int source_error;
	struct dial_attempt *winner;
	struct socks *socks;          /* NULL: no proxy */
	struct dial_attempt *talking; /* to the proxy */
	enum socks_verdict said;      /* by it */
	bool is_unix;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* dial.c. Closes it; dial_lose() also ends it with that errno, and the next one need not wait. */
void dial_drop(struct dial_attempt *a);
void dial_lose(struct dial_attempt *a, int error);
/* From a callback of the loop, after something happened: may end in the user's. */
void dial_advance(struct dial *dial);

/* dial_proxy.c */
void dial_proxy_take(struct dial *dial, const struct dial_config *config);
/* The first address of the proxy that answers is the one: all others are dropped. */
void dial_proxy_begin(struct dial_attempt *a);

/* dial_words.c. For a dial without a winner: status and text. */
void dial_words_explain(const struct dial *dial, struct dial_result *out);
void dial_words_list(const struct dial *dial, struct dial_try out[DIAL_TRIES]);

#endif
