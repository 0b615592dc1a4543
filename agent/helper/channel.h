/*
 * channel - one end of the socket between agent and helper: records in, records out, nothing left in memory.
 *
 * Owns:    the descriptor and two buffers, which are overwritten before they are freed: secrets pass through them.
 * Promise: `record` and `closed` are called from the loop, never from inside channel_send(). After `closed` nothing is
 *          called any more. Both may call channel_fini().
 * Threads: the loop's.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "helper/protocol.h"
#include "net/loop.h"

struct channel {
	struct loop_io io;
	struct loop_task task;
	struct buf in, out;
	int fd; /* -1: closed */
	bool broken;
	void (*record)(void *arg, const struct protocol_record *record);
	void (*closed)(void *arg);
	void *arg;
};

/* Takes the descriptor. */
void channel_init(struct channel *channel, struct loop *loop, int fd,
		  void (*record)(void *arg, const struct protocol_record *record), void (*closed)(void *arg),
		  void *arg);
void channel_fini(struct channel *channel);
/* False: the record is too large, or the other end takes nothing any more. */
bool channel_send(struct channel *channel, const struct protocol_record *record);

#endif
