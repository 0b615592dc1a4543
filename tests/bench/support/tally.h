/*
 * tally - times in microseconds, and what is said of them: how many, how long in all, the percentiles.
 *
 * Threads: one.
 */
#ifndef TALLY_H
#define TALLY_H

#include <stddef.h>
#include <stdint.h>

struct tally {
	uint32_t *times_us;
	size_t count, room;
};

void tally_add(struct tally *tally, int64_t time_ns);
void tally_fini(struct tally *tally);
/* One JSON object's members on stdout, without its braces: messages, seconds, rate, p50_us, p99_us. Sorts. */
void tally_print(struct tally *tally, int64_t took_ns);

#endif
