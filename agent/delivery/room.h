/*
 * room - when there are more flows or MX lanes than memory shall hold: who gives way, and who comes in instead.
 *
 * MX lanes that wait out their backoff or rate leave memory, and their flows with them: these are away until the lane is
 * tried again, in memory where there is room enough, else parked in the queue. Lanes are gone through in a ring, a few in
 * each step. Flows in line for seats then get them, and those that were turned away (window.h) come in.
 * Owns:    nothing; it works on a struct scheduler and is used by its files alone.
 * Never:   reads a clock.
 * Threads: the queue's.
 */
#ifndef ROOM_H
#define ROOM_H

#include "delivery/scheduler.h"

/* A flow that may have due mail comes into memory, idle; its timer stands at `when_ms` or later. NULL: there is no room. */
struct flow *room_enter(struct scheduler *s, uint32_t id, const struct queue_flow *name, int64_t when_ms);
/* Room is made and given. */
void room_step(struct scheduler *s, struct moment now);
/* Flows that are away for `lane` (NULL: any) need not wait longer. */
void room_call_back(struct scheduler *s, const char *lane);
/* Boot time; INT64_MAX: nothing comes by itself. */
int64_t room_deadline(const struct scheduler *s);

#endif
