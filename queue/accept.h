/*
 * accept - the step that takes a message into the queue.
 *
 * Threads: the writer's.
 */
#ifndef ACCEPT_H
#define ACCEPT_H

#include "queue/apply.h"

/* What the quota is charged. */
uint64_t accept_charge(uint64_t body_bytes, uint64_t messages, uint64_t recipients);
/* Reports may use an eighth more, and half of the floor: a full queue still tells senders what became of their mail. */
uint64_t accept_quota(const struct group_shared *limits, bool is_report);
uint64_t accept_floor(const struct group_shared *limits, bool is_report);
enum queue_err accept_apply(struct apply *a, struct op_step *s);

#endif
