/*
 * settle - the steps by which recipients leave or wait on: outcomes, reports made, an operator's removal.
 *
 * Threads: the writer's.
 */
#ifndef SETTLE_H
#define SETTLE_H

#include "queue/apply.h"

enum queue_err settle_apply(struct apply *a, const struct op_step *s);
enum queue_err settle_reported(struct apply *a, const struct op_step *s);
enum queue_err settle_remove(struct apply *a, const struct op_step *s);

#endif
