/*
 * session - drives one SMTP session: its connection, the server engine and the intake of its messages.
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
#include "net/conn.h"
#include "queue/queue.h"
#include "smtp/server.h"
#include "submission/limits.h"
#include "submission/trust.h"

/* Rules of one listener under one configuration; shared by its sessions, counted. */
struct session_policy {
	unsigned references;
	struct config *config;
	const struct config_listener *listener;
	struct server_config server;
	struct trust *trust;
	struct tls_server *tls; /* or NULL */
};

struct session_policy *session_policy_new(struct config *config, const struct config_listener *listener, char *why,
					  size_t why_size);
struct session_policy *session_policy_ref(struct session_policy *policy);
void session_policy_unref(struct session_policy *policy); /* NULL is fine */

/* What all sessions share. */
struct session_shared {
	struct loop *loop;
	struct queue *queue;
	struct config *config; /* the newest; routes are taken from it whatever a session began with */
	struct limits *limits;
	struct list sessions;
	uint32_t count, tcp_count;
	uint64_t accepted;
	bool is_closed;          /* takes no new mail */
	void (*gone)(void *arg); /* a session has ended */
	void *arg;
};

/* Takes the descriptor. The peer may be turned away with a reply instead. */
void session_start(struct session_shared *shared, struct session_policy *policy, int fd);
/* 421 as soon as no answer is owed. */
void session_shut_down_all(struct session_shared *shared);
void session_free_all(struct session_shared *shared);

#endif
