/*
 * answers - the verbs of the control socket, one row each.
 *
 * Threads: the loop's. For this room only.
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "control/client.h"

/* NULL: no such verb. */
const struct client_verb *answers_find(const char *name);

extern const struct client_verb answer_status_verb;
extern const struct client_verb answer_list_verb;
extern const struct client_verb answer_history_verb;
extern const struct client_verb answer_show_verb, answer_show_why_verb;
extern const struct client_verb answer_cat_verb;
extern const struct client_verb answer_explain_verb;
extern const struct client_verb answer_test_verb;
extern const struct client_verb answer_change_flush_verb, answer_change_hold_verb, answer_change_release_verb,
	answer_change_remove_verb;
extern const struct client_verb answer_lane_pause_verb, answer_lane_resume_verb;
extern const struct client_verb answer_drain_verb;
extern const struct client_verb answer_tlsrpt_verb;
extern const struct client_verb answer_agent_version_verb, answer_agent_reload_verb, answer_agent_verify_verb;

#endif
