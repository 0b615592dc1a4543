#include "tests/sim/story.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/sim.h"

enum {
	WEEK_MAILS = 60,
	FLOOD_MAILS = 120, /* of the flooding submitter */
	USER_MAILS = 8,
	SLOW_MAILS = 12,
	TWIN_MAILS = 50, /* half of them to dead destinations */
};

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
	sim->was_settling |= !settle_is_idle(&sim->agent.settle);
	sim->stirred_ms = sim->now.boot_ms;
	mirror_jumped(sim, by_ms);
}

/* Boot time goes on while nobody runs. */
static void sleeps(struct sim *sim)
{
	int64_t ms = (int64_t)sim_roll(sim, 10 * SIM_HOUR);

	sim_log(sim, "sleeps for %lld s", (long long)(ms / 1000));
	sim->now.boot_ms += ms;
	sim->now.wall_ms += ms;
	sim->stirred_ms = sim->now.boot_ms;
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

/* Containers come and go. */
static void link_flaps(struct sim *sim)
{
	for (int i = 0; i < 4; i++) {
		sim_log(sim, "the network changes");
		scheduler_network_changed(sim->agent.scheduler, sim->now);
		mirror_hurried(sim, false);
		sim_run(sim, sim->now.boot_ms + (int64_t)sim_roll(sim, 20 * SIM_SECOND));
	}
}

static void something_changes(struct sim *sim)
{
	switch (sim_roll(sim, 9)) {
	case 4: link_flaps(sim); break;
	case 0: link_changes(sim); break;
	case 1: clock_jumps(sim); break;
	case 2: sleeps(sim); break;
	case 3: people_speak(sim); break;
	default: weather_changes(sim); break;
	}
}

/* It is down for up to `most_ms`. */
static void restarts(struct sim *sim, int64_t most_ms)
{
	bool is_crash = !sim_once_in(sim, 4);
	int64_t off_ms, jump_ms;

	sim_log(sim, is_crash ? "crash" : "restart");
	sim->crashes++;
	mirror_crashes(sim);
	if (is_crash)
		agent_crash(sim);
	else
		agent_stop(sim);
	sim->down_ms = sim->now.boot_ms;
	off_ms = (int64_t)sim_roll(sim, (uint64_t)most_ms);
	sim->now.boot_ms += off_ms;
	sim->now.wall_ms += off_ms;
	jump_ms = most_ms == SIM_HOUR && sim_once_in(sim, 4) ? (int64_t)sim_roll(sim, 2 * SIM_HOUR) - SIM_HOUR : 0;
	sim->now.wall_ms += jump_ms;
	mirror_jumped(sim, jump_ms);
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

/* What senders want to have held until then is held, also where the clock was put back a week. */
static int64_t longest_hold(const struct sim *sim)
{
	int64_t most_ms = 0;

	for (size_t i = 0; i < sim->mail_count; i++)
		if (sim->mails[i].hold_until_ms - sim->now.wall_ms > most_ms)
			most_ms = sim->mails[i].hold_until_ms - sim->now.wall_ms;
	return most_ms;
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
			restarts(sim, SIM_HOUR);
		else if (luck < 67)
			reloads(sim);
		sim_run(sim,
			sim->now.boot_ms + (int64_t)sim_roll(sim, sim_once_in(sim, 10) ? 6 * SIM_HOUR : SIM_MINUTE));
	}
	repair(sim);
	sim_run(sim, sim->now.boot_ms + longest_hold(sim) + 8 * SIM_DAY);
	props_ends(sim);
}

/* ---------------------------------------------------------------- a flood */

/* One submitter hands in a lot at once, another a message now and then: props_takes() counts turns. */
static void flood(struct sim *sim)
{
	struct mail flood = { .submitter = "uid:9", .sender = "", .domain = "a.example", .band = 1, .count = 1 };
	struct mail user = {
		.submitter = "user:bob", .sender = "bob@example.org", .domain = "a.example", .band = 1, .count = 1
	};

	flood.lifetime_ms = user.lifetime_ms = 5 * SIM_DAY;
	flood.sender = "robot@example.org";
	sim->is_calm = true;
	for (int i = 0; i < FLOOD_MAILS; i++) {
		flood.domain = i % 3 ? "a.example" : "c.example"; /* which has a rate */
		mail_submit(sim, &flood);
	}
	for (int i = 0; i < USER_MAILS; i++) {
		sim_run(sim, sim->now.boot_ms + (int64_t)sim_roll(sim, 5 * SIM_SECOND));
		user.band = (uint8_t)sim_roll(sim, 3);
		mail_submit(sim, &user);
	}
	sim_run(sim, sim->now.boot_ms + 20 * SIM_SECOND);
	restarts(sim, SIM_SECOND);
	sim_run(sim, sim->now.boot_ms + 2 * SIM_HOUR);
	props_ends(sim);
}

/* ---------------------------------------------------------------- a slow end */

/* Mail that was put off is tried again by a slow server when its lifetime is over. */
static void slow_end(struct sim *sim)
{
	struct mail mail = {
		.submitter = "uid:1", .sender = "one@example.org", .domain = "l.example", .band = 1, .count = 1
	};
	struct host *host = host_of(sim, "l");
	int64_t first_ms = (int64_t)sim->plan.retry_first_s * SIM_SECOND;

	host->weather = HOST_GREYLISTS;
	for (int i = 0; i < SLOW_MAILS; i++) {
		mail.lifetime_ms = first_ms + (int64_t)sim_roll(sim, (uint64_t)first_ms / 2);
		mail_submit(sim, &mail);
	}
	sim_run(sim, sim->now.boot_ms + SIM_MINUTE);
	host->weather = HOST_TARPITS;
	sim_run(sim, sim->now.boot_ms + SIM_DAY);
	props_ends(sim);
}

/* ---------------------------------------------------------------- a dead destination */

static bool is_dead(const char *domain)
{
	return domain[0] == 'a' || domain[0] == 'c' || strcmp(domain, "d2.example") == 0 ||
	       strcmp(domain, "d3.example") == 0;
}

/* The same mail, with and without what goes to dead destinations. */
static void twin(struct sim *sim, bool with_dead)
{
	static const char *const domains[] = { "l.example", "d0.example", "d1.example", "l.example",
					       "a.example", "d2.example", "d3.example", "c.example" };
	static const char *const dead[] = { "a", "b", "c", "mx:d2.example", "mx:d3.example" };
	static const enum host_weather ways[] = { HOST_REFUSES, HOST_SILENT, HOST_SAYS_421, HOST_PASSWORD };
	enum host_weather way = ways[sim_roll(sim, 4)];

	/* No mail of theirs may go another way. */
	sim->plan.has_weights = sim->plan.is_turned = false;
	agent_reload(sim);
	props_renew(sim);
	for (size_t i = 0; i < sizeof dead / sizeof *dead; i++)
		host_of(sim, dead[i])->weather = way;
	for (int i = 0; i < TWIN_MAILS; i++) {
		int64_t ms = 1 + (int64_t)sim_roll(sim, 20 * SIM_SECOND);
		struct mail mail = { .submitter = sim_once_in(sim, 2) ? "uid:1" : "user:bob",
				     .sender = "bob@example.org" };

		mail.key = (uint64_t)i + 1;
		mail.domain = domains[sim_roll(sim, 8)];
		mail.count = 1 + (size_t)sim_roll(sim, 3);
		mail.band = (uint8_t)sim_roll(sim, 3);
		mail.lifetime_ms = 5 * SIM_DAY;
		if (with_dead || !is_dead(mail.domain))
			mail_submit(sim, &mail);
		sim_run(sim, sim->now.boot_ms + ms);
	}
	sim_run(sim, sim->now.boot_ms + SIM_HOUR);
}

/* A smart host's lane: not by a millisecond. A domain's may have left memory a moment sooner or later, when nothing was to
 * be done, and then learns anew how many connections it may have: that is one connection's next turn. */
static void compare(const struct sim *with, size_t number, size_t n, const struct mail *other)
{
	const struct mail *mail = &with->mails[number];
	bool is_mx = mail->domain[0] == 'd';
	int64_t is_ms = is_mx ? mail->fates[n].first_tried_boot_ms : mail->fates[n].taken_boot_ms;
	int64_t was_ms = is_mx ? other->fates[n].first_tried_boot_ms : other->fates[n].taken_boot_ms;

	if (llabs(is_ms - was_ms) > (is_mx ? PROPS_TURN_MS : 0))
		sim_fail(with, PROPS_DEAD, "m%zur%zu@%s leaves after %lld ms, without the dead one after %lld", number,
			 n, mail->domain, (long long)(is_ms - mail->accepted_boot_ms),
			 (long long)(was_ms - other->accepted_boot_ms));
}

static void dead_destination(struct sim *with)
{
	struct sim *without = MEM_NEW(struct sim);
	size_t i = 0;

	twin(with, true);
	agent_stop(with); /* one queue at a time */
	sim_open(without, with->seed, with->story, with->is_told);
	twin(without, false);
	for (size_t k = 0; k < with->mail_count; k++) {
		const struct mail *mail = &with->mails[k];

		if (is_dead(mail->domain))
			continue;
		for (size_t n = 0; n < mail->count; n++)
			compare(with, k, n, &without->mails[i]);
		i++;
	}
	sim_close(without);
	mem_free(without);
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
	tell(seed, "a flood", flood, is_told, out);
	tell(seed, "a slow end", slow_end, is_told, out);
	tell(seed, "a dead destination", dead_destination, is_told, out);
}
