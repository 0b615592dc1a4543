/*
 * The n-th allocation, write or commit fails, for n = 1, 2, … until the operation succeeds. After each failure the
 * queue is as it was before, now and after a reopen.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/queue_model.h"

#include <stdatomic.h>

#define MS ((int64_t)1700000000000)
enum { ATTEMPTS_MAX = 400 };

static _Atomic int until_failure; /* 0: never */
static _Atomic bool has_failed;

/* From both threads. */
static bool fail_nth(void *arg, const char *what)
{
	(void)arg;
	(void)what;
	if (until_failure == 0 || --until_failure > 0)
		return false;
	has_failed = true;
	return true;
}

struct world {
	struct kit k;
	struct model m;
};

/* One operation made afresh; it tells the model only when it was answered with QUEUE_OK. */
typedef enum queue_err scene_fn(struct world *w, uint64_t id);

static enum queue_err accept_size(struct world *w, size_t size)
{
	struct queue_rcpt rcpts[3] = { kit_rcpt("a@x", model_target(0)), kit_rcpt("b@x", model_target(1)),
				       kit_rcpt("c@x", model_target(0)) };
	int targets[3] = { 0, 1, 0 };
	enum queue_err err = kit_accept(&w->k, kit_envelope(MS), rcpts, 3, 9, size);

	if (err == QUEUE_OK)
		model_accept(&w->m, w->k.id, 9, size, false, targets, 3, MS);
	return err;
}

static enum queue_err accept_small(struct world *w, uint64_t id)
{
	(void)id;
	return accept_size(w, 3000);
}

static enum queue_err accept_streamed(struct world *w, uint64_t id)
{
	(void)id;
	return accept_size(w, 200000);
}

static enum queue_err settle(struct world *w, uint64_t id, struct queue_outcome o)
{
	enum queue_err err = kit_settle(&w->k, id, o);

	if (err == QUEUE_OK)
		model_settle(&w->m, id, &o);
	return err;
}

static enum queue_err defer(struct world *w, uint64_t id)
{
	return settle(w, id,
		      (struct queue_outcome){ .n = 1, .kind = QUEUE_DEFERRED, .due_ms = MS + 99, .reply = "450 no" });
}

static enum queue_err bounce_with_report(struct world *w, uint64_t id)
{
	return settle(w, id,
		      (struct queue_outcome){
			      .n = 1, .kind = QUEUE_BOUNCED, .at_ms = MS + 9, .report_owed = true, .reply = "550 no" });
}

static enum queue_err deliver_all(struct world *w, uint64_t id)
{
	struct queue_outcome o[3] = { { .n = 0, .kind = QUEUE_DELIVERED, .at_ms = MS + 5, .reply = "250" },
				      { .n = 1, .kind = QUEUE_DELIVERED, .at_ms = MS + 5, .reply = "250" },
				      { .n = 2, .kind = QUEUE_DELIVERED, .at_ms = MS + 5, .reply = "250" } };
	struct queue_op *op = queue_op_new(w->k.q);
	enum queue_err err;

	queue_op_settle(op, id, o, 3);
	err = kit_run(&w->k, op);
	for (int i = 0; i < 3 && err == QUEUE_OK; i++)
		model_settle(&w->m, id, &o[i]);
	return err;
}

/* A bounce and the report about it, together or not at all. */
static enum queue_err report_in_one_operation(struct world *w, uint64_t id)
{
	struct queue_outcome o = { .n = 0, .kind = QUEUE_BOUNCED, .at_ms = MS + 5, .reply = "550" };
	struct queue_receipt *receipt = queue_receipt_new(w->k.q);
	struct queue_envelope e = kit_envelope(MS + 6);
	struct queue_rcpt rcpt = kit_rcpt("alice@example.org", model_target(2));
	struct queue_op *op = queue_op_new(w->k.q);
	enum queue_err err = kit_append(&w->k, receipt, 4, 2500);

	if (err != QUEUE_OK) {
		queue_op_free(op);
		queue_receipt_free(receipt);
		return err;
	}
	e.flags = QUEUE_REPORT;
	e.sender = "";
	queue_op_settle(op, id, &o, 1);
	queue_op_accept(op, receipt, &e, &rcpt, 1);
	err = kit_run(&w->k, op);
	if (err == QUEUE_OK) {
		model_settle(&w->m, id, &o);
		model_accept(&w->m, w->k.id, 4, 2500, false, (int[]){ 2 }, 1, MS + 6);
	}
	return err;
}

static enum queue_err hold(struct world *w, uint64_t id)
{
	struct queue_op *op = queue_op_new(w->k.q);
	enum queue_err err;

	queue_op_flags(op, id, QUEUE_HELD, 0, 0);
	err = kit_run(&w->k, op);
	if (err == QUEUE_OK)
		model_hold(&w->m, id, true, 0);
	return err;
}

static enum queue_err remove_all(struct world *w, uint64_t id)
{
	struct queue_op *op = queue_op_new(w->k.q);
	enum queue_err err;

	queue_op_remove(op, id, QUEUE_ALL, "root", MS + 3);
	err = kit_run(&w->k, op);
	if (err == QUEUE_OK)
		model_remove(&w->m, id, QUEUE_ALL);
	return err;
}

static enum queue_err change_flow(struct world *w, uint64_t id)
{
	struct queue_op *op = queue_op_new(w->k.q);
	enum queue_err err;

	queue_op_flow(op, id, QUEUE_ALL, &(struct queue_flow){ model_target(4), "uid:1000", 1 });
	queue_op_flow_rest(op, 1);
	queue_op_lane(op, &(struct queue_lane){ .name = "mx:c.example", .failures = 3, .error = "timed out" });
	queue_op_state(op, "bucket", (struct queue_bytes){ "12345", 5 });
	err = kit_run(&w->k, op);
	if (err == QUEUE_OK)
		model_change(&w->m, id, QUEUE_ALL, -1, 4);
	return err;
}

static void play(struct world *w, const char *name, scene_fn *scene)
{
	enum queue_err err;
	int n;

	for (n = 1; n < ATTEMPTS_MAX; n++) {
		until_failure = 0;
		if (scene != accept_small && scene != accept_streamed)
			assert_int_equal(accept_size(w, n % 2 ? 500 : 140000), QUEUE_OK);
		has_failed = false;
		until_failure = n;
		err = scene(w, w->m.count ? w->m.m[w->m.count - 1].id : 0);
		until_failure = 0;
		if (n % 3 == 0) {
			kit_close(&w->k);
			assert_int_equal(kit_open(&w->k), QUEUE_OK);
		}
		model_compare(&w->k, &w->m);
		if (!has_failed)
			break;
		/* Keep the queue small, so that the comparison stays quick. */
		if (w->m.count > 40)
			break;
	}
	if (!has_failed)
		assert_int_equal(err, QUEUE_OK);
	printf("%-28s %d points of failure\n", name, n - 1);
	assert_true(n > 5);
}

static void scene_test(const char *name, scene_fn *scene)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	kit_init(&w->k);
	w->k.config.fail = fail_nth;
	assert_int_equal(kit_open(&w->k), QUEUE_OK);
	play(w, name, scene);
	kit_fini(&w->k);
	free(w);
}

#define SCENE(scene, sentence)             \
	static void sentence(void **state) \
	{                                  \
		(void)state;               \
		scene_test(#scene, scene); \
	}
SCENE(accept_small, a_failure_while_accepting_leaves_nothing)
SCENE(accept_streamed, a_failure_while_streaming_leaves_nothing)
SCENE(defer, a_failure_while_deferring_leaves_it_waiting_as_before)
SCENE(bounce_with_report, a_failure_while_bouncing_leaves_it_waiting)
SCENE(deliver_all, a_failure_while_settling_leaves_all_recipients)
SCENE(report_in_one_operation, a_bounce_and_its_report_happen_together)
SCENE(hold, a_failure_while_holding_leaves_it_in_the_schedule)
SCENE(remove_all, a_failure_while_removing_leaves_it)
SCENE(change_flow, a_failure_while_moving_leaves_it_in_its_flow)

/* A group that fails is run again one by one: only the operation that meets the failure suffers. */
static void a_failure_in_a_group_costs_at_most_one_operation(void **state)
{
	enum { COUNT = 8 };
	struct world *w = calloc(1, sizeof *w);

	(void)state;
	assert_non_null(w);
	kit_init(&w->k);
	w->k.config.fail = fail_nth;
	assert_int_equal(kit_open(&w->k), QUEUE_OK);
	for (int n = 1; n < 60; n++) {
		struct kit answers[COUNT] = { 0 };
		struct queue_op *ops[COUNT];
		int refused = 0;

		for (int i = 0; i < COUNT; i++) {
			struct queue_receipt *r = queue_receipt_new(w->k.q);
			struct queue_envelope e = kit_envelope(MS + n);
			struct queue_rcpt rcpt = kit_rcpt("a@x", model_target(0));

			ops[i] = queue_op_new(w->k.q);
			assert_int_equal(kit_append(&w->k, r, 1, 600), QUEUE_OK);
			queue_op_accept(ops[i], r, &e, &rcpt, 1);
		}
		until_failure = n;
		for (int i = 0; i < COUNT; i++)
			queue_op_submit(ops[i], kit_done, &answers[i]);
		queue_wait(w->k.q);
		until_failure = 0;
		for (int i = 0; i < COUNT; i++)
			refused += answers[i].err != QUEUE_OK;
		assert_true(refused <= 1);
	}
	assert_int_equal(model_verify(&w->k), 0);
	kit_fini(&w->k);
	free(w);
}

static _Atomic int commits_to_fail;

static bool fail_commits(void *arg, const char *what)
{
	(void)arg;
	return strcmp(what, "commit") == 0 && commits_to_fail > 0 && commits_to_fail-- > 0;
}

/* Neither straight nor with children: then each has a commit of its own. */
static void a_group_that_fails_twice_is_written_one_by_one(void **state)
{
	enum { COUNT = 5 };
	struct kit k, answers[COUNT] = { 0 };
	uint64_t before;

	(void)state;
	kit_init(&k);
	k.config.fail = fail_commits;
	assert_int_equal(kit_open(&k), QUEUE_OK);
	assert_int_equal(kit_accept_one(&k, MS, model_target(0), 10), QUEUE_OK); /* the start's sweep is over */
	before = kit_stats(&k).commits;
	for (int i = 0; i < COUNT; i++) {
		struct queue_op *op = queue_op_new(k.q);
		char name[24];

		snprintf(name, sizeof name, "value%d", i);
		queue_op_state(op, name, (struct queue_bytes){ "x", 1 });
		queue_op_patience(op, 60000);
		queue_op_submit(op, kit_done, &answers[i]);
	}
	commits_to_fail = 2;
	queue_wait(k.q);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(answers[i].err, QUEUE_OK);
	assert_int_equal(kit_stats(&k).commits, before + COUNT);
	kit_fini(&k);
}

static void a_failure_while_opening_is_told_and_harms_nothing(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	enum queue_err err = QUEUE_IO;
	int n;

	(void)state;
	assert_non_null(w);
	kit_init(&w->k);
	w->k.config.fail = fail_nth;
	for (n = 1; n < 100 && err != QUEUE_OK; n++) {
		has_failed = false;
		until_failure = n;
		err = kit_open(&w->k);
		until_failure = 0;
		if (err != QUEUE_OK)
			assert_true(w->k.why[0] != '\0');
	}
	assert_int_equal(err, QUEUE_OK);
	assert_true(n > 2);
	assert_int_equal(accept_size(w, 100), QUEUE_OK);
	model_compare(&w->k, &w->m);
	kit_fini(&w->k);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failure_while_accepting_leaves_nothing),
		cmocka_unit_test(a_failure_while_streaming_leaves_nothing),
		cmocka_unit_test(a_failure_while_deferring_leaves_it_waiting_as_before),
		cmocka_unit_test(a_failure_while_bouncing_leaves_it_waiting),
		cmocka_unit_test(a_failure_while_settling_leaves_all_recipients),
		cmocka_unit_test(a_bounce_and_its_report_happen_together),
		cmocka_unit_test(a_failure_while_holding_leaves_it_in_the_schedule),
		cmocka_unit_test(a_failure_while_removing_leaves_it),
		cmocka_unit_test(a_failure_while_moving_leaves_it_in_its_flow),
		cmocka_unit_test(a_failure_in_a_group_costs_at_most_one_operation),
		cmocka_unit_test(a_group_that_fails_twice_is_written_one_by_one),
		cmocka_unit_test(a_failure_while_opening_is_told_and_harms_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
