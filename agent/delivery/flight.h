/*
 * flight - the set of recipients that are being attempted, or whose outcome is still on its way into the queue.
 *
 * In memory only: after a crash they are simply still due. Everyone who reads the schedule passes them over.
 * Threads: any, one object per thread.
 */
#ifndef FLIGHT_H
#define FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lane;

struct flight_seat {
	uint64_t id; /* 0: free */
	uint32_t n;
	struct lane *lane; /* NULL: it is being given up */
};

struct flight {
	struct flight_seat *seats;
	size_t size, count; /* size: a power of two */
};

void flight_init(struct flight *f);
void flight_fini(struct flight *f);
/* It must not be in already. */
void flight_add(struct flight *f, uint64_t id, uint32_t n, struct lane *lane);
/* False: it was not in. */
bool flight_remove(struct flight *f, uint64_t id, uint32_t n);
/* NULL: not in; valid until the next add or remove. */
const struct flight_seat *flight_find(const struct flight *f, uint64_t id, uint32_t n);

#endif
