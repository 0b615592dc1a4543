/*
 * filter - which messages and recipients a verb is about: the one grammar of all verbs, on the command line and on
 *          the control socket.
 *
 * A message is chosen when it fits all that is said about messages (ids, from, submitter, older, newer) and at least
 * one of its recipients fits all that is said about recipients (to, route, state, error). Verbs that act on
 * recipients touch only those that fit.
 * Owns:    its ids and patterns. Never: holds more than FILTER_IDS_MAX ids or a pattern above FILTER_TEXT_MAX.
 * Threads: any, one object per thread. Pure.
 */
#ifndef FILTER_H
#define FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "config.h"
#include "queue/queue.h"
#include "traffic.h"

enum { FILTER_IDS_MAX = 4096, FILTER_TEXT_MAX = 512 };

/* What stands behind --state, beside the words of enum traffic_gate. */
#define FILTER_STATES(X)                                                        \
	X(WAITING, "waiting", "will be attempted")                              \
	X(DOUBTFUL, "doubtful", "perhaps delivered: the last reply was lost")   \
	X(FAILED, "failed", "given up; the report to the sender is still owed") \
	X(DELIVERED, "delivered", "delivered; a success report is still owed")  \
	X(BOUNCED, "bounced", "history only: refused, expired or given up")     \
	X(REMOVED, "removed", "history only: removed by an operator")           \
	X(HELD, "held", "an operator holds it")                                 \
	X(DAMAGED, "damaged", "the stored bytes do not match their checksum")

enum filter_state {
#define X(name, word, text) FILTER_##name,
	FILTER_STATES(X)
#undef X
};

struct filter {
	uint64_t *ids; /* rising, each once */
	size_t id_count;
	char *from, *to, *route, *submitter, *error; /* NULL: not said */
	unsigned states;                             /* bit of enum filter_state; with gates 0: any */
	unsigned gates;                              /* bit of enum traffic_gate */
	int64_t older_ms, newer_ms;                  /* ages; -1: not said */
	uint64_t limit;                              /* messages; 0: none */
	uint64_t after;                              /* only ids above it */
	uint64_t until;                              /* only ids up to it; UINT64_MAX: all */
	bool all;
};

/* For parsing, help and the manual: name without dashes, what stands behind it (NULL: nothing) and words. */
struct filter_option {
	const char *name, *value, *help;
};
const struct filter_option *filter_options(size_t *out_count);

void filter_init(struct filter *f);
void filter_fini(struct filter *f);
/* NULL, or what is wrong with it, for people. `value` NULL for options that take none. */
const char *filter_set(struct filter *f, const char *name, const char *value);
const char *filter_add_id(struct filter *f, struct span id);
/* Whether anything is said that chooses: ids, a pattern or `all`. */
bool filter_chooses(const struct filter *f);
/* What it costs to look at one record with it, in plain looks: long patterns cost more. At least 1. */
int filter_cost(const struct filter *f);
/* Whether something is said about recipients, so that parts of a message may fit. */
bool filter_splits(const struct filter *f);

bool filter_fits_message(const struct filter *f, const struct queue_envelope *envelope, int64_t now_ms);
/* Without what is said about gates; `route` is the name of the rule the recipient falls to, "" for none. */
bool filter_fits_rcpt(const struct filter *f, const struct queue_rcpt *rcpt, const char *route);
/* What is said with --state. `gate` is asked for only where filter_needs_gate(). */
bool filter_needs_gate(const struct filter *f);
bool filter_fits_state(const struct filter *f, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
		       enum traffic_gate gate);
bool filter_fits_outcome(const struct filter *f, const struct queue_outcome *outcome, int64_t now_ms);

#endif
