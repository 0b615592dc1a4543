/*
 * lineup - the scheduler's flows standing in line at their lanes: who may serve whom, and whose turn it is.
 *
 * Owns:    nothing; it works on a struct scheduler and is used by scheduler.c alone.
 * Never:   reads a clock. Writes only that flows are put to rest.
 * Threads: the queue's.
 */
#ifndef LINEUP_H
#define LINEUP_H

#include "delivery/scheduler.h"

struct lane *lineup_find(const struct scheduler *s, struct span name);
/* The next name of a target, which is moved behind it; false at its end. */
bool lineup_name(struct span *io_target, struct span *out_name);

/* Gives the flow a seat at each lane of its target. */
void lineup_bind(struct scheduler *s, struct flow *flow);
void lineup_join(struct flow *flow);
/* It may have due mail: into the lines of its lanes. */
void lineup_activate(struct scheduler *s, struct flow *flow);
struct flow *lineup_add(struct scheduler *s, uint32_t id, const struct queue_flow *name, struct moment now);
/* Flows whose time has come become active; those without due mail leave memory. */
void lineup_wake(struct scheduler *s, struct moment now);
void lineup_rest(struct scheduler *s, struct moment now);

/* Mail passes over a lane that does not take it: unwell, paused, or without a network. */
bool lineup_has_network(const struct scheduler *s, const struct lane *lane);
bool lineup_takes_mail(const struct scheduler *s, const struct lane *lane);
void lineup_look_everywhere(struct scheduler *s);

/* The first flow in line with due mail for the lane; those without leave the line. */
struct flow *lineup_next(struct scheduler *s, struct lane *lane, struct queue_view *view, struct moment now,
			 struct queue_due *out_due);
/* One message was taken: the lane's other flows of the band come first now. */
void lineup_served(struct lane *lane, struct flow *flow);

#endif
