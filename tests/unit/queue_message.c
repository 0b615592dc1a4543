/* The life of a message: accepted, looked at, settled, gone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/queue_kit.h"

enum { NOW = 1700000000 };
#define MS ((int64_t)NOW * 1000)

static int setup(void **state)
{
	struct kit *k = malloc(sizeof *k);

	kit_init(k);
	*state = k;
	return kit_open(k) == QUEUE_OK ? 0 : -1;
}

static int teardown(void **state)
{
	kit_fini(*state);
	free(*state);
	return 0;
}

static void reopen(struct kit *k)
{
	kit_close(k);
	assert_int_equal(kit_open(k), QUEUE_OK);
}

static void an_accepted_message_is_there_with_everything_after_a_reopen(void **state)
{
	struct kit *k = *state;
	struct queue_envelope e = kit_envelope(MS), got;
	struct queue_rcpt rcpts[2] = { kit_rcpt("bob@example.net", "mx:example.net"),
				       kit_rcpt("carol@example.com", "via:work") };
	struct queue_rcpt r;
	uint64_t size, id;

	e.envid = "E1";
	e.ret = QUEUE_RET_HDRS;
	e.body = QUEUE_BODY_8BIT;
	e.priority = -3;
	e.flags = QUEUE_SMTPUTF8;
	e.deliver_by_ms = MS + 5;
	rcpts[1].orcpt = "rfc822;carol@old.example.com";
	rcpts[1].notify = QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY;
	assert_int_equal(kit_accept(k, e, rcpts, 2, 3, 1234), QUEUE_OK);
	id = k->id;
	assert_int_equal(k->accepted_news, 1);
	assert_int_equal(k->flow_news, 2);
	reopen(k);
	assert_int_equal(queue_view_envelope(queue_view(k->q), id, &got), QUEUE_OK);
	assert_true(got.id == id && got.arrival_ms == MS && got.uid == 1000 && got.size_bytes == 1234);
	assert_true(got.chunks == 1 && got.rcpt_count == 2 && got.ret == QUEUE_RET_HDRS && got.priority == -3);
	assert_true(got.body == QUEUE_BODY_8BIT && got.flags == QUEUE_SMTPUTF8 && got.deliver_by_ms == MS + 5);
	assert_string_equal(got.sender, "alice@example.org");
	assert_string_equal(got.submitter, "uid:1000");
	assert_string_equal(got.origin, "loopback");
	assert_string_equal(got.envid, "E1");
	assert_string_equal(got.message_id, "<1@example.org>");
	assert_string_equal(got.subject, "Hello");
	assert_int_equal(queue_view_rcpt(queue_view(k->q), id, 1, &r), QUEUE_OK);
	assert_string_equal(r.address, "carol@example.com");
	assert_string_equal(r.orcpt, "rfc822;carol@old.example.com");
	assert_string_equal(r.flow.target, "via:work");
	assert_string_equal(r.flow.submitter, "uid:1000");
	assert_true(r.n == 1 && r.notify == rcpts[1].notify && r.state == QUEUE_RCPT_WAITING && r.due_ms == MS);
	assert_int_equal(queue_view_rcpt(queue_view(k->q), id, 2, &r), QUEUE_NOT_FOUND);
	assert_int_equal(kit_read_body(k, id, 3, &size), QUEUE_OK);
	assert_int_equal(size, 1234);
}

static void bodies_of_every_size_around_a_chunk_come_back_whole(void **state)
{
	struct kit *k = *state;
	static const size_t sizes[] = { 0, 1, 65519, 65520, 65521, 131040, 131041, 1000000, 3000001 };
	uint64_t ids[sizeof sizes / sizeof *sizes], size;
	struct queue_rcpt rcpt = kit_rcpt("bob@example.net", "mx:example.net");

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_int_equal(kit_accept(k, kit_envelope(MS), &rcpt, 1, i, sizes[i]), QUEUE_OK);
		ids[i] = k->id;
	}
	reopen(k);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_int_equal(kit_read_body(k, ids[i], i, &size), QUEUE_OK);
		assert_int_equal(size, sizes[i]);
	}
}

static void the_last_recipient_to_leave_takes_the_message_along(void **state)
{
	struct kit *k = *state;
	struct queue_rcpt rcpts[2] = { kit_rcpt("bob@example.net", "mx:example.net"),
				       kit_rcpt("carol@example.com", "via:work") };
	struct queue_envelope e;
	struct queue_timer t;
	struct queue_due due;
	struct queue_outcome o;
	uint64_t id, message;
	uint32_t from;

	assert_int_equal(kit_accept(k, kit_envelope(MS), rcpts, 2, 3, 1234), QUEUE_OK);
	id = message = k->id;
	assert_int_equal(kit_settle(k, id, (struct queue_outcome){ .n = 0, .kind = QUEUE_DELIVERED, .at_ms = MS + 9 }),
			 QUEUE_OK);
	assert_int_equal(queue_view_envelope(queue_view(k->q), id, &e), QUEUE_OK);
	queue_view_end(k->q);
	assert_int_equal(kit_stats(k).recipients, 1);
	assert_int_equal(
		kit_settle(k, id,
			   (struct queue_outcome){ .n = 1, .kind = QUEUE_BOUNCED, .at_ms = MS + 9, .reply = "550 no" }),
		QUEUE_OK);
	assert_int_equal(queue_view_envelope(queue_view(k->q), id, &e), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_next(queue_view(k->q), 0, &id), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_due(queue_view(k->q), 1, (struct queue_due){ 0 }, &due), QUEUE_NOT_FOUND);
	/* Flows keep their wake times until they are put to rest. */
	assert_int_equal(queue_view_timer(queue_view(k->q), (struct queue_timer){ 0 }, &t), QUEUE_OK);
	assert_int_equal(t.kind, QUEUE_TIMER_FLOW);
	queue_view_end(k->q);
	assert_int_equal(kit_stats(k).messages + kit_stats(k).recipients + kit_stats(k).body_bytes, 0);
	/* From any place, forwards and back again. */
	from = 1;
	assert_int_equal(queue_view_history_of(queue_view(k->q), message, &from, &o), QUEUE_OK);
	assert_true(o.n == 1 && from == 2);
	from = 0;
	assert_int_equal(queue_view_history_of(queue_view(k->q), message, &from, &o), QUEUE_OK);
	assert_true(o.n == 0 && from == 1);
	queue_view_end(k->q);
	assert_int_equal(kit_stats(k).history_records, 2);
}

static void a_deferred_recipient_waits_with_its_reply(void **state)
{
	struct kit *k = *state;
	struct queue_rcpt r;
	struct queue_due due;

	assert_int_equal(kit_accept_one(k, MS, "mx:a", 100), QUEUE_OK);
	assert_int_equal(kit_settle(k, k->id,
				    (struct queue_outcome){ .kind = QUEUE_DEFERRED,
							    .at_ms = MS + 10,
							    .due_ms = MS + 300000,
							    .reply = "450 4.2.0 greylisted",
							    .host = "mx.a [192.0.2.1]" }),
			 QUEUE_OK);
	assert_int_equal(queue_view_next(queue_view(k->q), 0, &k->id), QUEUE_OK);
	assert_int_equal(queue_view_rcpt(queue_view(k->q), k->id, 0, &r), QUEUE_OK);
	assert_true(r.attempts == 1 && r.last_ms == MS + 10 && r.due_ms == MS + 300000);
	assert_string_equal(r.reply, "450 4.2.0 greylisted");
	assert_string_equal(r.host, "mx.a [192.0.2.1]");
	assert_int_equal(queue_view_due(queue_view(k->q), r.flow_id, (struct queue_due){ 0 }, &due), QUEUE_OK);
	assert_true(due.due_ms == MS + 300000 && due.id == k->id && due.n == 0);
	assert_int_equal(queue_view_due(queue_view(k->q), r.flow_id, due, &due), QUEUE_NOT_FOUND);
}

static void an_owed_report_keeps_the_recipient_out_of_the_schedule(void **state)
{
	struct kit *k = *state;
	struct queue_rcpt r;
	struct queue_due due;
	struct queue_timer t;
	struct queue_envelope e;
	struct queue_op *op;
	uint64_t id;

	assert_int_equal(kit_accept_one(k, MS, "mx:a", 100), QUEUE_OK);
	id = k->id;
	assert_int_equal(
		kit_settle(k, id,
			   (struct queue_outcome){
				   .kind = QUEUE_BOUNCED, .at_ms = MS + 10, .report_owed = true, .reply = "550 no" }),
		QUEUE_OK);
	assert_int_equal(queue_view_rcpt(queue_view(k->q), id, 0, &r), QUEUE_OK);
	assert_int_equal(r.state, QUEUE_RCPT_FAILED);
	assert_string_equal(r.reply, "550 no");
	assert_int_equal(queue_view_due(queue_view(k->q), r.flow_id, (struct queue_due){ 0 }, &due), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_timer(queue_view(k->q), (struct queue_timer){ .when_ms = MS + 1 }, &t), QUEUE_OK);
	assert_true(t.kind == QUEUE_TIMER_REPORT && t.id == id && t.when_ms == MS + 10);
	queue_view_end(k->q);
	op = queue_op_new(k->q);
	queue_op_reported(op, id, 0);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_envelope(queue_view(k->q), id, &e), QUEUE_NOT_FOUND);
	queue_view_end(k->q);
	assert_int_equal(kit_stats(k).history_records, 1);
}

static void history_is_read_newest_first_and_by_message(void **state)
{
	struct kit *k = *state;
	struct queue_history_at at = { UINT64_MAX, UINT64_MAX, UINT32_MAX };
	struct queue_outcome o;
	uint64_t first, second;
	uint32_t from = 0;

	assert_int_equal(kit_accept_one(k, MS, "mx:a", 100), QUEUE_OK);
	first = k->id;
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 200), QUEUE_OK);
	second = k->id;
	assert_int_equal(kit_settle(k, second,
				    (struct queue_outcome){ .kind = QUEUE_DELIVERED,
							    .at_ms = MS + 50,
							    .reply = "250 ok",
							    .host = "mx.a",
							    .lane = "mx:a",
							    .tls = "TLSv1.3",
							    .took_ms = 12 }),
			 QUEUE_OK);
	assert_int_equal(kit_settle(k, first, (struct queue_outcome){ .kind = QUEUE_BOUNCED, .at_ms = MS + 90 }),
			 QUEUE_OK);
	assert_int_equal(queue_view_history(queue_view(k->q), &at, &o), QUEUE_OK);
	assert_true(o.id == first && o.kind == QUEUE_BOUNCED && o.at_ms == MS + 90);
	assert_int_equal(queue_view_history(queue_view(k->q), &at, &o), QUEUE_OK);
	assert_true(o.id == second && o.kind == QUEUE_DELIVERED && o.size_bytes == 200 && o.took_ms == 12);
	assert_true(o.attempts == 1 && o.uid == 1000 && o.arrival_ms == MS);
	assert_string_equal(o.address, "bob@example.net");
	assert_string_equal(o.sender, "alice@example.org");
	assert_string_equal(o.tls, "TLSv1.3");
	assert_int_equal(queue_view_history(queue_view(k->q), &at, &o), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_history_of(queue_view(k->q), second, &from, &o), QUEUE_OK);
	assert_int_equal(o.id, second);
	assert_int_equal(queue_view_history_of(queue_view(k->q), second, &from, &o), QUEUE_NOT_FOUND);
}

static void a_held_message_leaves_the_schedule_and_returns_when_released(void **state)
{
	struct kit *k = *state;
	struct queue_op *op;
	struct queue_rcpt r;
	struct queue_due due;
	uint64_t id;
	uint32_t flow;

	assert_int_equal(kit_accept_one(k, MS, "mx:a", 100), QUEUE_OK);
	id = k->id;
	assert_int_equal(queue_view_rcpt(queue_view(k->q), id, 0, &r), QUEUE_OK);
	flow = r.flow_id;
	queue_view_end(k->q);
	op = queue_op_new(k->q);
	queue_op_flags(op, id, QUEUE_HELD, 0, 0);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_due(queue_view(k->q), flow, (struct queue_due){ 0 }, &due), QUEUE_NOT_FOUND);
	queue_view_end(k->q);
	op = queue_op_new(k->q);
	queue_op_flow_rest(op, flow); /* forgotten: the message must come back all the same */
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	op = queue_op_new(k->q);
	queue_op_flags(op, id, 0, QUEUE_HELD, MS + 77);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(k->last_news.kind, QUEUE_NEWS_FLOW);
	assert_string_equal(k->last_target, "mx:a");
	assert_int_equal(queue_view_rcpt(queue_view(k->q), id, 0, &r), QUEUE_OK);
	assert_int_equal(queue_view_due(queue_view(k->q), r.flow_id, (struct queue_due){ 0 }, &due), QUEUE_OK);
	assert_true(due.due_ms == MS + 77 && due.id == id);
}

static void removal_by_an_operator_is_history(void **state)
{
	struct kit *k = *state;
	struct queue_op *op;
	struct queue_outcome o;
	uint32_t from = 0;
	uint64_t id;

	assert_int_equal(kit_accept_one(k, MS, "mx:a", 100000), QUEUE_OK);
	id = k->id;
	op = queue_op_new(k->q);
	queue_op_remove(op, id, QUEUE_ALL, "root", MS + 1);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_history_of(queue_view(k->q), id, &from, &o), QUEUE_OK);
	assert_int_equal(o.kind, QUEUE_REMOVED);
	assert_string_equal(o.reply, "removed by root");
	queue_view_end(k->q);
	op = queue_op_new(k->q);
	queue_op_remove(op, id, QUEUE_ALL, "root", MS + 1);
	assert_int_equal(kit_run(k, op), QUEUE_NOT_FOUND);
}

static void ids_rise_when_the_clock_goes_back_and_after_a_reopen(void **state)
{
	struct kit *k = *state;
	uint64_t a, b;

	a = queue_next_id(k->q, MS);
	assert_true(queue_next_id(k->q, MS - 3600 * 1000) > a);
	assert_int_equal(kit_accept_one(k, MS + 5, "mx:a", 1), QUEUE_OK);
	a = k->id;
	reopen(k);
	b = queue_next_id(k->q, MS - 3600 * 1000);
	assert_true(b > a);
}

/* The first step writes, the second is refused: the others of the group are written, in one commit. */
static void an_operation_that_fails_half_way_takes_back_only_its_own(void **state)
{
	enum { COUNT = 6, BAD = 2 };
	struct kit *k = *state;
	struct kit answers[COUNT] = { 0 };
	struct queue_envelope e = kit_envelope(MS);
	struct queue_rcpt r = kit_rcpt("a@x", "mx:x");
	struct queue_lane lane;
	uint64_t before, kept, twice;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	kept = twice = k->id;
	before = kit_stats(k).commits;
	for (int i = 0; i < COUNT; i++) {
		struct queue_receipt *receipt = queue_receipt_new(k->q);
		struct queue_op *op = queue_op_new(k->q);
		char name[16];

		snprintf(name, sizeof name, "lane%d", i);
		assert_int_equal(kit_append(k, receipt, 1, 100), QUEUE_OK);
		queue_op_lane(op, &(struct queue_lane){ .name = name, .error = "x" });
		e.id = i == BAD ? twice : 0;
		queue_op_accept(op, receipt, &e, &r, 1);
		queue_op_patience(op, 60000);
		queue_op_submit(op, kit_done, &answers[i]);
	}
	queue_wait(k->q);
	assert_int_equal(kit_stats(k).commits, before + 1);
	for (int i = 0; i < COUNT; i++) {
		char name[16];

		snprintf(name, sizeof name, "lane%d", i);
		assert_int_equal(answers[i].err, i == BAD ? QUEUE_INVALID : QUEUE_OK);
		assert_int_equal(queue_view_lane(queue_view(k->q), name, &lane), i == BAD ? QUEUE_NOT_FOUND : QUEUE_OK);
	}
	assert_int_equal(queue_view_envelope(queue_view(k->q), kept, &e), QUEUE_OK);
	queue_view_end(k->q);
	assert_int_equal(kit_stats(k).messages, COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_accepted_message_is_there_with_everything_after_a_reopen, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bodies_of_every_size_around_a_chunk_come_back_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_recipient_to_leave_takes_the_message_along, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deferred_recipient_waits_with_its_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(an_owed_report_keeps_the_recipient_out_of_the_schedule, setup,
						teardown),
		cmocka_unit_test_setup_teardown(history_is_read_newest_first_and_by_message, setup, teardown),
		cmocka_unit_test_setup_teardown(a_held_message_leaves_the_schedule_and_returns_when_released, setup,
						teardown),
		cmocka_unit_test_setup_teardown(removal_by_an_operator_is_history, setup, teardown),
		cmocka_unit_test_setup_teardown(an_operation_that_fails_half_way_takes_back_only_its_own, setup,
						teardown),
		cmocka_unit_test_setup_teardown(ids_rise_when_the_clock_goes_back_and_after_a_reopen, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
