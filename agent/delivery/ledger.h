/*
 * ledger - what the scheduler remembers in the queue across restarts: lanes' health, pauses, token buckets, and for
 *          which account a refusal was.
 *
 * Written on change only, token buckets at most every SCHEDULER_BUCKET_MS; what could not be written is written later.
 * Owns:    nothing; it works on a struct scheduler and is used by scheduler.c alone.
 * Threads: the queue's.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "delivery/scheduler.h"

void ledger_write(struct scheduler *s, struct moment now);
/* A lane that is new in this process. */
void ledger_restore(struct scheduler *s, struct lane *lane, struct moment now);
void ledger_restore_pause(struct scheduler *s);

#endif
