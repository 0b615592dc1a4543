#include "queue/space.h"

#include "queue/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The reserve covers a group of the largest size; below half of it new mail is refused. */
enum { RESERVE = 8 * 1024 * 1024, STEP_MIN = 8 * 1024 * 1024, STEP_MAX = 64 * 1024 * 1024, STEP_LAST = 256 * 1024 };
/* Less than this is left that was written once: then a step of it is. */
enum { FILL_LOW = 512 * 1024, FILL_STEP = 256 * 1024 };

void space_init(struct space *s, struct store *store)
{
	struct stat st;

	*s = (struct space){ 0 };
	if (fstat(store_fd(store), &st) == 0)
		s->reserved_to = (uint64_t)st.st_size;
	s->cannot_fill = guard_never_overwrites(store_fd(store));
	space_ensure(s, store);
	space_refresh(s, store);
}

static uint64_t used_to(struct store *store)
{
	struct store_space space;

	store_space(store, &space);
	return (space.last_page + 1) * space.page_bytes;
}

static uint64_t first_step(uint64_t used)
{
	uint64_t step = used / 8;

	step = step < STEP_MIN ? STEP_MIN : step;
	return step > STEP_MAX ? STEP_MAX : step;
}

/* Pages inside the file serve as well as blocks behind its end. Counted only when those run out. */
static uint64_t free_inside(struct store *store)
{
	struct store_space space;
	struct store_txn t = { 0 };
	uint64_t pages = 0;

	store_space(store, &space);
	if (store_read(store, &t) == QUEUE_OK)
		store_free_pages(&t, &pages);
	store_read_end(&t);
	return pages * space.page_bytes;
}

/* 0 or an errno value. */
static int reserve(struct space *s, struct store *store, uint64_t bytes)
{
	int rc = store_must_fail(store, "reserve")
			 ? ENOSPC
			 : posix_fallocate(store_fd(store), (off_t)s->reserved_to, (off_t)bytes);

	if (rc == 0)
		s->reserved_to += bytes;
	return rc;
}

void space_ensure(struct space *s, struct store *store)
{
	uint64_t used = used_to(store), step = first_step(used);
	int rc = 0;

	if (s->cannot_reserve)
		return;
	if (s->reserved_to < used)
		s->reserved_to = used;
	/* A disk that is nearly full gives a small step where it has no large one. */
	while (s->reserved_to - used < RESERVE && step >= STEP_LAST) {
		rc = reserve(s, store, step);
		if (rc == EOPNOTSUPP || rc == EINVAL || rc == ENODEV) {
			s->cannot_reserve = true;
			return;
		}
		if (rc != 0)
			step /= 2;
	}
	s->is_exhausted =
		s->reserved_to - used < RESERVE / 2 && s->reserved_to - used + free_inside(store) < RESERVE / 2;
}

static uint64_t filled_to(const struct space *s, uint64_t used)
{
	return s->filled_to < used ? used : s->filled_to;
}

bool space_is_bare(const struct space *s, struct store *store)
{
	uint64_t used = used_to(store), filled = filled_to(s, used);

	return !s->cannot_fill && !s->cannot_reserve && filled - used < FILL_LOW &&
	       filled + FILL_STEP <= s->reserved_to;
}

void space_fill(struct space *s, struct store *store)
{
	static const uint8_t zeros[FILL_STEP];
	uint64_t at = filled_to(s, used_to(store));

	if (pwrite(store_fd(store), zeros, sizeof zeros, (off_t)at) == (ssize_t)sizeof zeros)
		s->filled_to = at + sizeof zeros;
	else
		s->cannot_fill = true;
}

void space_refresh(struct space *s, struct store *store)
{
	s->free_bytes = guard_free_bytes(store_fd(store));
}
