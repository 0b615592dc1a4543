/* What the network says to the scheduler: which conditions of routes hold. */
#include "delivery/lineup.h"
#include "delivery/scheduler.h"

bool scheduler_network_facts(struct scheduler *s, const struct netfacts *facts, struct moment now)
{
	s->now = now;
	if (!conditions_see(&s->conditions, facts, now))
		return false;
	lineup_conditions_changed(s);
	return true;
}
