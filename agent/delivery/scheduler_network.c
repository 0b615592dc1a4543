/* What the network says to the scheduler: which conditions of routes hold, and whether peers are who they should be. */
#include "delivery/lineup.h"
#include "delivery/scheduler.h"

enum { LINK_JITTER_MS = 100 }; /* many machines may get their network back at once */

bool scheduler_network_facts(struct scheduler *s, const struct netfacts *facts, struct moment now)
{
	bool is_elsewhere = netfacts_is_elsewhere(&s->conditions.facts, facts), is_news;

	s->now = now;
	is_news = conditions_see(&s->conditions, facts, now);
	if (is_news)
		lineup_conditions_changed(s);
	if (is_elsewhere)
		network_linked(&s->network, now.boot_ms + (int64_t)chance_below(&s->chance, LINK_JITTER_MS));
	return is_news || is_elsewhere;
}

bool scheduler_deceived(struct scheduler *s, struct lane *lane, const char *text, struct moment now)
{
	s->now = now;
	if (lane->is_local || lane->ready || scheduler_has_others(s, lane) || !network_is_suspect(&s->network, now))
		return false;
	/* It may have met the portal in the moment before the network was seen to be another one. */
	if (lane->trouble == TRAFFIC_LANE)
		lane_wake(lane);
	if (network_deceives(&s->network, lane, text, &s->config->reconnect, &s->chance, now))
		lineup_look_everywhere(s);
	return true;
}

bool scheduler_proven(struct scheduler *s, struct lane *lane, bool is_proven, struct moment now)
{
	bool was_portal;

	s->now = now;
	if (lane->is_local)
		return false;
	was_portal =
		is_proven ? network_proven(&s->network, now) : s->network.is_portal && network_worked(&s->network, now);
	if (was_portal)
		lineup_look_everywhere(s);
	return was_portal;
}
