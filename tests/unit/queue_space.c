#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "queue/guard.h"
#include "queue/internal.h"
#include "queue/space.h"
#include "tests/unit/queue_kit.h"

/* Blocks behind the end in use are written before they are needed, and nothing that is in use ever is. */

#define MS ((int64_t)1700000000000)
enum { SHORT_STEP = 512 * 1024 };

static uint64_t end_in_use(struct kit *k)
{
	struct store_space space;

	store_space(k->q->store, &space);
	return (space.last_page + 1) * space.page_bytes;
}

/* The file's blocks from `at` on that are more than reserved, as the file system tells it. */
static uint64_t written_from(struct kit *k, uint64_t at)
{
	int fd = open(kit_path(k, "queue.mdb"), O_RDONLY | O_CLOEXEC);
	off_t end;

	assert_true(fd >= 0);
	end = lseek(fd, (off_t)at, SEEK_HOLE);
	close(fd);
	return end < (off_t)at ? 0 : (uint64_t)end - at;
}

static bool is_of_use(struct kit *k)
{
	return !guard_never_overwrites(store_fd(k->q->store));
}

static void an_idle_queue_writes_to_blocks_ahead(void **state)
{
	struct kit k;
	uint64_t end;

	(void)state;
	kit_init(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	if (!is_of_use(&k)) {
		kit_fini(&k);
		print_message("skipped: this file system never overwrites blocks\n");
		skip();
	}
	assert_int_equal(kit_accept_one(&k, MS, "home", 3000), QUEUE_OK);
	for (int i = 0; i < 10000 && written_from(&k, end_in_use(&k)) < SHORT_STEP; i++)
		poll(NULL, 0, 1);
	end = end_in_use(&k);
	assert_true(written_from(&k, end) >= SHORT_STEP);
	/* No more than a stretch: the rest is only reserved. */
	for (int i = 0; i < 20; i++)
		poll(NULL, 0, 1);
	assert_true(written_from(&k, end) <= (uint64_t)4 * SHORT_STEP);
	kit_fini(&k);
}

static void what_is_in_use_is_never_written_over(void **state)
{
	struct kit k;
	uint64_t ids[64], size;

	(void)state;
	kit_init(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	for (size_t i = 0; i < 64; i++) {
		assert_int_equal(kit_accept_one(&k, MS + (int64_t)i, "home", 20000 + i * 1000), QUEUE_OK);
		ids[i] = k.id;
		if (i % 16 == 15) {
			kit_close(&k);
			assert_int_equal(kit_open(&k), QUEUE_OK);
		}
		/* As often as the writer may find nothing to do. */
		poll(NULL, 0, 1);
	}
	for (size_t i = 0; i < 64; i++) {
		assert_int_equal(kit_read_body(&k, ids[i], 7, &size), QUEUE_OK);
		assert_int_equal(size, 20000 + i * 1000);
	}
	kit_fini(&k);
}

static void a_step_goes_on_where_the_last_one_ended(void **state)
{
	struct kit k;
	struct space space;
	uint64_t end, before;

	(void)state;
	kit_init(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	queue_wait(k.q);
	space_init(&space, k.q->store);
	end = end_in_use(&k);
	space.cannot_fill = false; /* wherever the test runs */
	assert_true(space_is_bare(&space, k.q->store));
	space_fill(&space, k.q->store);
	assert_true(space.filled_to > end);
	for (int i = 0; space_is_bare(&space, k.q->store); i++) {
		before = space.filled_to;
		space_fill(&space, k.q->store);
		assert_true(space.filled_to > before && i < 64);
	}
	assert_true(space.filled_to >= end + SHORT_STEP && space.filled_to <= space.reserved_to);
	kit_fini(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_queue_writes_to_blocks_ahead),
		cmocka_unit_test(what_is_in_use_is_never_written_over),
		cmocka_unit_test(a_step_goes_on_where_the_last_one_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
