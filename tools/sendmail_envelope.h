/*
 * sendmail_envelope - MAIL and RCPT as sendmail says them, to the agent's socket or into a file that is kept for it.
 *
 * Owns:    nothing. Threads: any.
 */
#ifndef SENDMAIL_ENVELOPE_H
#define SENDMAIL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* What may be said: what EHLO offered, or everything where there is nobody to ask yet. */
enum sendmail_envelope_feature {
	SENDMAIL_ENVELOPE_SIZE = 1 << 0,
	SENDMAIL_ENVELOPE_8BITMIME = 1 << 1,
	SENDMAIL_ENVELOPE_DSN = 1 << 2,
	SENDMAIL_ENVELOPE_SMTPUTF8 = 1 << 3,
	SENDMAIL_ENVELOPE_ALL = (1 << 4) - 1,
};

struct sendmail_envelope {
	const char *sender;
	char *const *recipients;
	size_t recipient_count;
	uint64_t size_bytes;
	bool is_8bit;
	const char *notify, *ret, *envid; /* or NULL; kept to ourselves where DSN is not among the features */
};

/* Append the command without its CRLF. False: `out` is full. SMTPUTF8 is asked for where an address needs it (RFC
 * 6531, 3.4), not because of the message: its header is taken as it is. */
bool sendmail_envelope_mail(const struct sendmail_envelope *e, unsigned features, struct buf *out);
bool sendmail_envelope_rcpt(const struct sendmail_envelope *e, size_t i, unsigned features, struct buf *out);

#endif
