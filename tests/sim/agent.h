/*
 * agent - the real thing: queue, scheduler, settle, bounce, calendar, sweep, tidy, upkeep, aside, put together as
 *         delivery/delivery.c does it, with the simulation's clock and disk.
 *
 * Owns:    what a process has in memory; agent_crash() drops it, agent_start() finds what is on disk.
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/aside.h"
#include "delivery/bounce.h"
#include "delivery/calendar.h"
#include "delivery/scheduler.h"
#include "delivery/settle.h"
#include "delivery/sweep.h"
#include "delivery/tidy.h"
#include "delivery/upkeep.h"
#include "queue/queue.h"

struct sim;

struct agent {
	struct queue *queue;
	struct config *config;
	struct scheduler *scheduler;
	struct settle settle;
	struct bounce bounce;
	struct calendar calendar;
	struct sweep sweep;
	struct tidy tidy;
	struct upkeep upkeep;
	struct aside aside;
	uint64_t tries;
	int64_t timer_boot_ms, offset_ms;
	bool is_poked;
	bool is_dying;           /* answers that come now reach nobody */
	int64_t flush_boot_ms;   /* when the disk has done with the group; INT64_MAX: it has none */
	int64_t take_boot_ms;    /* when it takes the next; INT64_MAX: nothing waits */
	int64_t flush_most_ms;   /* a flush takes up to so long */
	uint32_t fail_one_in;    /* commits fail; 0: never */
	bool is_commit_failing;  /* the one that is being made */
	uint64_t failed_commits; /* since start */
	int64_t last_fail_boot_ms;
};

void agent_start(struct sim *sim);
/* The power goes off. */
void agent_crash(struct sim *sim);
/* What is on its way is cut off, everything is written. */
void agent_stop(struct sim *sim);
/* Takes the plan as it is now. */
void agent_reload(struct sim *sim);
/* The disk and one turn of the loop, until nothing is left to be done now. */
void agent_turn(struct sim *sim);
/* Boot time of what comes next by itself; INT64_MAX: nothing. */
int64_t agent_deadline(const struct sim *sim);
/* For people: what has come by now. */
const char *agent_what_is_due(const struct sim *sim);
void agent_poke(void *sim);
/* Hands a message in. `mail` is its number. */
void agent_submit(struct sim *sim, size_t mail);

#endif
