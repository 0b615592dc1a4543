/*
 * droptake - one message that sendmail kept, on its way from its file into the queue.
 *
 * The file is the transcript of a session (smtp/dropfile.h), and the engine of all sessions is fed with it, so that
 * parser, limits and rules are those of a live one; the file's owner is the peer. The lines are checked to be whole
 * before the first of them is said. Recipients beyond what one message takes get the message again, as a client
 * would do it.
 *
 * Owns:    the descriptor, the engine, the intake.
 * Promise: with each acceptance the queue writes a state that says how many recipients have the message, so that none
 *          gets it twice whatever happens then. `ended` comes once, never from inside a call, and may free the object.
 * Bounds:  a page of the file at a time, and a turn of the loop takes a few of them.
 * Threads: the loop's.
 */
#ifndef DROPTAKE_H
#define DROPTAKE_H

#include <sys/types.h>

#include "queue/queue.h"
#include "submission/session.h"

struct droptake;

enum droptake_end {
	DROPTAKE_DONE,    /* every recipient has it */
	DROPTAKE_LATER,   /* not now: `why` */
	DROPTAKE_REFUSED, /* never: `why` */
};

struct droptake_setup {
	struct session_shared *shared;
	int fd; /* taken; readable from its start */
	uint64_t file_bytes;
	uid_t uid;
	const char *state; /* name of the queue's state that goes with an acceptance */
	uint32_t done;     /* the first recipients that have the message already */
	bool may_split;    /* parts may be accepted; false: all recipients in one message, or later */
	/* The value of the state when `done` recipients have it; borrowed until the next call. */
	struct queue_bytes (*mark)(void *arg, uint32_t done, bool is_whole);
	/* And now it is written. */
	void (*accepted)(void *arg, uint32_t done, bool is_whole);
	void (*ended)(void *arg, enum droptake_end end, const char *why);
	void *arg;
};

/* The setup is copied, its strings are not. */
struct droptake *droptake_new(const struct droptake_setup *setup);
/* What the queue was given is still accepted; NULL is fine. */
void droptake_free(struct droptake *t);

#endif
