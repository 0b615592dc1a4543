/*
 * lineup - the scheduler's flows standing in line at their lanes: who may serve whom, and whose turn it is.
 *
 * In order: the first lane of a target that takes mail serves its flows. With weights, those that have one share each
 * flow's messages in proportion (share.h); those without come after all of them. A lane that fails, is paused or has no
 * network is passed over, and its share goes to the others. One that is merely full (its connections are busy or not yet
 * open, its rate is used up) has its turn kept for LINEUP_HOLD_MS; then any other takes the message, and it has no claim
 * to what it missed: it is back in the round as soon as it could take a message.
 *
 * Seats: a flow has one at each lane of its target. When lanes_is_full(), a flow whose MX lane is not there waits in line
 * for it, submitters in turn (room.h).
 *
 * A flow whose route waits for a network has no seats and stands in no line until that is there (conditions.h).
 *
 * Owns:    nothing; it works on a struct scheduler and is used by its files alone.
 * Never:   reads a clock, or writes.
 * Threads: the queue's.
 */
#ifndef LINEUP_H
#define LINEUP_H

#include "delivery/scheduler.h"

enum { LINEUP_HOLD_MS = 1000 };

/* All flows get seats anew: lanes have come and gone. */
void lineup_bind_all(struct scheduler *s);
/* It may have due mail: into the lines of its lanes. */
void lineup_activate(struct scheduler *s, struct flow *flow);
/* Flows whose time has come become active, also those that were away. */
void lineup_wake(struct scheduler *s, struct moment now);
/* The conditions of routes have changed: flows whose own does not hold leave the lines; those whose own came to hold become
 * active, some in each lineup_wake(). */
void lineup_conditions_changed(struct scheduler *s);

/* Mail passes over a lane that does not take it: unwell, paused, or without a network. */
bool lineup_has_network(const struct scheduler *s, const struct lane *lane);
bool lineup_takes_mail(const struct scheduler *s, const struct lane *lane);
void lineup_look_everywhere(struct scheduler *s);
/* Its health changed: mail passes between it and the lanes that share flows with it. */
void lineup_look_around(struct scheduler *s, struct lane *lane);

/* The first flow in line with due mail for the lane, which could take it; those without leave the line. */
struct flow *lineup_next(struct scheduler *s, struct lane *lane, struct queue_view *view, struct moment now,
			 struct queue_due *out_due);
/* How many messages are due for the lane, counted up to `most`: those of the first flows in its lines. */
size_t lineup_depth(const struct scheduler *s, const struct lane *lane, struct queue_view *view, struct moment now,
		    size_t most);
/* One message was taken: the lane's other flows of the band come first now, and with weights perhaps another lane. */
void lineup_served(struct scheduler *s, struct lane *lane, struct flow *flow);

#endif
