/*
 * chance - seeded pseudo-random numbers for jitter, so that a simulation can be run again (splitmix64).
 *
 * Never:   used where something must not be guessed.
 * Threads: any, one object per thread.
 */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdint.h>

struct chance {
	uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
	uint64_t z = c->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* In [0, below); below > 0. */
static inline uint64_t chance_below(struct chance *c, uint64_t below)
{
	return chance_next(c) % below;
}

/* `ms` give or take an eighth, so that what failed together does not come back together. */
static inline int64_t chance_jitter(struct chance *c, int64_t ms)
{
	int64_t span = ms / 4;

	return span > 0 ? ms - span / 2 + (int64_t)chance_below(c, (uint64_t)span + 1) : ms;
}

#endif
