/*
 * fixup - what submission does to a message on its way into the queue (RFC 6409, 8): a trace field in front, Date,
 * Message-ID and From where they are missing, and what rules of the configuration say about its addresses. Everything
 * else that came in follows byte by byte.
 *
 * Owns:    the new fields, the message's header until its end is known (at most FIXUP_HEADER_MAX), and its new form
 *          where a rule changes it; the body passes through uncopied.
 * Never:   re-folds, re-spaces or re-orders a field, or changes one that no rule is about (rewrite.h and revise.h have
 *          these rules); reads a clock; makes up an id; refuses a message.
 * Threads: any, one object per thread.
 *
 * Written rules (what is accepted, and how it goes on):
 * - Lines of a header end with CRLF. In what came by BDAT a bare LF may stand there (BODY=BINARYMIME): it ends a line of
 *   the header too, as every reader takes it, and stays as it is. The body is never looked at.
 * - No header (the first line is no field): our fields, an empty line, then everything as body.
 * - A first line "From joe Mon Jan 1 …" with a field behind it, as in mailbox files, becomes "X-Mailbox-Line: From joe …".
 * - A line that is no field in the middle of the header ends it: an empty line is put in front of that line.
 * - A header without a body, without an empty line or without a line end at its end stays so.
 * - A header longer than FIXUP_HEADER_MAX gets the trace field only, since what it lacks cannot be known; no rule is
 *   applied to it.
 * - A field of any length, lines over 998 bytes, any number of fields, blanks before a colon, odd folding, bytes above
 *   127 whatever was declared, and NUL stay (facts tell of NUL, since no server takes it).
 * - Of several From, Date or Message-ID fields none is missing; they stay (but see revise.h for From under an identity).
 * - Bcc stays: only `sendmail -t` takes it out, since only there it is part of the envelope. Return-Path and
 *   Delivered-To stay as well: RFC 5321, 4.4 asks who writes a message not to put a Return-Path in, and lets the last
 *   server take it out; taking it out here could only break a signature.
 * - A message with a Resent-… field is being resent (RFC 5322, 3.6.6): it gets Resent-Date, Resent-Message-ID and
 *   Resent-From where these are missing; a missing Date, Message-ID or From is the author's, and is not made up.
 */
#ifndef FIXUP_H
#define FIXUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "message/aliases.h"
#include "message/header.h"
#include "message/revise.h"

enum {
	FIXUP_HEADER_MAX = 256 * 1024,
	FIXUP_SUBJECT_MAX = 200,
	FIXUP_MESSAGE_ID_MAX = 400,
	FIXUP_SPANS = 5,
	FIXUP_OUT_MAX = 4 * FIXUP_HEADER_MAX, /* the most bytes a call hands out besides those of `in` */
};

/* All text is borrowed until fixup_fini(). Control bytes in it become '?'. */
struct fixup_options {
	/* Received (trace.h). Without helo and peer there is no from-clause: that is how a local program's mail goes
	 * out, so that neither user names, uids nor addresses of a private network leave the machine. */
	const char *hostname; /* by; never NULL */
	const char *protocol; /* with: "ESMTPSA", "UTF8SMTPSA" */
	const char *id;   /* the message's id as people see it; also the left side of a new Message-ID; never NULL */
	const char *helo; /* from, or NULL */
	const char *peer; /* "name [192.0.2.1]" or "[192.0.2.1]", or NULL */
	const char *tls;  /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or NULL */
	const char *user; /* "authenticated as alice", "uid 1000": a comment, or NULL */
	const char *recipient; /* for, only where the message has a single one, or NULL */
	int64_t wall_ms;
	bool no_trace; /* no Received field */
	/* What is added where it is missing. */
	bool add_date, add_message_id;
	const char *id_domain; /* the right side of a new Message-ID; NULL: hostname */
	const char *from; /* the value of a new From field ("Alerts <alerts@example.com>"), or NULL: none is added */
	/* What is changed, because a rule of the configuration says so. NULL: stays as it came. */
	const char *qualify; /* domain put behind bare names in From, Sender, Reply-To, To, Cc, Bcc and Resent-… */
	const char *identity_from;     /* address that From gets instead of what was there; also where there was none */
	const char *identity_name;     /* its display name, UTF-8; NULL: the first one that was there */
	enum revise_original original; /* only where the address changed; REPLY_TO never replaces a Reply-To */
	const char *to;                /* address in place of bare names, and names at `qualify`, in To and Cc */
	struct aliases *aliases;       /* likewise the addresses of an alias; before `to`; borrowed */
	bool utf8;                     /* SMTPUTF8: new text in the header may be UTF-8; else names are encoded words */
};

/* Known when the header's end was seen. */
struct fixup_facts {
	bool ready;           /* the rest is valid */
	bool header_too_long; /* not all of the header was read */
	bool no_header;
	bool has_date, has_message_id, has_from, has_to; /* as it came; `to`: To, Cc or Bcc */
	bool has_bcc;
	bool is_resent;
	bool is_auto;           /* Auto-Submitted other than "no" */
	bool has_nul;           /* in what was read of the header */
	bool is_changed;        /* a rule changed a field that was there */
	bool is_given_up;       /* a rule would have, but the header would have become too long: it stays as it came */
	uint32_t received;      /* Received fields as it came: loop detection */
	int64_t added_bytes;    /* what goes out is so much longer than what came in; shorter where negative */
	const char *message_id; /* without <>, cleaned, the added one if we added it; "" for none */
	const char *subject;    /* its start, decoded and cleaned; "" for none */
};

struct fixup {
	struct fixup_options options;
	struct header header;
	struct buf held;    /* the header so far, as long as its end is not known */
	struct buf added;   /* our fields */
	struct buf changed; /* the header's new form */
	size_t envelope;    /* bytes of a mailbox file's first line; SIZE_MAX: not known yet */
	struct fixup_facts facts;
	char message_id[FIXUP_MESSAGE_ID_MAX + 1];
	char subject[FIXUP_SUBJECT_MAX + 1];
};

void fixup_init(struct fixup *f, const struct fixup_options *options);
void fixup_fini(struct fixup *f);

/* `in` is what comes next of the message (CRLF line ends). Returns how many of `out` are to be stored, in this order;
 * they are valid as long as `in` is, until the next call. */
size_t fixup_feed(struct fixup *f, struct span in, struct span out[FIXUP_SPANS]);
/* The message is whole. */
size_t fixup_end(struct fixup *f, struct span out[FIXUP_SPANS]);

static inline const struct fixup_facts *fixup_facts(const struct fixup *f)
{
	return &f->facts;
}

#endif
