#include "tests/bench/support/nodigest.h"

#include <stdlib.h>
#include <string.h>

static void *begin(void)
{
	return malloc(1);
}

static void update(void *h, const void *data, size_t len)
{
	(void)h;
	(void)data;
	(void)len;
}

static void finish(void *h, uint8_t out[32])
{
	(void)h;
	memset(out, 1, 32);
}

const struct queue_hash nodigest = { .new = begin, .update = update, .final = finish, .free = free };
