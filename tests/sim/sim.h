/*
 * sim - one simulated run: the agent's real deciding half and the real queue, in a world of its own, from a seed.
 *
 * Owns:    the clock, the event log and its digest, everything that happens to the agent.
 * Never:   reads a clock or chance of the machine's: the same seed is the same run, event by event.
 * Promise: whoever finds a property broken calls sim_fail(), which says the seed, the property and how to see it again.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/chance.h"
#include "delivery/moment.h"
#include "tests/sim/agent.h"
#include "tests/sim/conn.h"
#include "tests/sim/host.h"
#include "tests/sim/mail.h"
#include "tests/sim/mirror.h"
#include "tests/sim/plan.h"
#include "tests/sim/props.h"

enum { SIM_SECOND = 1000, SIM_MINUTE = 60 * SIM_SECOND, SIM_HOUR = 60 * SIM_MINUTE, SIM_DAY = 24 * SIM_HOUR };

struct sim {
	uint64_t seed;
	const char *story; /* the one that is told */
	bool is_told;      /* events are printed */
	char dir[64];
	struct chance dice; /* the story's own */
	struct moment now;
	uint64_t digest, events; /* of the log */
	int64_t down_ms;         /* boot time when the agent last went down */
	bool was_settling;       /* outcomes with the old clock's times were on their way to the disk when it jumped */
	int64_t stirred_ms;      /* boot time when the machine last woke up, or its clock jumped */
	bool is_online, has_dns; /* the link, the resolver */
	bool is_calm;            /* nobody refuses, drops or puts off any more */
	struct plan plan;
	struct agent agent;
	struct host *hosts;
	size_t host_count;
	struct conn conns[CONNS];
	struct mail *mails;
	size_t mail_count, mail_room;
	struct mirror_network network;
	struct props props;
	uint64_t attempts, failures, doubts, crashes, reloads; /* for people */
};

/* One event into the log. */
void sim_log(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A property does not hold: ends the process. */
_Noreturn void sim_fail(const struct sim *sim, const char *property, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* In [0, below), and true once in `n` times. */
static inline uint64_t sim_roll(struct sim *sim, uint64_t below)
{
	return chance_below(&sim->dice, below);
}
static inline bool sim_once_in(struct sim *sim, uint64_t n)
{
	return sim_roll(sim, n) == 0;
}

void sim_open(struct sim *sim, uint64_t seed, const char *story, bool is_told);
void sim_close(struct sim *sim);
/* From event to event until that boot time. */
void sim_run(struct sim *sim, int64_t boot_ms);
/* Everything that is due now happens. */
void sim_settle(struct sim *sim);

#endif
