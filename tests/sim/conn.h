/*
 * conn - connections to hosts, which tell the scheduler their story as delivery/hop.c does.
 */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "delivery/lane.h"
#include "delivery/load.h"

struct sim;
struct host;

enum { CONNS = 400 };

enum conn_place { CONN_NOWHERE, CONN_IDLE, CONN_AHEAD }; /* as hop.h has them */

struct conn {
	struct lane *lane; /* NULL: free */
	struct host *host;
	uint64_t number; /* in the order they were opened */
	enum conn_place place;
	bool is_ready, is_retired;
	bool is_probe;   /* opened while there was no network */
	int64_t at_ms;   /* boot time of what comes next */
	int64_t half_ms; /* when one more message may be handed over behind the one under way; INT64_MAX: never */
	struct load *load, *next;
	uint32_t messages;
};

void conn_open(struct sim *sim, struct lane *lane);
/* One that waits takes a message, if there is one. */
void conn_feed(struct sim *sim, struct lane *lane);
/* Idle ones to domains are closed. */
void conn_spare(struct sim *sim);
/* Those of the lane take no more. */
void conn_retire(struct sim *sim, const struct lane *lane);
/* What is due now. True: something was. */
bool conn_step(struct sim *sim);
int64_t conn_deadline(const struct sim *sim);
/* All of them break, and the agent hears of it. */
void conn_cut_all(struct sim *sim);
/* Nobody hears of anything any more. */
void conn_drop_all(struct sim *sim);
/* Of the lane: connecting, or with a message. */
bool conn_is_busy(const struct sim *sim, const struct host *host);
/* One is on its way to see whether there is a network again. */
bool conn_is_probing(const struct sim *sim);
size_t conn_loads(const struct sim *sim); /* recipients on all of them */

#endif
