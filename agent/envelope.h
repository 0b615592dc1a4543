/*
 * envelope - what becomes of the sender and the recipients of a message: the rules of the configuration, in the order
 * in which they count. Submission asks it for the mail it takes, `sendoff explain` for the same answer with its reasons.
 *
 *     sender      bare name qualified -> submitter (may they?) -> identity (under which address?)
 *     recipient   local name -> aliases -> what is still local: the identity's `to`, else qualified -> route
 *
 * Owns:    nothing; results borrow from the configuration, the aliases, the argument and the caller's arena. Pure.
 * Threads: any.
 */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "config.h"
#include "message/aliases.h"
#include "smtp/address.h"
#include "who.h"

enum envelope_verdict {
	ENVELOPE_OK,
	ENVELOPE_NOT_ALLOWED, /* the submitter section's senders do not have this one: 553 5.7.1 */
	ENVELOPE_LONG,        /* qualified, it is no legal path any more: 553 5.1.7, 5.1.3 */
	ENVELOPE_MANY,        /* the alias leads to too many, or to no end, or the arena is full: 452 4.5.3 */
	ENVELOPE_LOST,        /* the alias leads nowhere that can be read now: 451 4.3.0 */
};

struct envelope_from {
	const struct config_submitter *submitter; /* or NULL: trust.max_rate alone binds */
	const struct config_identity *identity;   /* or NULL */
	char given[ADDRESS_SIZE];                 /* qualified; "" the null sender */
	const char *address;                      /* the reverse-path to use: `given` or the identity's */
	const char *route;                        /* name of the identity's route, or "": for queue_envelope.route */
};

/* `sender` as the client gave it, without <>. Also filled in where it is not allowed; ENVELOPE_LONG: untouched. */
enum envelope_verdict envelope_from(const struct config *config, const struct who *who, const char *sender,
				    struct envelope_from *out);

struct envelope_rcpt {
	const char *address;              /* qualified forward-path */
	const char *alias_file;           /* where an alias said so, or NULL: it was given like this */
	int alias_line;                   /* of alias_file */
	bool by_identity;                 /* the identity's `to` */
	const struct config_route *route; /* or NULL: no rule fits, the mail waits */
};

struct envelope_to {
	struct envelope_rcpt *list; /* each address once; in the arena */
	size_t count;               /* at least 1 */
};

/* What one recipient becomes. `aliases` may be NULL. `storage` keeps the text. Other than ENVELOPE_OK: `out` is
 * untouched. The same address may come from two recipients: whoever collects them takes it once. */
enum envelope_verdict envelope_to(const struct config *config, const struct envelope_from *from,
				  const struct aliases *aliases, const char *recipient, struct mem_arena *storage,
				  struct envelope_to *out);

/* "name" with this machine's name behind it, where it has no domain. False: too long for a path. */
bool envelope_qualify(const struct config *config, const char *address, char out[ADDRESS_SIZE]);

#endif
