/*
 * trace - the Received field that tells how a message came in (RFC 5321, 4.4; RFC 3848; RFC 6531, 4.3).
 *
 * Owns:    nothing; text is the caller's.
 * Never:   lets text from outside end the field, a line, a comment or a clause: what could is written as '?'. A line
 *          has at most 998 bytes whatever is said, since every text is cut at TRACE_TEXT_MAX.
 * Threads: any.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>

#include "base/buf.h"

enum { TRACE_TEXT_MAX = 256, TRACE_MAX = 4096 /* bytes of a field that are always enough */ };

/* NULL or "" is "not said"; `hostname`, `id` and `date` must be. Without helo and peer there is no from-clause: that is
 * how a local program's mail goes out, so that neither user names, uids nor addresses of a private network leave the
 * machine. */
struct trace {
	const char *helo;      /* from: a name or an address literal */
	const char *peer;      /* "name [192.0.2.1]" or "[192.0.2.1]" */
	const char *hostname;  /* by */
	const char *protocol;  /* with: "ESMTPSA", "UTF8SMTPSA" */
	const char *id;        /* as people see it */
	const char *tls;       /* "TLSv1.3 TLS_AES_256_GCM_SHA384" */
	const char *user;      /* "authenticated as alice", "uid 1000" */
	const char *recipient; /* for: an address as the envelope has it */
	const char *date;      /* RFC 5322, 3.3 */
};

/* Appends the field with its line end. False: `out` is full. */
bool trace_write(struct buf *out, const struct trace *t);

#endif
