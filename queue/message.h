/*
 * message - the message and the recipient at hand of an apply: load, change, let go.
 *
 * Rule: a recipient has a due entry while it is waiting or doubtful and its message is not held.
 * Threads: the writer's.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "queue/apply.h"

/* Into a->env. QUEUE_NOT_FOUND, QUEUE_DAMAGED. */
enum queue_err message_load(struct apply *a, uint64_t id);
/* Into a->rcpt: recipient n of the loaded message, or the first with a number >= n. */
enum queue_err message_rcpt(struct apply *a, uint32_t n);
enum queue_err message_rcpt_from(struct apply *a, uint32_t n);

bool message_is_held(const struct apply *a);
bool message_is_waiting(const struct apply *a);
/* Takes the recipient at hand out of the schedule (it must be there), and puts it in at its due_ms. */
void message_unschedule(struct apply *a);
enum queue_err message_schedule(struct apply *a);
/* The same with flow and due time as they are in a->rcpt, whose flow's number may be out of date; writes the record. */
enum queue_err message_enter(struct apply *a);
/* Writes a->rcpt as it is. */
enum queue_err message_rcpt_save(struct apply *a);
enum queue_err message_set_flags(struct apply *a, uint32_t flags);
/* Sets (0: clears) the message's timer of one kind. */
void message_set_timer(struct apply *a, enum queue_timer_kind kind, int64_t when_ms);
/* Whether any recipient of the loaded message waits for the report about it; QUEUE_OK: yes, QUEUE_NOT_FOUND: no. */
enum queue_err message_owes_report(struct apply *a);
/* The recipient at hand leaves the queue; the last one takes the message along. */
enum queue_err message_rcpt_leave(struct apply *a);

#endif
