/*
 * revise - apply the rules of rewrite.h to the header of a message, field by field.
 *
 * Owns:    nothing.
 * Never:   changes the order of fields, the bytes of a field that no rule is about, or a name of a field.
 * Threads: any.
 *
 * Written rules:
 * - A message with a Resent-… field is being resent (RFC 5322, 3.6.6): only its Resent-… fields are changed, and an
 *   identity's address goes into the first Resent-From; the author stays. Postfix and Exim add to the same fields.
 * - From gets the one address of the identity; what stood there follows it as Reply-To (only where there is none, and
 *   only what is a list of mailboxes), else as X-Original-From, or is dropped, as `original` says. In a message that is
 *   being resent it is never a Reply-To, which would lead answers away from the author.
 * - Further From fields, which no message should have, become X-Original-From, or are dropped, under an identity.
 * - Sender and Reply-To keep their addresses; bare ones get a domain.
 * - A header that would become longer than `out` may be stays as it came.
 */
#ifndef REVISE_H
#define REVISE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "message/header.h"
#include "message/rewrite.h"

/* Where a From field that an identity replaces goes. */
enum revise_original { REVISE_DROP, REVISE_REPLY_TO, REVISE_X_ORIGINAL_FROM };

/* `fields` is the header, without the empty line; `header` is what header_scan() found. CHANGED: `out` has the new
 * header. */
enum rewrite_verdict revise_header(struct rewrite *r, enum revise_original original, const struct header *header,
				   struct span fields, struct buf *out);

#endif
