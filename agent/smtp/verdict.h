/*
 * verdict - what a server's reply to a command means for the message, the account and the host: the table.
 *
 * Owns nothing; pure.
 * Threads: any.
 */
#ifndef SMTP_VERDICT_H
#define SMTP_VERDICT_H

#include <stdbool.h>

#include "smtp/client.h"
#include "smtp/reply.h"

enum verdict {
	VERDICT_OK,        /* what the command hoped for */
	VERDICT_TEMPORARY, /* 4xx about what the command named */
	VERDICT_PERMANENT, /* 5xx about what the command named */
	VERDICT_TOO_MANY,  /* no more recipients in this transaction (RFC 5321, 4.5.3.1.10) */
	VERDICT_SEQUENCE,  /* 503: the server's idea of the session is not ours */
	VERDICT_LANE,      /* about the host */
	VERDICT_CLOSING,   /* 421: about the host, and it hangs up */
	VERDICT_PARKED,    /* about the account, until somebody does something */
	VERDICT_THROTTLED, /* about the account, for a while */
	VERDICT_SENSELESS, /* no reply to this command: counting has gone wrong, or the server has */
};

struct verdict_context {
	bool relay;         /* a smart host, so that there is an account to be refused */
	bool lmtp;          /* the last hop: quotas and disabled accounts are the recipients' */
	bool authenticated; /* AUTH succeeded in this session */
};

enum verdict verdict_of(enum client_phase phase, const struct reply *reply, struct verdict_context context);

#endif
