/*
 * fields - records of the queue and the traffic as JSON objects: the one place that names their keys.
 *
 * The keys are part of the contract with users (sendoff(1), JSON): they are added to, never renamed.
 * Pure. Text that is not UTF-8 is cleaned. Results belong to the caller. Threads: any.
 */
#ifndef FIELDS_H
#define FIELDS_H

#include <jansson.h>

#include "queue/queue.h"
#include "traffic.h"

json_t *fields_text(const char *text);
json_t *fields_id(uint64_t id);

/* {"type":"message"} of the envelope alone. */
json_t *fields_message(const struct queue_envelope *envelope);
/* {"type":"recipient"}; `route` is the rule's name, "" for none. */
json_t *fields_rcpt(const struct queue_rcpt *rcpt, const char *route);
/* {"type":"history"} */
json_t *fields_outcome(const struct queue_outcome *outcome);
/* {"type":"lane"} */
json_t *fields_lane(const struct traffic_lane *lane);
/* {"type":"condition"} */
json_t *fields_condition(const struct traffic_condition *condition);
/* Adds the gate and its story to an object. */
void fields_add_why(json_t *object, const struct traffic_why *why);

const char *fields_rcpt_state(enum queue_rcpt_state state);
const char *fields_trouble(enum traffic_trouble trouble);

#endif
