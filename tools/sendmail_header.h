/*
 * sendmail_header - what sendmail(1) does with a message's header: the recipients of -t and no Bcc, a From.
 *
 * Owns:    the list of recipients and the header that is to be sent.
 * Never:   touches a descriptor; changes or re-orders the fields that stay.
 * Threads: any, one object per thread.
 *
 * With -t the recipients are those of To, Cc and Bcc; where the message has Resent-To, Resent-Cc or Resent-Bcc, those
 * of these three only, of all blocks of them (RFC 5322, 3.6.6: it is resent). Then Bcc and Resent-Bcc are removed;
 * without -t they are text like any other field.
 */
#ifndef SENDMAIL_HEADER_H
#define SENDMAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/* Addresses without <>; copies. */
struct sendmail_header_list {
	char **items;
	size_t count, capacity;
};

enum { SENDMAIL_HEADER_ERROR_SIZE = 300 };

/* Appends all addresses of a To field's value, or of an argument. False: `error` says what is wrong, for people. */
bool sendmail_header_list_add(struct sendmail_header_list *list, struct span value,
			      char error[SENDMAIL_HEADER_ERROR_SIZE]);
/* The same address twice is one recipient. Sorts. */
void sendmail_header_list_unify(struct sendmail_header_list *list);
void sendmail_header_list_fini(struct sendmail_header_list *list);

struct sendmail_header {
	struct buf kept; /* the fields to be sent, and the empty line */
	size_t body;     /* where the body begins in the message */
	bool has_from, has_date;
	bool no_header; /* the message is all body */
};

/* `text` is the message's beginning with CRLF line ends, all of it where `is_all`. A mailbox line ("From me Tue …") in
 * front is dropped. `list` NULL: no -t. False: `error`; also for a header that does not end in `text`. */
bool sendmail_header_read(struct sendmail_header *h, struct span text, bool is_all, struct sendmail_header_list *list,
			  char error[SENDMAIL_HEADER_ERROR_SIZE]);
void sendmail_header_fini(struct sendmail_header *h);

/* "From: Full Name <user@host>" and CRLF; `address` without '@' gets `host`, or stays as it is where that
 * is NULL. False: `out` is full. */
bool sendmail_header_from(struct buf *out, const char *address, const char *host, const char *full_name);

#endif
