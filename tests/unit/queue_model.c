/* Random operations on the queue and on a naive model of it must leave the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/queue_model.h"

#include <time.h>

#define MS ((int64_t)1700000000000)
enum { STEPS = 900, OPS_AT_ONCE = 6, STEPS_MAX = 3 };

struct world {
	struct kit k;
	struct model m;
	uint64_t random;
	int64_t now_ms;
};

/* What an operation under way should answer. */
struct expectation {
	enum queue_err err, got;
	uint64_t id;
};

static uint32_t pick(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 20) % below;
}

static size_t pick_size(struct world *w)
{
	switch (pick(w, 12)) {
	case 0: return 0;
	case 1: return 65520 + pick(w, 3) - 1;
	case 2: return 65000 + pick(w, 300000);
	case 3: return pick(w, 10) ? 5000 : 1200000; /* more than goes at once */
	default: return 1 + pick(w, 3000);
	}
}

static uint64_t pick_message(struct world *w)
{
	if (w->m.count == 0 || pick(w, 20) == 0)
		return (uint64_t)MS << 20 | 12345;
	/* The younger half, mostly: the older ones are gone. */
	return w->m.m[w->m.count - 1 - (int)pick(w, (uint32_t)(w->m.count + 1) / 2)].id;
}

static uint32_t pick_rcpt(struct world *w)
{
	return pick(w, 3) ? pick(w, MODEL_RCPTS) : QUEUE_ALL;
}

static void add_accept(struct world *w, struct queue_op *op)
{
	struct queue_receipt *receipt = queue_receipt_new(w->k.q);
	struct queue_envelope e = kit_envelope(w->now_ms);
	struct queue_rcpt rcpts[MODEL_RCPTS];
	int targets[MODEL_RCPTS], count = 1 + (int)pick(w, MODEL_RCPTS);
	size_t size = pick_size(w);
	uint64_t seed = pick(w, 1000);

	e.id = queue_next_id(w->k.q, w->now_ms);
	if (pick(w, 8) == 0)
		e.flags = QUEUE_HELD;
	for (int i = 0; i < count; i++) {
		targets[i] = (int)pick(w, MODEL_TARGETS);
		rcpts[i] = kit_rcpt("bob@example.net", model_target(targets[i]));
	}
	assert_int_equal(kit_append(&w->k, receipt, seed, size), QUEUE_OK);
	queue_op_accept(op, receipt, &e, rcpts, (size_t)count);
	model_accept(&w->m, e.id, seed, size, e.flags & QUEUE_HELD, targets, count, w->now_ms);
}

static enum queue_err add_settle(struct world *w, struct queue_op *op)
{
	static const char *const replies[] = { "", "450 later", "550 no" };
	struct queue_outcome o = { .n = pick(w, MODEL_RCPTS),
				   .kind = (enum queue_outcome_kind)pick(w, 4),
				   .at_ms = w->now_ms,
				   .due_ms = w->now_ms + pick(w, 1000000),
				   .report_owed = pick(w, 3) == 0,
				   .reply = replies[pick(w, 3)] };
	uint64_t id = pick_message(w);

	queue_op_settle(op, id, &o, 1);
	return model_settle(&w->m, id, &o);
}

/* One random step that is no accept, and what the model says to it. */
static enum queue_err add_step(struct world *w, struct queue_op *op)
{
	uint64_t id = pick_message(w);
	uint32_t n = pick_rcpt(w);
	int64_t due_ms = w->now_ms + pick(w, 100000);
	int target = (int)pick(w, MODEL_TARGETS);
	bool hold = pick(w, 2);

	switch (pick(w, 10)) {
	case 0:
		if (n == QUEUE_ALL)
			n = 0;
		queue_op_reported(op, id, n);
		return model_reported(&w->m, id, n);
	case 1: queue_op_remove(op, id, n, "root", w->now_ms); return model_remove(&w->m, id, n);
	case 2: queue_op_due(op, id, n, due_ms); return model_change(&w->m, id, n, due_ms, 0);
	case 3:
		queue_op_flow(op, id, n, &(struct queue_flow){ model_target(target), "uid:1000", 1 });
		return model_change(&w->m, id, n, -1, target);
	case 4:
		queue_op_flags(op, id, hold ? QUEUE_HELD : 0, hold ? 0 : QUEUE_HELD, due_ms);
		return model_hold(&w->m, id, hold, due_ms);
	case 5: queue_op_flow_park(op, 1 + pick(w, 30), due_ms); return QUEUE_OK;
	case 6: queue_op_flow_rest(op, 1 + pick(w, 30)); return QUEUE_OK;
	case 7:
		queue_op_timer(op, (struct queue_timer){ due_ms, (enum queue_timer_kind)pick(w, 4), id });
		return QUEUE_OK;
	default: return add_settle(w, op);
	}
}

static void answered(void *arg, enum queue_err err, uint64_t id)
{
	struct expectation *x = arg;

	x->got = err;
	x->id = id;
}

/* Several operations under way at once: they land in one group. */
static void run_some(struct world *w)
{
	struct expectation x[OPS_AT_ONCE] = { 0 };
	int count = 1 + (int)pick(w, OPS_AT_ONCE);

	for (int i = 0; i < count; i++) {
		struct queue_op *op = queue_op_new(w->k.q);
		struct model *before = malloc(sizeof *before);
		int steps = 1 + (int)pick(w, STEPS_MAX);

		assert_non_null(before);
		*before = w->m;
		w->now_ms += pick(w, 5000);
		if (pick(w, 3) == 0 && w->m.count < MODEL_MESSAGES)
			add_accept(w, op);
		for (int s = 0; s < steps; s++) {
			enum queue_err err = add_step(w, op);

			if (x[i].err == QUEUE_OK)
				x[i].err = err;
		}
		if (x[i].err != QUEUE_OK)
			w->m = *before;
		free(before);
		queue_op_submit(op, answered, &x[i]);
	}
	queue_wait(w->k.q);
	for (int i = 0; i < count; i++)
		assert_int_equal(x[i].got, x[i].err);
}

static void random_operations_leave_what_the_model_says(void **state)
{
	const char *given = getenv("QUEUE_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	struct world *w = calloc(1, sizeof *w);

	(void)state;
	assert_non_null(w);
	printf("QUEUE_SEED=%llu\n", (unsigned long long)seed);
	w->random = seed * 0x9e3779b97f4a7c15u | 1;
	w->now_ms = MS;
	kit_init(&w->k);
	assert_int_equal(kit_open(&w->k), QUEUE_OK);
	for (int i = 0; i < STEPS; i++) {
		run_some(w);
		if (i % 50 == 49)
			model_compare(&w->k, &w->m);
		if (i % 200 == 199) {
			kit_close(&w->k);
			assert_int_equal(kit_open(&w->k), QUEUE_OK);
			model_compare(&w->k, &w->m);
		}
	}
	kit_fini(&w->k);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_leave_what_the_model_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
