/*
 * census - counts what waits: by target, and by what is not the target's fault.
 *
 * Goes over the oldest CENSUS_MESSAGES messages of the asker in pieces and then stops: what status says must not cost
 * more the deeper the queue is.
 * Owns:    its rows, at most CENSUS_TARGETS. Threads: the loop's.
 */
#ifndef CENSUS_H
#define CENSUS_H

#include "control/walk.h"

enum { CENSUS_MESSAGES = 20000, CENSUS_TARGETS = 128, CENSUS_TARGET_MAX = 1024 };

struct census_target {
	char name[CENSUS_TARGET_MAX]; /* "work,backup"; "" no route; cut where it is longer */
	uint64_t recipients;
	uint64_t later;    /* of them not due yet */
	int64_t oldest_ms; /* arrival */
};

struct census {
	struct walk walk;
	struct filter everything;
	uint64_t messages, recipients, bytes;
	uint64_t held, kept, damaged;     /* messages; kept: reports that nobody could be given */
	uint64_t doubtful, owed, put_off; /* recipients: perhaps delivered; waiting for a report; FUTURERELEASE */
	int64_t oldest_ms;                /* arrival of the oldest message; 0: none */
	struct census_target targets[CENSUS_TARGETS];
	size_t target_count;
	uint64_t others; /* recipients of targets for which there was no row */
	bool is_cut;     /* there are more messages */
};

void census_init(struct census *census, const struct client *client);
void census_fini(struct census *census);
/* WALK_MORE, WALK_END or WALK_FAILED. */
enum walk_step census_step(struct census *census, int *budget);

#endif
