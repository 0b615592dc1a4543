#include "delivery/flight.h"

#include <assert.h>

#include "base/mem.h"

enum { SMALLEST = 64 };

void flight_init(struct flight *f)
{
	f->size = SMALLEST;
	f->count = 0;
	f->seats = mem_calloc(f->size, sizeof *f->seats);
}

void flight_fini(struct flight *f)
{
	mem_free(f->seats);
	f->seats = NULL;
}

static size_t home(const struct flight *f, uint64_t id, uint32_t n)
{
	uint64_t h = (id ^ ((uint64_t)n << 40)) * 0x9e3779b97f4a7c15u;

	return (size_t)(h >> 40) & (f->size - 1); /* what n changes lies there */
}

/* Where it is, or the free seat where it would be. */
static size_t place(const struct flight *f, uint64_t id, uint32_t n)
{
	size_t i = home(f, id, n);

	while (f->seats[i].id && !(f->seats[i].id == id && f->seats[i].n == n))
		i = (i + 1) & (f->size - 1);
	return i;
}

static void grow(struct flight *f)
{
	struct flight old = *f;

	f->size *= 2;
	f->seats = mem_calloc(f->size, sizeof *f->seats);
	for (size_t i = 0; i < old.size; i++)
		if (old.seats[i].id)
			f->seats[place(f, old.seats[i].id, old.seats[i].n)] = old.seats[i];
	mem_free(old.seats);
}

void flight_add(struct flight *f, uint64_t id, uint32_t n, struct lane *lane)
{
	size_t i;

	if (f->count * 2 >= f->size)
		grow(f);
	i = place(f, id, n);
	assert(id && !f->seats[i].id);
	f->seats[i] = (struct flight_seat){ .id = id, .n = n, .lane = lane };
	f->count++;
}

bool flight_remove(struct flight *f, uint64_t id, uint32_t n)
{
	size_t mask = f->size - 1, gap = place(f, id, n), i = gap;

	if (!f->seats[gap].id)
		return false;
	/* Those behind it that could not sit nearer to their home move up, so that searches may stop at a gap. */
	for (;;) {
		i = (i + 1) & mask;
		if (!f->seats[i].id)
			break;
		if (((i - home(f, f->seats[i].id, f->seats[i].n)) & mask) >= ((i - gap) & mask)) {
			f->seats[gap] = f->seats[i];
			gap = i;
		}
	}
	f->seats[gap].id = 0;
	f->count--;
	return true;
}

const struct flight_seat *flight_find(const struct flight *f, uint64_t id, uint32_t n)
{
	size_t i = place(f, id, n);

	return f->seats[i].id ? &f->seats[i] : NULL;
}
