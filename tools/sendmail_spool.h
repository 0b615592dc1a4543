/*
 * sendmail_spool - standard input taken in whole before the agent is spoken to.
 *
 * A job that cron runs may write its first line now and its last one in three hours: no conversation can wait for
 * that, and a program that dies half-way must leave nothing in the queue. So the message is collected first: its
 * beginning in memory, what goes beyond SENDMAIL_SPOOL_MEMORY in a temporary file without a name.
 *
 * Owns:    its memory and the file.
 * Threads: any, one object per thread.
 */
#ifndef SENDMAIL_SPOOL_H
#define SENDMAIL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "tools/sendmail_input.h"

enum { SENDMAIL_SPOOL_MEMORY = 1024 * 1024, SENDMAIL_SPOOL_ERROR_SIZE = 300 };

struct sendmail_spool {
	struct sendmail_input input;
	struct buf memory; /* the message's beginning, or all of it */
	struct buf spill;  /* on its way to the file */
	int file;          /* what follows; -1: nothing */
	char error[SENDMAIL_SPOOL_ERROR_SIZE];
};

void sendmail_spool_init(struct sendmail_spool *s, bool dot_is_text);
void sendmail_spool_fini(struct sendmail_spool *s);
/* Reads `fd` to its end. EX_OK, or a status of <sysexits.h> with `error`. */
int sendmail_spool_fill(struct sendmail_spool *s, int fd);
/* Hands out the message from byte `from` of its memory on, piece by piece, until `take` returns something else than
 * EX_OK; returns that. */
int sendmail_spool_replay(struct sendmail_spool *s, size_t from, int (*take)(void *arg, struct span piece), void *arg);

#endif
