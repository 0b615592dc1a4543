/*
 * session - drives one SMTP session: its connection, who is at the other end, the server engine and the intake of its
 *           messages.
 *
 * Owns:    the connection, the engine, the intake; frees itself when the session has ended and tells its listener.
 * Promise: reads no further while the queue or the peer's window is full; a 250 to a message is written only after
 *          the queue has answered.
 * Threads: the loop's.
 */
#ifndef SESSION_H
#define SESSION_H

#include "base/list.h"
#include "config.h"
#include "names.h"
#include "net/conn.h"
#include "queue/queue.h"
#include "smtp/server.h"
#include "submission/limits.h"
#include "submission/login.h"
#include "submission/policy.h"

/* What all sessions share. */
struct session_shared {
	struct loop *loop;
	struct queue *queue;
	struct config *config; /* the newest; routes and aliases are its, whatever a session began with */
	struct limits *limits;
	struct names *names;
	struct login_set *logins;
	struct list sessions;
	uint32_t count, tcp_count;
	uint64_t accepted;
	bool is_closed;          /* takes no new mail */
	void (*gone)(void *arg); /* a session has ended */
	void *arg;
};

/* Takes the descriptor. The peer may be turned away with a reply instead. */
void session_start(struct session_shared *shared, struct policy *policy, int fd);
/* 421 as soon as no answer is owed. */
void session_shut_down_all(struct session_shared *shared);
void session_free_all(struct session_shared *shared);
/* The aliases as they are now, for a message that begins; what is wrong with them is logged. */
void session_refresh_names(struct session_shared *shared);

#endif
