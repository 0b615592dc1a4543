/*
 * looks - what DNS and policies say of the ways that mail may take, for explain: one way after the other.
 *
 * Owns:    the walk that is under way. Names live in the arena it was given.
 * Promise: ends: at most LOOKS_MAX ways, each in LOOKS_MS; no connection to a next hop is made.
 * Threads: the loop's. For this room only.
 */
#ifndef LOOKS_H
#define LOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "config.h"
#include "control/steps.h"

enum { LOOKS_MAX = 4, LOOKS_MS = 10 * 1000 };

struct looks {
	struct client *client;
	struct mem_arena *arena;
	const char *lanes[LOOKS_MAX];
	size_t count, at;
	struct steps steps;
	bool is_looking;
	int64_t begun_ms;
};

void looks_init(struct looks *looks, struct client *client, struct mem_arena *arena);
void looks_fini(struct looks *looks); /* zeroed is fine */
/* The ways of a target (route.h) about which there is something to find out, each once. */
void looks_add(struct looks *looks, const struct config *config, const char *target);
/* Writes what there is and room for; the client is woken when there is more. True: that was all. */
bool looks_say(struct looks *looks);

#endif
