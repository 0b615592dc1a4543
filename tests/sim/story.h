/*
 * story - what happens in a run: a week of everything, a flood, a dead destination among living ones.
 */
#ifndef STORY_H
#define STORY_H

#include <stdbool.h>
#include <stdint.h>

struct story_sum {
	uint64_t digest, events, mails, attempts, failures, doubts, crashes, reloads;
};

/* All stories of a seed, one after the other; ends the process where a property does not hold. */
void story_tell(uint64_t seed, bool is_told, struct story_sum *out);

#endif
