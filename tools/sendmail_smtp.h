/*
 * sendmail_smtp - sendmail's conversation with the agent over a Unix socket: blocking, one message, then the end.
 *
 * Owns:    its socket and buffers.
 * Promise: sendmail_smtp_finish() returns EX_OK only when the agent has answered 250 to the whole message; everything
 *          else leaves nothing queued. Every recipient is accepted, or nothing is sent.
 * Threads: any, one object per thread.
 *
 * Functions return a status of <sysexits.h>; when it is not EX_OK, `error` has one line for people.
 */
#ifndef SENDMAIL_SMTP_H
#define SENDMAIL_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "smtp/dot.h"
#include "smtp/reply.h"

enum sendmail_smtp_feature {
	SENDMAIL_SMTP_SIZE = 1 << 0,
	SENDMAIL_SMTP_8BITMIME = 1 << 1,
	SENDMAIL_SMTP_DSN = 1 << 2,
	SENDMAIL_SMTP_SMTPUTF8 = 1 << 3,
};

enum { SENDMAIL_SMTP_ERROR_SIZE = 800, SENDMAIL_SMTP_OUT_MAX = 128 * 1024 };

struct sendmail_smtp {
	int fd;
	bool verbose;      /* the dialogue on standard error */
	unsigned features; /* after hello */
	char host[256];    /* the agent's name for itself; after hello */
	struct reply_reader reader;
	struct buf in, out;
	struct dot_encoder dot;
	struct reply reply; /* the last one; valid until the next is read */
	char error[SENDMAIL_SMTP_ERROR_SIZE];
};

void sendmail_smtp_init(struct sendmail_smtp *s);
void sendmail_smtp_fini(struct sendmail_smtp *s); /* closes */

/* Connects to the first path of the NULL-ended list where an agent answers. */
int sendmail_smtp_open(struct sendmail_smtp *s, const char *const *paths);
/* Greeting and EHLO. */
int sendmail_smtp_hello(struct sendmail_smtp *s);

struct sendmail_smtp_envelope {
	const char *sender;
	char *const *recipients;
	size_t recipient_count;
	uint64_t size_bytes;
	bool is_8bit;
	const char *notify, *ret, *envid; /* or NULL; kept to ourselves where the agent offers no DSN */
};

/* MAIL, all RCPT and DATA. */
int sendmail_smtp_begin(struct sendmail_smtp *s, const struct sendmail_smtp_envelope *e);
/* Part of the message. */
int sendmail_smtp_data(struct sendmail_smtp *s, struct span bytes);
/* The end of it, and the agent's word. */
int sendmail_smtp_finish(struct sendmail_smtp *s);

#endif
