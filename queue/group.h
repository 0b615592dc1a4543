/*
 * group - runs operations in one transaction: all that wait, one commit, two flushes.
 *
 * Each operation happens whole or not at all. A step checks everything before it writes, so operations run straight in
 * the group's transaction. When one of several steps fails behind a step that wrote, the group is run again, those of
 * several steps each in a child of its transaction, so that a failure takes back only its own. When the group itself fails
 * (the disk is full, the map is full, a write failed in the middle of a step) it is run one by one, and each operation
 * gets its own answer.
 *
 * Owns:    the counters as committed, and the sweeping of bodies without an owner.
 * Threads: the writer's alone, but group_shared.
 */
#ifndef GROUP_H
#define GROUP_H

#include "queue/op.h"
#include "queue/record.h"
#include "queue/store.h"

#include <stdatomic.h>

/* What both threads see. Limits go in, facts come out. */
struct group_shared {
	_Atomic uint64_t max_size_bytes, max_message_bytes, min_free_disk_bytes, history_max_bytes;
	_Atomic int64_t history_ms;
	_Atomic uint64_t messages, recipients, body_bytes, history_records, free_disk_bytes, commits, operations;
	_Atomic bool is_disk_full;      /* no blocks can be reserved ahead */
	_Atomic uint32_t stale_readers; /* cleared and not yet told */
};

struct group;

/* Loads the counters, and makes them and the schema in a new file. */
enum queue_err group_new(struct store *store, struct group_shared *shared, struct group **out_group);
void group_free(struct group *g);
const struct record_counters *group_counters(const struct group *g);
/* Sets err (and news) of every operation of the list. */
void group_run(struct group *g, struct queue_op *ops);
/* When there is nothing else to do: deletes some chunks of bodies without an owner, or writes to blocks ahead of need
 * (space.h). A short step at a time. */
bool group_has_chores(const struct group *g);
void group_chore(struct group *g);

#endif
