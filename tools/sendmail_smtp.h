/*
 * sendmail_smtp - sendmail's conversation with the agent over a Unix socket: blocking, one message after the other.
 *
 * Owns:    its socket and buffers.
 * Promise: sendmail_smtp_finish() returns EX_OK only when the agent has answered 250 to the whole message; everything
 *          else leaves nothing of it queued. A recipient that is refused stops the message before its data is sent; one
 *          that is too many for one message does not, and waits for the next.
 * Threads: any, one object per thread.
 *
 * Functions return a status of <sysexits.h>; when it is not EX_OK, `error` has one line for people, and `is_gone` says
 * that the agent is not there (any more) and that nothing of this message is with it.
 */
#ifndef SENDMAIL_SMTP_H
#define SENDMAIL_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "smtp/dot.h"
#include "smtp/reply.h"
#include "tools/sendmail_envelope.h"

enum { SENDMAIL_SMTP_ERROR_SIZE = 800, SENDMAIL_SMTP_OUT_MAX = 128 * 1024 };

struct sendmail_smtp {
	int fd;
	bool verbose;      /* the dialogue on standard error */
	unsigned features; /* SENDMAIL_ENVELOPE_…, after hello */
	size_t most;       /* recipients of one message, after hello; 0: the agent does not say (LIMITS, RFC 9422) */
	bool is_gone;
	bool is_in_doubt; /* the end of a message was sent, and not answered yet */
	char host[256];   /* the agent's name for itself; after hello */
	struct reply_reader reader;
	struct buf in, out;
	struct dot_encoder dot;
	struct reply reply; /* the last one; valid until the next is read */
	char error[SENDMAIL_SMTP_ERROR_SIZE];
};

void sendmail_smtp_init(struct sendmail_smtp *s);
void sendmail_smtp_fini(struct sendmail_smtp *s); /* closes */

/* Connects to the first path of the NULL-ended list where an agent answers. Gone: nobody answers at any of them. */
int sendmail_smtp_open(struct sendmail_smtp *s, const char *const *paths);
/* Greeting and EHLO. */
int sendmail_smtp_hello(struct sendmail_smtp *s);

/* MAIL, RCPT and DATA. The first *out_taken recipients are in the message, at least one. */
int sendmail_smtp_begin(struct sendmail_smtp *s, const struct sendmail_envelope *e, size_t *out_taken);
/* Part of the message. */
int sendmail_smtp_data(struct sendmail_smtp *s, struct span bytes);
/* The end of it, and the agent's word. Then another may begin. */
int sendmail_smtp_finish(struct sendmail_smtp *s);
void sendmail_smtp_quit(struct sendmail_smtp *s);

#endif
