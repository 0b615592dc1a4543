#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>

#include "tests/unit/queue_kit.h"

/* Operations that may wait for company in their commit. */

enum { FOR_EVER_MS = 3600 * 1000, SHORT_MS = 30 };

static struct queue_op *note(struct kit *k, const char *name, uint32_t patience_ms)
{
	struct queue_op *op = queue_op_new(k->q);

	queue_op_state(op, name, (struct queue_bytes){ "x", 1 });
	queue_op_patience(op, patience_ms);
	return op;
}

static bool is_noted(struct kit *k, const char *name)
{
	struct queue_bytes value;
	bool found = queue_view_state(queue_view(k->q), name, &value) == QUEUE_OK;

	queue_view_end(k->q);
	return found;
}

static void a_patient_operation_shares_the_commit_of_an_urgent_one(void **state)
{
	struct kit k;
	uint64_t before;

	(void)state;
	kit_init(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	assert_int_equal(kit_run(&k, note(&k, "first", 0)), QUEUE_OK); /* the start's sweep is over */
	before = kit_stats(&k).commits;
	queue_op_submit(note(&k, "patient", FOR_EVER_MS), NULL, NULL);
	queue_op_submit(note(&k, "patient too", FOR_EVER_MS), NULL, NULL);
	assert_false(is_noted(&k, "patient"));
	queue_op_submit(note(&k, "urgent", 0), NULL, NULL);
	queue_wait(k.q);
	assert_true(is_noted(&k, "patient") && is_noted(&k, "patient too") && is_noted(&k, "urgent"));
	assert_int_equal(kit_stats(&k).commits, before + 1);
	kit_fini(&k);
}

/* Without queue_wait(), which hurries. */
static void wait_until_idle(struct kit *k)
{
	struct pollfd p = { .fd = queue_fd(k->q), .events = POLLIN };

	while (!queue_is_idle(k->q)) {
		assert_int_equal(poll(&p, 1, 10000), 1);
		queue_dispatch(k->q);
	}
}

static void a_patient_operation_alone_is_written_when_its_time_is_over(void **state)
{
	struct kit k;

	(void)state;
	kit_init(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	assert_int_equal(kit_run(&k, note(&k, "first", 0)), QUEUE_OK);
	queue_op_submit(note(&k, "one", FOR_EVER_MS), NULL, NULL);
	queue_op_submit(note(&k, "two", SHORT_MS), NULL, NULL); /* the least patience counts */
	wait_until_idle(&k);
	assert_true(is_noted(&k, "one") && is_noted(&k, "two"));
	queue_op_submit(note(&k, "three", SHORT_MS), NULL, NULL); /* and so again, after a group */
	wait_until_idle(&k);
	assert_true(is_noted(&k, "three"));
	kit_fini(&k);
}

static void closing_waits_for_nobodys_patience(void **state)
{
	struct kit k;

	(void)state;
	kit_init(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	assert_int_equal(kit_run(&k, note(&k, "first", 0)), QUEUE_OK); /* the start's sweep is over */
	queue_op_submit(note(&k, "patient", FOR_EVER_MS), NULL, NULL);
	kit_close(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	assert_true(is_noted(&k, "patient"));
	kit_fini(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_patient_operation_shares_the_commit_of_an_urgent_one),
		cmocka_unit_test(a_patient_operation_alone_is_written_when_its_time_is_over),
		cmocka_unit_test(closing_waits_for_nobodys_patience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
