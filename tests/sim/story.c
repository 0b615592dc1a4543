#include "tests/sim/story.h"

#include <stdlib.h>

#include "base/mem.h"
#include "tests/sim/sim.h"

enum { WEEK_MAILS = 60 };

/* ---------------------------------------------------------------- what can happen */

static void link_changes(struct sim *sim)
{
	if (sim_once_in(sim, 3))
		sim->has_dns = !sim->has_dns;
	else
		sim->is_online = !sim->is_online;
	sim_log(sim, "the link is %s, the resolver %s", sim->is_online ? "up" : "down",
		sim->has_dns ? "there" : "silent");
	if (sim_once_in(sim, 4))
		return; /* nobody notices */
	scheduler_network_changed(sim->agent.scheduler, sim->now);
	mirror_hurried(sim, false);
}

static void clock_jumps(struct sim *sim)
{
	int64_t by_ms = (int64_t)sim_roll(sim, 4 * SIM_HOUR) - 2 * SIM_HOUR;

	if (sim_once_in(sim, 6))
		by_ms *= 100;
	sim_log(sim, "the clock jumps by %lld s", (long long)(by_ms / 1000));
	sim->now.wall_ms += by_ms;
	mirror_jumped(sim, by_ms);
}

/* Boot time goes on while nobody runs. */
static void sleeps(struct sim *sim)
{
	int64_t ms = (int64_t)sim_roll(sim, 10 * SIM_HOUR);

	sim_log(sim, "sleeps for %lld s", (long long)(ms / 1000));
	sim->now.boot_ms += ms;
	sim->now.wall_ms += ms;
	agent_poke(sim);
}

static void people_speak(struct sim *sim)
{
	static const char *const lanes[] = { "a", "b", "c", "l", "mx:d0.example", "mx:d3.example", NULL };
	const char *lane = lanes[sim_roll(sim, sizeof lanes / sizeof *lanes)];

	switch (sim_roll(sim, 3)) {
	case 0:
		sim_log(sim, "pause %s", lane ? lane : "all");
		if (scheduler_pause(sim->agent.scheduler, lane, "root", sim->now))
			mirror_paused(sim, lane);
		break;
	case 1:
		sim_log(sim, "resume %s", lane ? lane : "all");
		if (scheduler_resume(sim->agent.scheduler, lane, sim->now))
			mirror_resumed(sim, lane);
		break;
	default:
		sim_log(sim, "wake %s", lane ? lane : "all");
		if (scheduler_wake(sim->agent.scheduler, lane, sim->now))
			mirror_woken(sim, lane);
		break;
	}
	agent_poke(sim);
}

static void weather_changes(struct sim *sim)
{
	static const char *const lanes[] = {
		"a", "b", "c", "l", "mx:d0.example", "mx:d1.example", "mx:d2.example", "mx:d3.example"
	};
	struct host *host = host_of(sim, lanes[sim_roll(sim, sizeof lanes / sizeof *lanes)]);

	host->weather = sim_once_in(sim, 3) ? HOST_UP : (enum host_weather)sim_roll(sim, HOST_WEATHER_COUNT);
	sim_log(sim, "%s %s", host->lane, host_weather_text(host->weather));
}

static void something_changes(struct sim *sim)
{
	switch (sim_roll(sim, 8)) {
	case 0: link_changes(sim); break;
	case 1: clock_jumps(sim); break;
	case 2: sleeps(sim); break;
	case 3: people_speak(sim); break;
	default: weather_changes(sim); break;
	}
}

static void restarts(struct sim *sim)
{
	bool is_crash = !sim_once_in(sim, 4);

	sim_log(sim, is_crash ? "crash" : "restart");
	sim->crashes++;
	mirror_crashes(sim);
	if (is_crash)
		agent_crash(sim);
	else
		agent_stop(sim);
	sim->now.boot_ms += (int64_t)sim_roll(sim, SIM_HOUR);
	sim->now.wall_ms = sim->now.wall_ms + (int64_t)sim_roll(sim, SIM_HOUR);
	props_renew(sim);
	agent_start(sim);
	props_restarted(sim);
}

static void reloads(struct sim *sim)
{
	sim_log(sim, "reload");
	sim->reloads++;
	plan_change(&sim->plan, &sim->dice);
	agent_reload(sim);
	props_renew(sim);
}

/* ---------------------------------------------------------------- a week */

/* Everything works again, and whoever knows says so. */
static void repair(struct sim *sim)
{
	sim_log(sim, "everything works again");
	sim->is_online = sim->has_dns = sim->is_calm = true;
	sim->agent.fail_one_in = 0;
	for (size_t i = 0; i < sim->host_count; i++)
		sim->hosts[i].weather = HOST_UP;
	scheduler_resume(sim->agent.scheduler, NULL, sim->now);
	mirror_resumed(sim, NULL);
	scheduler_network_changed(sim->agent.scheduler, sim->now);
	mirror_hurried(sim, false);
	agent_poke(sim);
}

static void week(struct sim *sim)
{
	sim->agent.flush_most_ms = sim_once_in(sim, 3) ? 0 : 1 + (int64_t)sim_roll(sim, 50);
	sim->agent.fail_one_in = sim_once_in(sim, 3) ? 5 + (uint32_t)sim_roll(sim, 50) : 0;
	while (sim->mail_count < WEEK_MAILS) {
		uint64_t luck = sim_roll(sim, 100);

		if (luck < 50)
			mail_arrives(sim);
		else if (luck < 62)
			something_changes(sim);
		else if (luck < 65)
			restarts(sim);
		else if (luck < 67)
			reloads(sim);
		sim_run(sim,
			sim->now.boot_ms + (int64_t)sim_roll(sim, sim_once_in(sim, 10) ? 6 * SIM_HOUR : SIM_MINUTE));
	}
	repair(sim);
	sim_run(sim, sim->now.boot_ms + 8 * SIM_DAY);
	props_ends(sim);
}

static void tell(uint64_t seed, const char *name, void (*what)(struct sim *sim), bool is_told, struct story_sum *sum)
{
	struct sim *sim = MEM_NEW(struct sim);

	sim_open(sim, seed, name, is_told);
	what(sim);
	sim_close(sim);
	sum->digest = (sum->digest ^ sim->digest) * 0x100000001b3u;
	sum->events += sim->events;
	sum->mails += sim->mail_count;
	sum->attempts += sim->attempts;
	sum->failures += sim->failures;
	sum->doubts += sim->doubts;
	sum->crashes += sim->crashes;
	sum->reloads += sim->reloads;
	mem_free(sim);
}

void story_tell(uint64_t seed, bool is_told, struct story_sum *out)
{
	*out = (struct story_sum){ .digest = 0xcbf29ce484222325u };
	tell(seed, "a week", week, is_told, out);
}
