/* pump - turn a loop until something is true, for tests of the rooms that use one. */
#ifndef PUMP_H
#define PUMP_H

#include "base/clock.h"
#include "net/loop.h"

/* True when `condition` came true within `ms`. */
#define PUMP(loop, condition, ms)                                  \
	({                                                         \
		int64_t pump_end = clock_boot_ms() + (ms);         \
		while (!(condition) && clock_boot_ms() < pump_end) \
			loop_turn((loop), 20);                     \
		(condition);                                       \
	})

/* Turns for a while in which nothing is expected. */
#define PUMP_IDLE(loop, ms) (void)PUMP(loop, false, ms)

#endif
