#include "control/answers.h"

#include <string.h>

static const struct client_verb *const verbs[] = {
	&answer_status_verb,         &answer_list_verb,          &answer_history_verb,      &answer_show_verb,
	&answer_show_why_verb,       &answer_cat_verb,           &answer_change_flush_verb, &answer_change_hold_verb,
	&answer_change_release_verb, &answer_change_remove_verb, &answer_lane_pause_verb,   &answer_lane_resume_verb,
	&answer_tlsrpt_verb,         &answer_drain_verb,         &answer_explain_verb,      &answer_agent_version_verb,
	&answer_agent_reload_verb,   &answer_agent_verify_verb,  &answer_test_verb,
};

const struct client_verb *answers_find(const char *name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(verbs[i]->name, name) == 0)
			return verbs[i];
	return NULL;
}
