/*
 * space - disk blocks for the queue file, reserved ahead, and how much the disk has left.
 *
 * LMDB cannot even delete when it finds no page to write to. So blocks are reserved ahead of the end in use, in steps,
 * and when the disk gives no more, new mail is refused while what is reserved still serves outcomes: each frees
 * more than it takes.
 *
 * Threads: the writer's.
 */
#ifndef SPACE_H
#define SPACE_H

#include "queue/store.h"

struct space {
	uint64_t reserved_to; /* bytes of the file with blocks behind them, as far as we know */
	uint64_t free_bytes;  /* of the disk, for us */
	bool is_exhausted;    /* no more blocks, and the reserve is being used up */
	bool cannot_reserve;  /* the file system does not do that */
	uint64_t filled_to;   /* bytes of the file that were written once, as far as we know */
	bool cannot_fill;     /* it failed, or is of no use: the file system never overwrites */
};

void space_init(struct space *s, struct store *store);
/* Before a group: reserves where less than the reserve is left. Cheap when there is enough. */
void space_ensure(struct space *s, struct store *store);
/* True when the next commits would write to fresh blocks. Then space_fill(), between transactions, writes some of them. */
bool space_is_bare(const struct space *s, struct store *store);
void space_fill(struct space *s, struct store *store);
/* After a commit: what the disk has left. */
void space_refresh(struct space *s, struct store *store);

#endif
