#include "tests/bench/support/tally.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

void tally_add(struct tally *tally, int64_t time_ns)
{
	int64_t time_us = time_ns / 1000;

	if (tally->count == tally->room) {
		tally->room = tally->room ? 2 * tally->room : 4096;
		tally->times_us = mem_realloc(tally->times_us, tally->room, sizeof *tally->times_us);
	}
	tally->times_us[tally->count++] = time_us > UINT32_MAX ? UINT32_MAX : (uint32_t)time_us;
}

void tally_fini(struct tally *tally)
{
	mem_free(tally->times_us);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void tally_print(struct tally *tally, int64_t took_ns)
{
	double seconds = (double)took_ns / 1e9;
	size_t n = tally->count;

	if (n)
		qsort(tally->times_us, n, sizeof *tally->times_us, by_size);
	printf("\"messages\":%zu,\"seconds\":%.4f,\"rate\":%.1f,\"p50_us\":%u,\"p99_us\":%u", n, seconds,
	       seconds > 0 ? (double)n / seconds : 0, n ? tally->times_us[n / 2] : 0,
	       n ? tally->times_us[n * 99 / 100] : 0);
}
