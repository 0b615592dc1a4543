/*
 * mtasts_policy - the texts of MTA-STS (RFC 8461): the TXT record, the policy file, and the record in which a policy is
 *                 kept in the queue's state. Pure.
 *
 * Owns:    a policy is one block of memory from mtasts_policy_new() or mtasts_policy_read() to mtasts_policy_free().
 * Threads: any.
 */
#ifndef MTASTS_POLICY_H
#define MTASTS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "delivery/mtasts.h"

enum {
	MTASTS_POLICY_TEXT = 60 * 1024,    /* bytes; RFC 8461, 3.3, allows a limit */
	MTASTS_POLICY_AGE_S = 31557600,    /* most a policy may ask for */
	MTASTS_POLICY_FRESH_S = 24 * 3600, /* a policy older than this, or than half its age, is fetched again */
	MTASTS_POLICY_RECORD = 64 * 1024,
};

const char *mtasts_policy_mode_name(enum mtasts_mode mode); /* "enforce" */

/* Whether a TXT record is one of MTA-STS, whatever else is right or wrong with it: others beside it do not count. */
bool mtasts_policy_is_record(struct span txt);
/* RFC 8461, 3.1: the id of such a record. False: it is not well-formed. */
bool mtasts_policy_id(struct span txt, char out_id[MTASTS_ID_SIZE]);

/* RFC 8461, 3.2. NULL: it is not valid, with `why` for people. */
struct mtasts_policy *mtasts_policy_new(struct span text, const char *id, int64_t fetched_wall_ms,
					const char **out_why);
void mtasts_policy_free(struct mtasts_policy *policy); /* NULL is fine */

/* Its max_age has passed. */
bool mtasts_policy_is_over(const struct mtasts_policy *policy, int64_t wall_ms);
/* It should be fetched again, though it counts as long as that fails. */
bool mtasts_policy_is_old(const struct mtasts_policy *policy, int64_t wall_ms);
/* Fetched at a time that has not come yet: a wrong clock said so, and nobody knows its age. */
bool mtasts_policy_is_from_the_future(const struct mtasts_policy *policy, int64_t wall_ms);

/*
 * The record: form 1 (1), fetched 8, length of the id 1, id, length of the domain 2, domain, text of the policy; numbers
 * are big-endian. `domain` is that of the record, NULL: any; one that is another's (or no record) is answered by NULL.
 */
bool mtasts_policy_write(struct buf *out, const char *domain, const struct mtasts_policy *policy);
struct mtasts_policy *mtasts_policy_read(struct span record, const char *domain);

#endif
