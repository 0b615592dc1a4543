/*
 * backoff - how long to wait after the n-th failure in a row. Pure.
 */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdint.h>

#include "config.h"
#include "delivery/chance.h"

/* failures: 1 for the first. first_ms * factor^(failures - 1), at most max_ms, then give or take an eighth. */
static inline int64_t backoff_ms(const struct config_backoff *b, uint32_t failures, struct chance *chance)
{
	double ms = (double)b->first_ms;

	for (uint32_t i = 1; i < failures && ms < (double)b->max_ms; i++)
		ms *= b->factor > 1 ? b->factor : 1.0001;
	if (ms > (double)b->max_ms)
		ms = (double)b->max_ms;
	return chance_jitter(chance, ms < 1 ? 1 : (int64_t)ms);
}

#endif
