/*
 * sink_session - one connection to the sink: the server engine, driven, with the sink's rules in between.
 *
 * Owns:    the connection, the engine, the message that is coming in. Frees itself.
 * Threads: the loop's.
 */
#ifndef SINK_SESSION_H
#define SINK_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/loop.h"
#include "net/tls.h"
#include "sink_options.h"
#include "sink_store.h"
#include "smtp/server.h"

/* What all sessions share. */
struct sink_session_shared {
	struct loop *loop;
	struct sink_options *options;
	struct server_config server;
	struct tls_server *tls;   /* or NULL */
	struct sink_store *store; /* or NULL: messages are counted only */
	struct list sessions;
	uint64_t connections, messages, recipients, bytes;
	int64_t first_at_ms, last_at_ms; /* when messages came, in the clock on the wall; 0: none yet */
	bool intercepts;                 /* some rule is about a command the engine does not ask about */
	void (*changed)(void *arg);      /* a session has gone or a message has come */
	void *arg;
};

void sink_session_new(struct sink_session_shared *shared, int fd);
/* Tells all clients that the sink closes; what is idle goes at once. */
void sink_session_stop_all(struct sink_session_shared *shared);
void sink_session_drop_all(struct sink_session_shared *shared);

#endif
