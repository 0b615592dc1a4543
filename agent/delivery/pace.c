#include "delivery/pace.h"

#include "base/text.h"
#include "delivery/backoff.h"

enum { LEAST_ROUND = 8 };

void pace_init(struct pace *pace)
{
	*pace = (struct pace){ .limit = 1, .goal = UINT32_MAX };
}

void pace_restart(struct pace *pace)
{
	pace->goal = pace->limit > 1 ? pace->limit / 2 : pace->goal;
	pace->limit = 1;
	pace->credit = pace->jobs = pace->base_ms = 0;
	pace->open_boot_ms = pace->hold_boot_ms = 0;
}

void pace_bound(struct pace *pace, uint32_t max)
{
	max = max ? max : 1;
	if (pace->limit > max)
		pace->limit = max;
	if (pace->ceiling >= max)
		pace->ceiling = 0;
}

/* One beyond the ceiling may be tried when its time is over. */
static uint32_t most(const struct pace *pace, uint32_t max, struct moment now)
{
	if (!pace->ceiling || pace->ceiling >= max)
		return max;
	return pace->ceiling + (now.boot_ms >= pace->probe_boot_ms);
}

bool pace_delivered(struct pace *pace, uint32_t max, struct moment now)
{
	if (pace->credit < UINT32_MAX)
		pace->credit++;
	if (pace->limit >= most(pace, max, now) || (pace->limit >= pace->goal && pace->credit < pace->limit))
		return false;
	pace->credit = 0;
	pace->limit++;
	return true;
}

bool pace_is_crowd(const char *text)
{
	static const char *const words[] = { "*connections*", "*concurren*", "*simultaneous*", "*sessions*",
					     "*connection limit*" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (text_glob(words[i], span_str(text)))
			return true;
	return false;
}

static void fall(struct pace *pace, uint32_t to)
{
	pace->limit = to ? to : 1;
	pace->goal = pace->limit;
	pace->credit = 0;
}

void pace_failed(struct pace *pace, uint32_t others, bool was_ready, const char *text,
		 const struct config_backoff *backoff, struct chance *chance, struct moment now)
{
	struct config_backoff wait = *backoff;

	if (was_ready && !pace_is_crowd(text)) {
		if (pace->limit / 2 < others)
			fall(pace, pace->limit / 2);
		else
			fall(pace, others);
		return;
	}
	wait.max_ms = PACE_CEILING_MAX_MS;
	wait.factor = wait.factor > 2 ? wait.factor : 2;
	if (pace->refusals < UINT32_MAX)
		pace->refusals++;
	pace->ceiling = others;
	pace->probe_boot_ms = now.boot_ms + backoff_ms(&wait, pace->refusals, chance);
	fall(pace, others);
}

/* A server that stays slow is taken as it is, by and by. */
static void end_round(struct pace *pace)
{
	uint32_t quick = pace->quick_ms ? pace->quick_ms : 1;

	if (!pace->base_ms)
		pace->base_ms = quick;
	if (quick / PACE_SLOW >= pace->base_ms && quick >= pace->base_ms + PACE_SLOW_MS)
		fall(pace, pace->limit / 2);
	if (quick > pace->base_ms)
		pace->base_ms += (quick - pace->base_ms + 7) / 8;
	else
		pace->base_ms = quick;
	pace->jobs = 0;
}

void pace_took(struct pace *pace, int64_t took)
{
	uint32_t ms = took < 0 ? 0 : took > INT32_MAX ? INT32_MAX : (uint32_t)took;

	if (!pace->jobs || ms < pace->quick_ms)
		pace->quick_ms = ms;
	pace->turn_ms = pace->turn_ms ? (uint32_t)(((uint64_t)pace->turn_ms * 7 + ms) / 8) : ms;
	if (++pace->jobs >= LEAST_ROUND && pace->jobs >= 2 * pace->limit)
		end_round(pace);
}

/* ---------------------------------------------------------------- what one more is worth */

void pace_open(struct pace *pace, uint32_t connecting, struct moment now)
{
	pace->open_boot_ms = connecting ? 0 : now.boot_ms;
	pace->hold_boot_ms = 0;
}

void pace_opened(struct pace *pace, uint32_t connecting, uint32_t ready, uint32_t max, struct moment now)
{
	if (connecting == 1 && pace->open_boot_ms) {
		uint32_t ms = (uint32_t)(now.boot_ms - pace->open_boot_ms);

		pace->connect_ms = pace->connect_ms ? (pace->connect_ms * 3 + ms) / 4 : ms;
		pace->open_boot_ms = 0;
	}
	if (!pace->ceiling || ready <= pace->ceiling)
		return;
	pace->ceiling = ready < max ? ready : 0;
	pace->refusals = 0;
}

size_t pace_worth(const struct pace *pace, uint32_t open)
{
	uint64_t turn_ms = pace->turn_ms ? pace->turn_ms : 1;
	uint64_t count = 1 + (uint64_t)pace->connect_ms * open / turn_ms;

	return pace->connect_ms == 0 ? 1 : count > PACE_DEPTH ? PACE_DEPTH : (size_t)count;
}

int64_t pace_hold(struct pace *pace, struct moment now)
{
	uint32_t ms = pace->turn_ms < pace->connect_ms ? pace->turn_ms : pace->connect_ms;

	if (!pace->hold_boot_ms)
		pace->hold_boot_ms = now.boot_ms + (ms ? ms : 1);
	if (now.boot_ms < pace->hold_boot_ms)
		return pace->hold_boot_ms;
	pace->hold_boot_ms = 0;
	return 0;
}
