/*
 * moment - now, on both clocks, as the deciding files of this folder are told it.
 *
 * Waiting is measured in boot time, which never jumps; what the queue stores and people read is wall time.
 * Threads: plain values.
 */
#ifndef MOMENT_H
#define MOMENT_H

#include <stdint.h>

struct moment {
	int64_t boot_ms, wall_ms;
};

static inline int64_t moment_wall(struct moment now, int64_t boot_ms)
{
	return now.wall_ms + (boot_ms - now.boot_ms);
}

static inline int64_t moment_boot(struct moment now, int64_t wall_ms)
{
	return now.boot_ms + (wall_ms - now.wall_ms);
}

static inline int64_t moment_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

#endif
