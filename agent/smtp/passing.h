/*
 * passing - what of a message's demands a server can be asked for: whether it can take the message at all, and the MAIL
 *           and RCPT commands with the parameters it offered.
 *
 * Owns nothing; pure. REPLIES.md has the table of what becomes of a demand that is not offered.
 * Never:   lets a byte of an address or a parameter end its path, its parameter or its line.
 * Threads: any.
 */
#ifndef SMTP_PASSING_H
#define SMTP_PASSING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/client.h"
#include "smtp/ehlo.h"
#include "smtp/reply.h"

/* What is known of the server. */
struct passing_server {
	const struct ehlo *offer;
	bool is_proven; /* TLS is up, and the peer is who it should be */
};

/* Our own words why not. */
struct passing_refusal {
	struct reply_status status;
	char text[160];
};

/* Whether this server can take the message, its addresses apart. `by_ms`: what is left of the time to deliver by. */
bool passing_allows(const struct client_message *m, const struct passing_server *server, int64_t by_ms,
		    struct passing_refusal *out);
/* The message goes with the SMTPUTF8 parameter. */
bool passing_with_utf8(const struct client_message *m, const struct ehlo *offer);
/* It goes by BDAT. */
bool passing_by_chunks(const struct client_message *m);
/* The address (not the null sender) as it can be sent: itself or, without SMTPUTF8, with its domain in A-labels, kept in
 * the arena (also when that is full, it cannot be sent). NULL: it cannot be sent, `out` has all but the words. */
const char *passing_address(const char *address, bool with_utf8, struct mem_arena *arena, struct reply_status *out);
/* Append the command with CRLF. False: the buffer's cap. */
bool passing_mail(struct buf *out, const struct client_message *m, const char *sender, const struct ehlo *offer,
		  int64_t by_ms);
bool passing_rcpt(struct buf *out, const struct client_rcpt *rcpt, const char *address, const struct ehlo *offer,
		  bool with_utf8);

#endif
