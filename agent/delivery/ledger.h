/*
 * ledger - what the scheduler remembers in the queue across restarts: lanes' health, pauses, token buckets, and for
 *          which account a refusal was.
 *
 * Written on change only, token buckets at most every SCHEDULER_BUCKET_MS; what could not be written is written later.
 * Owns:    nothing; it works on a struct scheduler and is used by its files, tidy.c and gate.c alone.
 * Threads: the queue's.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "delivery/scheduler.h"

void ledger_write(struct scheduler *s, struct moment now);
/* Boot time when there is something to write; INT64_MAX: never. */
int64_t ledger_deadline(const struct scheduler *s);
/* All that is known of the lane in memory (NULL: of all, and that all are paused) is committed. */
bool ledger_is_written(const struct scheduler *s, const char *name);
/* A lane that is new in memory, or only to be read. What an operator's word to all lanes has overtaken does not count. */
void ledger_restore(struct scheduler *s, struct lane *lane, struct moment now);
void ledger_restore_pause(struct scheduler *s);
/* All that is remembered of a lane that is not in memory goes with the operation. */
void ledger_forget(struct queue_op *op, const char *name);

#endif
