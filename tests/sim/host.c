#include "tests/sim/host.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tests/sim/sim.h"

enum { GREY_MS = 5 * SIM_MINUTE, CONNECT_MS = 30 * SIM_SECOND };

const char *host_weather_text(enum host_weather weather)
{
	static const char *const texts[] = {
#define X(name, text) [HOST_##name] = text,
		HOST_WEATHERS(X)
#undef X
	};

	return texts[weather];
}

struct host *host_of(struct sim *sim, const char *lane)
{
	struct host *host;

	for (size_t i = 0; i < sim->host_count; i++)
		if (strcmp(sim->hosts[i].lane, lane) == 0)
			return &sim->hosts[i];
	if (sim->host_count == HOST_MAX)
		sim_fail(sim, "the simulation's own bounds", "more than %d lanes", HOST_MAX);
	host = &sim->hosts[sim->host_count++];
	*host = (struct host){ .dice = { sim->seed ^ text_hash(span_str(lane)) }, .mirror = { .is_well = true } };
	snprintf(host->lane, sizeof host->lane, "%s", lane);
	return host;
}

bool host_is_mx(const struct host *host)
{
	return lanes_is_mx_name(span_str(host->lane));
}

static enum host_weather weather_of(struct sim *sim, const struct host *host)
{
	if (host->weather == HOST_FLAPS)
		return (sim->now.boot_ms / SIM_MINUTE) % 2 ? HOST_REFUSES : HOST_UP;
	return host->weather;
}

int64_t host_connect_ms(struct sim *sim, struct host *host)
{
	/* At the same time it takes as long, however many there were before. */
	struct chance dice = { sim->seed ^ text_hash(span_str(host->lane)) ^ (uint64_t)sim->now.boot_ms << 20 };

	return weather_of(sim, host) == HOST_SILENT ? CONNECT_MS : 1 + (int64_t)chance_below(&dice, 300);
}

bool host_greets(struct sim *sim, struct host *host, struct lane_failure *out, bool *out_is_there)
{
	*out_is_there = true;
	*out = (struct lane_failure){ .trouble = TRAFFIC_LANE, .text = "421 not now" };
	switch (weather_of(sim, host)) {
	case HOST_UP:
	case HOST_TARPITS:
	case HOST_GREYLISTS:
	case HOST_DROPS:
	case HOST_LOSES_REPLIES: return true;
	case HOST_CROWDED: out->text = "421 too many connections"; return host->mirror.ready == 0;
	case HOST_SILENT:
		*out_is_there = false;
		out->text = "no answer in time";
		return false;
	case HOST_REFUSES: out->text = "connection refused"; return false;
	case HOST_SAYS_421: return false;
	case HOST_PASSWORD:
		*out = (struct lane_failure){ .trouble = TRAFFIC_ACCOUNT, .is_parked = true, .text = "535 no" };
		return false;
	case HOST_QUOTA:
		*out = (struct lane_failure){ .trouble = TRAFFIC_ACCOUNT,
					      .is_throttled = true,
					      .text = "454 too much" };
		return false;
	case HOST_FLAPS:
	case HOST_WEATHER_COUNT: break;
	}
	return true;
}

static uint64_t draw(struct host *host, struct mail_fate *fate, uint64_t below)
{
	struct chance *dice = fate ? &fate->lot : &host->dice;

	return chance_below(dice, below);
}

int64_t host_serve_ms(struct sim *sim, struct host *host, struct mail_fate *fate)
{
	int64_t ms = 5 + (int64_t)draw(host, fate, 400);

	return weather_of(sim, host) == HOST_TARPITS ? 100 * ms + 20 * SIM_SECOND : ms;
}

enum host_end host_ends(struct sim *sim, struct host *host)
{
	switch (weather_of(sim, host)) {
	case HOST_REFUSES:
	case HOST_SILENT: return HOST_BREAKS_OFF;
	case HOST_DROPS: return chance_below(&host->dice, 2) ? HOST_BREAKS_OFF : HOST_ANSWERS;
	case HOST_LOSES_REPLIES: return chance_below(&host->dice, 3) ? HOST_ANSWERS : HOST_LOST_AFTER_DOT;
	case HOST_UP:
	case HOST_TARPITS:
	case HOST_GREYLISTS:
	case HOST_SAYS_421:
	case HOST_CROWDED:
	case HOST_PASSWORD:
	case HOST_QUOTA:
	case HOST_FLAPS:
	case HOST_WEATHER_COUNT: break;
	}
	return HOST_ANSWERS;
}

enum host_answer host_answers(struct sim *sim, struct host *host, struct mail_fate *fate)
{
	uint64_t luck = draw(host, fate, 100);

	if (sim->is_calm || !fate)
		return HOST_TAKES; /* a report that is refused would be kept for ever */
	if (!fate->first_tried_boot_ms)
		fate->first_tried_boot_ms = sim->now.boot_ms;
	if (host->weather == HOST_GREYLISTS && sim->now.boot_ms < fate->first_tried_boot_ms + GREY_MS)
		return HOST_PUTS_OFF;
	return luck < 12 ? HOST_PUTS_OFF : luck < 16 ? HOST_REFUSES_IT : HOST_TAKES;
}
