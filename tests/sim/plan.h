/*
 * plan - the configuration that a seed gives the agent: lanes, their limits, and routes; drawn anew for each reload.
 */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/chance.h"

struct sim;

enum {
	PLAN_DOMAINS = 4, /* d0.example … go to their MX */
	PLAN_TEXT = 4096,
};

/* Smart hosts: a and b take the rest in order or by weight, c is limited by a rate, l is on this machine, w shares with a. */
enum plan_host { PLAN_A, PLAN_B, PLAN_C, PLAN_L, PLAN_HOSTS };

struct plan {
	uint32_t connections[PLAN_HOSTS], mx_connections;
	uint32_t rcpts[PLAN_HOSTS];              /* per message */
	uint32_t per_connection;                 /* messages */
	uint32_t rate_per_min, mx_rate_per_min;  /* of c; of d3.example */
	uint32_t ports[PLAN_HOSTS];              /* another one is another account */
	bool has_weights, is_turned, has_backup; /* of the routes */
	uint32_t reconnect_max_min, retry_first_s;
};

void plan_draw(struct plan *plan, struct chance *dice);
/* Some of it becomes otherwise. */
void plan_change(struct plan *plan, struct chance *dice);
void plan_print(const struct plan *plan, char out[PLAN_TEXT]);

#endif
