/*
 * control - the agent's control socket: one JSON object a line, asked by sendoff(1), answered from the queue, the
 *           traffic and the reception.
 *
 * Owns:    the listening socket, its clients and the configuration it was given last (a reference).
 * Promise: SO_PEERCRED decides: root, the agent's own user and members of group "sendoff" may do everything, others
 *          see and handle only their own mail. No client can stop the agent or hold up others: lines, clients and
 *          output are bounded, long answers are given in small pieces over many turns, and a client that does not
 *          read waits. No view of the queue outlives a turn.
 * Threads: the loop's.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "config.h"
#include "net/loop.h"
#include "queue/queue.h"
#include "traffic.h"

struct control;

struct control_setup {
	struct loop *loop;
	struct config *config; /* takes a reference of its own; the socket path is config->control_socket */
	int inherited_fd;      /* a listening socket to use instead of binding one; -1: bind */
	/* Asked by `sendoff reload`: loads and applies the configuration everywhere (control_reload() included) and
	 * appends lines for people: the mistakes when it answers false, warnings and what changed when true. Then
	 * `moved` is owed once, with the number of messages that changed route (as delivery_reload() gives it); it may
	 * come at any time, also from inside and after control_free(). */
	bool (*reload)(void *arg, struct buf *text, void (*moved)(void *reply, uint64_t messages), void *reply);
	void *arg;
};

/* Binds, so that privileges can be given up after it. NULL: `why` has a line for people. */
struct control *control_new(const struct control_setup *setup, char *why, size_t why_size);
/* Starts to answer. All three are borrowed until control_free(). The loop's end of turn must end queue views. */
void control_start(struct control *control, struct queue *queue, const struct traffic *traffic,
		   const struct reception *reception);
/* The new configuration is used from now on. */
void control_reload(struct control *control, struct config *config);
/* Closes the socket and drops every client at once; before queue_close(), which answers the operations that are still
 * being written. NULL is fine. */
void control_free(struct control *control);

#endif
