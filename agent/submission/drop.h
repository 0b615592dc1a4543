/*
 * drop - takes in what sendmail(1) has kept in the drop directory while no agent ran.
 *
 * Once at start, and when something appears there later. One file after the other, in the directory's order (which is
 * as good as random); when one of a user's files has to wait (rate, quota), the user's others wait with it until the
 * next look, so that nobody's flood keeps another's mail waiting. What is refused for good is put aside, kept and
 * counted; what is put off is looked at again after DROP_RETRY_MS.
 *
 * Exactly once: the commit that accepts a message names its file (dropmark.h); then the file is removed; the mark
 * goes only when the removal is on stable storage. At start a file with a mark is only removed.
 *
 * Owns:    the directory, the file that is being taken in, the watch. No memory per file.
 * Never:   removes a file that was not taken; touches one through a link.
 * Idle:    an inotify descriptor; no timer runs while nothing waits.
 * Threads: the loop's.
 */
#ifndef DROP_H
#define DROP_H

#include "submission/session.h"
#include "traffic.h"

struct drop;

enum {
	DROP_RETRY_MS = 30 * 1000,  /* for what was put off */
	DROP_ABSENT_MS = 60 * 1000, /* for a directory that cannot be used or watched */
};

/* The queue must be there; the first look comes from the loop. */
struct drop *drop_new(struct session_shared *shared);
/* The configuration is new, or there may be another reason to try again; NULL is fine. */
void drop_look(struct drop *d);
/* What the queue was given is still accepted; NULL is fine. */
void drop_free(struct drop *d);
/* All zero for NULL. */
void drop_report(const struct drop *d, struct reception_drop *out);

#endif
