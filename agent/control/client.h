/*
 * client - one connection to the control socket: requests in, one at a time, objects out, in small pieces.
 *
 * Owns:    the connection, the request that is being answered and the state of its verb.
 * Promise: a verb's step runs only while there is room for output; what a verb gave to the queue may be answered
 *          after its client has gone. A client that stalls is dropped in the end.
 * Threads: the loop's. For this room only.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "control/permit.h"
#include "control/request.h"
#include "names.h"
#include "net/conn.h"
#include "net/loop.h"
#include "queue/queue.h"
#include "traffic.h"

struct client;

/* What all clients share; control.c fills it in. */
struct client_room {
	struct loop *loop;
	struct queue *queue;
	const struct traffic *traffic;
	const struct reception *reception;
	struct config *config;
	struct names *names; /* read when they are first asked for; or NULL */
	bool (*reload)(void *arg, struct buf *text, void (*moved)(void *reply, uint64_t messages), void *reply);
	void *reload_arg;
	struct list clients;    /* all */
	struct list busy;       /* those whose verb has work to do, in turn */
	struct loop_timer work; /* set while `busy` holds any */
	unsigned closers;       /* clients that want no new mail */
};

enum client_step {
	CLIENT_MORE, /* there is more to do: again in the next turn */
	CLIENT_WAIT, /* until client_wake() */
	CLIENT_DONE, /* client_done() or client_fail() was called */
};

enum {                         /* what a verb needs */
       CLIENT_ADMIN = 1 << 0,  /* root, the agent's user, the group */
       CLIENT_CHOICE = 1 << 1, /* a filter that chooses something */
       CLIENT_ID = 1 << 2,     /* "id" */
};

struct client_verb {
	const char *name;
	unsigned needs;
	/* Sets client->state up; NULL where a verb has none. */
	void (*start)(struct client *client);
	/* Does work worth at most *budget, which it lowers. */
	enum client_step (*step)(struct client *client, int *budget);
	/* Frees the state; the request may be half answered. May be NULL. */
	void (*stop)(struct client *client);
};

struct client {
	struct list node; /* of room->clients */
	struct list turn; /* of room->busy */
	struct client_room *room;
	struct conn *conn;
	struct permit permit;
	struct request request;
	const struct client_verb *verb; /* being answered, or NULL */
	void *state;
	struct loop_timer tick; /* for verbs that look again now and then */
	struct list ops;        /* given to the queue and not yet answered */
	unsigned op_count;
	bool asked;     /* has been answered once */
	bool ended;     /* the peer sends no more */
	bool is_closer; /* counted in room->closers */
	bool is_broken; /* a line could not be written */
};

/* Takes the descriptor. */
void client_open(struct client_room *room, int fd, struct permit permit);
void client_close(struct client *client);
/* Its verb has work again. */
void client_wake(struct client *client);
void client_wake_in(struct client *client, int64_t ms);
/* Lets the clients that have work do some of it, in turn. */
void client_work(struct client_room *room);

/* The aliases as their files are now. What is wrong with them the accepting side logs. */
const struct names *client_names(struct client *client);

/* True while more rows may be written in this step. */
bool client_has_room(const struct client *client);
/* Writes one object as a line; takes it. NULL (out of memory) is left out. */
void client_say(struct client *client, json_t *object);
/* Writes the last line: `facts` (taken, may be NULL) with done and ok. */
enum client_step client_done(struct client *client, json_t *facts);
/* The same for what went wrong: an exit status of sysexits.h, a word and a sentence. */
enum client_step client_fail(struct client *client, int status, const char *error, const char *text);
enum client_step client_fail_queue(struct client *client, enum queue_err err);

/* Gives an operation to the queue; client_wake() comes with its answer. `told` is called before that, also when the
 * client has gone by then or does something else (NULL); `words` is freed with mem_free() after it. */
typedef void client_told_fn(struct client *client, void *words, enum queue_err err);
void client_submit(struct client *client, struct queue_op *op, client_told_fn *told, void *words);

#endif
