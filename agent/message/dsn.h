/*
 * dsn - delivery status notifications: the whole message that tells a sender what became of a mail
 * (multipart/report of RFC 6522, message/delivery-status of RFC 3464, RFC 3461).
 *
 * Owns:    nothing; it writes into the caller's buffer.
 * Never:   reads a clock, makes up an id, or lets text from outside start a line of its own: whatever a reply, an
 *          address or a subject holds, it comes out as one clean line, in ASCII where ASCII is demanded.
 * Threads: any.
 *
 * Where the report itself may travel with SMTPUTF8 (`utf8`), it is the form of RFC 6533 for that: UTF-8 in the header,
 * message/global-delivery-status and message/global-headers. Else all of it is ASCII: addresses outside of ASCII become
 * utf-8-addr-xtext, and what cannot be ASCII is quoted-printable.
 *
 * The message is dsn_head(), then, only where `whole` is set, all bytes of the original streamed by the caller, then
 * dsn_tail(). It goes out with the null reverse-path; never about a message that had the null reverse-path itself.
 */
#ifndef DSN_H
#define DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum dsn_action {
	DSN_FAILED,    /* refused for good, or given up */
	DSN_EXPIRED,   /* waited for its whole lifetime; a "failed" to programs */
	DSN_DELAYED,   /* still waiting; will be tried until retry_until_ms */
	DSN_RELAYED,   /* handed to a server that knows no DSN: no further news will come */
	DSN_EXPANDED,  /* an alias or list: handed to several others, which report for themselves (RFC 3464, 2.3.3) */
	DSN_DELIVERED, /* handed to its mailbox */
};

const char *dsn_action_name(enum dsn_action action); /* of RFC 3464, 2.3.3: "failed" */

struct dsn_rcpt {
	const char *address; /* as last used */
	const char *orcpt;   /* "rfc822;a@b" (decoded), or "" */
	enum dsn_action action;
	const char *status;     /* "5.1.1"; NULL or "": read from the reply, else by action */
	const char *reply;      /* what was said last: "550 5.1.1 no such user", or "" */
	const char *host;       /* who said so: "mx.example.org [192.0.2.1]"; "": we did */
	int64_t last_ms;        /* of the last attempt; 0: none */
	int64_t retry_until_ms; /* DELAYED; 0: not known */
	uint32_t attempts;
};

/* NULL is the same as "". Times are wall-clock milliseconds. */
struct dsn_report {
	const char *hostname;   /* the reporting MTA */
	const char *from;       /* address the report comes from: "postmaster@example.org" */
	const char *sender;     /* the original's reverse-path: who gets the report */
	const char *report_id;  /* this report's Message-ID, without <> */
	const char *boundary;   /* 1 to 60 of 0-9 A-Z a-z, not to be guessed by who wrote the original */
	const char *id;         /* of the original, as people see it */
	const char *message_id; /* its Message-ID without <>, or "" */
	const char *subject;    /* or "" */
	const char *envid;      /* decoded, or "" */
	int64_t arrival_ms, now_ms;
	int64_t deliver_by_ms; /* RFC 2852, 5: when the sender wanted it delivered; 0: not said */
	bool utf8;             /* the report may go with SMTPUTF8 */
	const struct dsn_rcpt *rcpts;
	size_t rcpt_count;
	/* The original: */
	struct span header; /* its header (dsn_header()); used unless `whole` */
	bool whole;         /* the caller streams all of it (dsn_wants_whole()) */
	bool is_8bit;       /* `whole`: it has bytes above 127 */
	bool is_utf8;       /* `whole`: it came with SMTPUTF8, so its header may have some */
};

/* The cap of dsn_head()'s buffer that is always enough for `count` recipients. */
size_t dsn_head_max(size_t count);
/* Everything up to the original, or with its header. False: `out` is full. */
bool dsn_head(struct buf *out, const struct dsn_report *r);
/* The rest, behind the original. */
bool dsn_tail(struct buf *out, const struct dsn_report *r);
/* Whether what comes out may have bytes above 127: a `whole` original can bring them, and `utf8`. */
bool dsn_is_8bit(const struct dsn_report *r);

/* Many reports in one mail, for somebody who would be flooded by a mail for each: words that list them, then the
 * message/delivery-status of each, without the originals (multipart/mixed: a multipart/report is about one message). Of
 * `head` hostname, from, sender, report_id, boundary, now_ms and utf8 count; of the reports what tells of the message and
 * its recipients. False: `out` is full. */
bool dsn_digest(struct buf *out, const struct dsn_report *head, const struct dsn_report *reports, size_t count);
/* The cap of its buffer that is always enough. */
size_t dsn_digest_max(size_t count, size_t rcpt_count);

/* The header of an original that begins with `start` (its first chunk is enough), at most DSN_HEADER_MAX bytes, cut
 * between two fields. */
enum { DSN_HEADER_MAX = 32 * 1024, DSN_WHOLE_MAX = 1024 * 1024 };
struct span dsn_header(struct span start);
/* RFC 3461, 4.3: only a failure brings the whole message back, only if asked for, and only up to DSN_WHOLE_MAX. Of a
 * message with REQUIRETLS only the header goes back whatever was asked for (RFC 8689, 5): do not ask then. */
bool dsn_wants_whole(bool ret_full, uint64_t size_bytes, const struct dsn_rcpt *rcpts, size_t count);

/* The enhanced status code that fits: the reply's own ("550 5.1.1 …"), else 5.0.0 or 4.0.0 by its first digit, else by
 * action. Writes at most 12 bytes with the NUL. Returns `out`. */
enum { DSN_STATUS_SIZE = 12 };
char *dsn_status(const struct dsn_rcpt *rcpt, char out[DSN_STATUS_SIZE]);

#endif
