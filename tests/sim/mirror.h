/*
 * mirror - what the simulation itself believes of each lane and of the network, from what happened to them and the rules
 *          of lane.h and network.h, told once more. Where the scheduler believes something else, one of both is wrong.
 *
 * Waits have jitter: the mirror checks that each is within an eighth of what the rule says, and takes it over.
 */
#ifndef MIRROR_H
#define MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/lane.h"

struct sim;
struct conn;
struct host;

enum { MIRROR_SPENT = 256 };

struct mirror {
	uint32_t open, ready;
	int64_t busy_ms; /* boot time when something last happened on it */
	bool is_well, is_parked, is_paused;
	int64_t paused_ms;           /* boot time of that word */
	bool is_account;             /* in trouble for its account */
	uint32_t failures;           /* in a row */
	int64_t retry_ms, failed_ms; /* boot time */
	bool is_unsure;              /* a clock jumped while nobody had it in memory: its time may have come earlier */
	int64_t failed_wall_ms;      /* as its record says */
	bool was_put_back;           /* a clock was put back since it is known */
	bool has_bucket;
	double tokens;
	int64_t tokens_ms;              /* boot time when that was right */
	int64_t spent_ms[MIRROR_SPENT]; /* boot time of the last ones spent, a ring */
	size_t spent;
};

struct mirror_network {
	bool is_offline, dns_only;
	uint32_t failures;
	int64_t retry_ms, rush_ms; /* boot time */
	bool is_paused;
	int64_t paused_ms; /* boot time */
	uint32_t probes;   /* since it was last heard of */
	int64_t jumped_ms; /* wall clock jumps forward since start, which buckets may take for time */
};

/* Whether the network is known to be gone for a lane. */
bool mirror_has_network(const struct sim *sim, const struct lane *lane);
/* Mail for it is not passed over. */
bool mirror_takes_mail(const struct sim *sim, const struct host *host, const struct lane *lane);
/* A message may be taken as far as the rate goes. */
bool mirror_has_token(struct sim *sim, struct host *host, const struct lane *lane);

/* The agent was started: what is on disk is what it knows. */
void mirror_started(struct sim *sim);
void mirror_crashes(struct sim *sim);

void mirror_opened(struct sim *sim, struct conn *conn);
void mirror_ready(struct sim *sim, struct conn *conn);
void mirror_gone(struct sim *sim, struct conn *conn);
void mirror_failed(struct sim *sim, struct conn *conn, const struct lane_failure *failure);
void mirror_offline(struct sim *sim, struct conn *conn, bool dns_only);
void mirror_reached(struct sim *sim, struct conn *conn, bool by_dns);
void mirror_spoke(struct sim *sim, struct conn *conn);
void mirror_took_nothing(struct sim *sim, struct conn *conn);
void mirror_spends(struct sim *sim, struct host *host, const struct lane *lane);

/* The network changed, or (woke) the machine slept or a clock jumped. */
void mirror_hurried(struct sim *sim, bool woke);
/* An operator's word; NULL: about all. */
void mirror_woken(struct sim *sim, const char *lane);
void mirror_paused(struct sim *sim, const char *lane);
void mirror_resumed(struct sim *sim, const char *lane);
void mirror_account_changed(void *sim, struct lane *lane);
void mirror_jumped(struct sim *sim, int64_t by_ms);

/* The scheduler believes the same. */
void mirror_compare(struct sim *sim);

#endif
