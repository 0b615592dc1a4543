/* Flows and their wake times, timers, lanes, values of others, news. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/queue_model.h"

#define MS ((int64_t)1700000000000)

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

static int count_flows(struct kit *k)
{
	struct queue_flow flow;
	uint32_t id = 0;
	int count = 0;

	while (queue_view_flow_next(queue_view(k->q), id, &id, &flow) == QUEUE_OK)
		count++;
	queue_view_end(k->q);
	return count;
}

/* The wake time of the only flow, or of flow `id`; 0: none. */
static int64_t wake_of(struct kit *k, uint32_t id)
{
	struct queue_timer t = { 0 };

	while (queue_view_timer(queue_view(k->q), t, &t) == QUEUE_OK) {
		if (t.kind == QUEUE_TIMER_FLOW && t.id == id) {
			queue_view_end(k->q);
			return t.when_ms;
		}
	}
	queue_view_end(k->q);
	return 0;
}

static uint32_t flow_of(struct kit *k, uint64_t id, uint32_t n)
{
	struct queue_rcpt r;

	assert_int_equal(queue_view_rcpt(queue_view(k->q), id, n, &r), QUEUE_OK);
	queue_view_end(k->q);
	return r.flow_id;
}

static enum queue_err rest(struct kit *k, uint32_t flow)
{
	struct queue_op *op = queue_op_new(k->q);

	queue_op_flow_rest(op, flow);
	return kit_run(k, op);
}

static void a_flow_is_one_submitters_mail_of_one_band_for_one_target(void **state)
{
	struct kit *k = *state;
	struct queue_rcpt r[4] = { kit_rcpt("a@x", "mx:x"), kit_rcpt("b@x", "mx:x"), kit_rcpt("c@x", "mx:x"),
				   kit_rcpt("d@x", "mx:x") };
	struct queue_flow flow;

	r[2].flow.band = 2;
	r[3].flow.submitter = "uid:0";
	assert_int_equal(kit_accept(k, kit_envelope(MS), r, 4, 1, 10), QUEUE_OK);
	assert_int_equal(count_flows(k), 3);
	assert_int_equal(flow_of(k, k->id, 0), flow_of(k, k->id, 1));
	assert_int_not_equal(flow_of(k, k->id, 0), flow_of(k, k->id, 2));
	assert_int_equal(queue_view_flow(queue_view(k->q), flow_of(k, k->id, 3), &flow), QUEUE_OK);
	assert_int_equal(queue_view_flow(queue_view(k->q), 3, &flow), QUEUE_OK);
	assert_string_equal(flow.submitter, "uid:0");
	assert_string_equal(flow.target, "mx:x");
	assert_int_equal(flow.band, 1);
	assert_int_equal(queue_view_flow(queue_view(k->q), 4, &flow), QUEUE_NOT_FOUND);
}

static void mail_for_a_flow_that_wakes_earlier_adds_no_timer(void **state)
{
	struct kit *k = *state;
	uint32_t flow;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	flow = flow_of(k, k->id, 0);
	assert_int_equal(wake_of(k, flow), MS);
	assert_int_equal(kit_accept_one(k, MS + 500, "mx:x", 10), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS);
	assert_int_equal(kit_accept_one(k, MS - 500, "mx:x", 10), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS - 500);
	assert_int_equal(model_verify(k), 0);
}

static void a_flow_at_rest_wakes_when_its_first_mail_is_due_and_an_empty_one_is_forgotten(void **state)
{
	struct kit *k = *state;
	uint32_t flow;
	uint64_t id;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	id = k->id;
	flow = flow_of(k, id, 0);
	assert_int_equal(kit_settle(k, id, (struct queue_outcome){ .kind = QUEUE_DEFERRED, .due_ms = MS + 300000 }),
			 QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS);
	assert_int_equal(rest(k, flow), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS + 300000);
	assert_int_equal(kit_settle(k, id, (struct queue_outcome){ .kind = QUEUE_DELIVERED, .at_ms = MS }), QUEUE_OK);
	assert_int_equal(rest(k, flow), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), 0);
	assert_int_equal(count_flows(k), 0);
	assert_int_equal(rest(k, flow), QUEUE_OK);
	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	/* A number is not used for another flow, or the same again, as long as there are others. */
	assert_int_not_equal(flow_of(k, k->id, 0), flow);
}

static void a_parked_flow_wakes_when_it_is_told_or_when_mail_comes(void **state)
{
	struct kit *k = *state;
	struct queue_op *op = queue_op_new(k->q);
	uint32_t flow;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	flow = flow_of(k, k->id, 0);
	queue_op_flow_park(op, flow, MS + 60000);
	queue_op_flow_park(op, flow + 1, MS + 60000); /* nobody's */
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS + 60000);
	assert_int_equal(model_verify(k), 0);
	assert_int_equal(kit_accept_one(k, MS + 50, "mx:x", 10), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS + 50);
	op = queue_op_new(k->q);
	queue_op_flow_park(op, flow, MS - 1000); /* no sooner than its mail */
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS);
}

static void a_parked_flow_without_mail_is_forgotten(void **state)
{
	struct kit *k = *state;
	struct queue_op *op;
	uint32_t flow;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	flow = flow_of(k, k->id, 0);
	assert_int_equal(kit_settle(k, k->id, (struct queue_outcome){ .kind = QUEUE_DELIVERED, .at_ms = MS }),
			 QUEUE_OK);
	op = queue_op_new(k->q);
	queue_op_flow_park(op, flow, MS + 60000);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), 0);
	assert_int_equal(count_flows(k), 0);
}

static void a_flows_timer_cannot_be_dropped_while_it_has_mail(void **state)
{
	struct kit *k = *state;
	struct queue_op *op = queue_op_new(k->q);
	uint32_t flow;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	flow = flow_of(k, k->id, 0);
	queue_op_timer_drop(op, (struct queue_timer){ MS, QUEUE_TIMER_FLOW, flow });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(wake_of(k, flow), MS);
}

static void mail_with_a_release_time_is_due_then(void **state)
{
	struct kit *k = *state;
	struct queue_envelope e = kit_envelope(MS);
	struct queue_rcpt r = kit_rcpt("a@x", "mx:x");
	struct queue_due due;

	e.hold_until_ms = MS + 3600000;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_OK);
	assert_int_equal(queue_view_due(queue_view(k->q), flow_of(k, k->id, 0), (struct queue_due){ 0 }, &due),
			 QUEUE_OK);
	assert_int_equal(due.due_ms, MS + 3600000);
	queue_view_end(k->q);
}

static bool has_timer(struct kit *k, struct queue_timer want);

static void a_release_time_sets_a_timer_only_where_the_mail_is_held(void **state)
{
	struct kit *k = *state;
	struct queue_envelope e = kit_envelope(MS);
	struct queue_rcpt r = kit_rcpt("a@x", "mx:x");

	e.hold_until_ms = MS + 3600000;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_OK);
	assert_false(has_timer(k, (struct queue_timer){ e.hold_until_ms, QUEUE_TIMER_RELEASE, k->id }));
	e.flags |= QUEUE_HELD;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_OK);
	assert_true(has_timer(k, (struct queue_timer){ e.hold_until_ms, QUEUE_TIMER_RELEASE, k->id }));
	assert_int_equal(model_verify(k), 0);
}

static void a_time_to_deliver_by_wakes_in_its_mode(void **state)
{
	struct kit *k = *state;
	struct queue_envelope e = kit_envelope(MS);
	struct queue_rcpt r = kit_rcpt("a@x", "mx:x");

	e.deliver_by_ms = MS + 1000;
	e.flags = QUEUE_BY_RETURN;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_OK);
	assert_true(has_timer(k, (struct queue_timer){ MS + 1000, QUEUE_TIMER_EXPIRE, k->id }));
	assert_true(has_timer(k, (struct queue_timer){ e.warn_ms, QUEUE_TIMER_WARN, k->id })); /* it comes second */
	e.flags = QUEUE_BY_NOTIFY;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_OK);
	assert_false(has_timer(k, (struct queue_timer){ e.expires_ms, QUEUE_TIMER_EXPIRE, k->id }));
	assert_true(has_timer(k, (struct queue_timer){ MS + 1000, QUEUE_TIMER_WARN, k->id }));
	/* Later than everything else: its own time comes when the other has been dealt with. */
	e.deliver_by_ms = e.expires_ms + 1;
	e.warn_ms = 0;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_OK);
	assert_true(has_timer(k, (struct queue_timer){ e.deliver_by_ms, QUEUE_TIMER_WARN, k->id }));
	assert_true(has_timer(k, (struct queue_timer){ e.expires_ms, QUEUE_TIMER_EXPIRE, k->id }));
}

static bool has_timer(struct kit *k, struct queue_timer want)
{
	struct queue_timer t = { 0 };
	bool found = false;

	while (!found && queue_view_timer(queue_view(k->q), t, &t) == QUEUE_OK)
		found = t.when_ms == want.when_ms && t.kind == want.kind && t.id == want.id;
	queue_view_end(k->q);
	return found;
}

/* Sets (0: drops) one timer of the message, then says whether its expiry is in the schedule. */
static bool expiry_after(struct kit *k, uint64_t id, enum queue_timer_kind kind, int64_t old_ms, int64_t new_ms)
{
	const int64_t expires_ms = kit_envelope(MS).expires_ms;
	struct queue_op *op = queue_op_new(k->q);

	k->timer_news = 0;
	if (new_ms)
		queue_op_timer(op, (struct queue_timer){ new_ms, kind, id });
	else
		queue_op_timer_drop(op, (struct queue_timer){ old_ms, kind, id });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(model_verify(k), 0);
	return has_timer(k, (struct queue_timer){ expires_ms, QUEUE_TIMER_EXPIRE, id });
}

static void the_expiry_waits_behind_the_warning(void **state)
{
	struct kit *k = *state;
	const int64_t expires_ms = kit_envelope(MS).expires_ms, warn_ms = kit_envelope(MS).warn_ms;
	uint64_t id;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	id = k->id;
	assert_false(has_timer(k, (struct queue_timer){ expires_ms, QUEUE_TIMER_EXPIRE, id }));
	/* Behind it, at the same moment, and before it. */
	assert_true(expiry_after(k, id, QUEUE_TIMER_WARN, 0, expires_ms + 1));
	assert_true(k->timer_news > 0);
	assert_false(expiry_after(k, id, QUEUE_TIMER_WARN, 0, expires_ms));
	assert_false(expiry_after(k, id, QUEUE_TIMER_WARN, 0, warn_ms + 1));
	/* The warning was made: the expiry comes to the schedule, and is news. */
	assert_true(expiry_after(k, id, QUEUE_TIMER_WARN, warn_ms + 1, 0));
	assert_true(k->timer_news > 0);
	/* Warned again later (a time to deliver by). */
	assert_false(expiry_after(k, id, QUEUE_TIMER_WARN, 0, warn_ms + 2));
	assert_false(expiry_after(k, id, QUEUE_TIMER_EXPIRE, expires_ms, 0));
	assert_false(expiry_after(k, id, QUEUE_TIMER_WARN, warn_ms + 2, 0));
	assert_int_equal(kit_settle(k, id, (struct queue_outcome){ .kind = QUEUE_DELIVERED, .at_ms = MS }), QUEUE_OK);
}

static void a_message_has_one_timer_of_each_kind_and_takes_them_along(void **state)
{
	struct kit *k = *state;
	struct queue_op *op;
	struct queue_timer t;
	uint64_t id;

	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	id = k->id;
	assert_true(has_timer(k, (struct queue_timer){ MS + 14400000, QUEUE_TIMER_WARN, id }));
	assert_false(has_timer(k, (struct queue_timer){ MS + 432000000, QUEUE_TIMER_EXPIRE, id }));
	op = queue_op_new(k->q);
	queue_op_timer(op, (struct queue_timer){ MS + 77, QUEUE_TIMER_EXPIRE, id });
	queue_op_timer_drop(op, (struct queue_timer){ MS + 14400000, QUEUE_TIMER_WARN, id });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_true(has_timer(k, (struct queue_timer){ MS + 77, QUEUE_TIMER_EXPIRE, id }));
	assert_false(has_timer(k, (struct queue_timer){ MS + 432000000, QUEUE_TIMER_EXPIRE, id }));
	assert_false(has_timer(k, (struct queue_timer){ MS + 14400000, QUEUE_TIMER_WARN, id }));
	assert_int_equal(model_verify(k), 0);
	assert_int_equal(kit_settle(k, id, (struct queue_outcome){ .kind = QUEUE_DELIVERED, .at_ms = MS }), QUEUE_OK);
	assert_int_equal(rest(k, 1), QUEUE_OK);
	assert_int_equal(queue_view_timer(queue_view(k->q), (struct queue_timer){ 0 }, &t), QUEUE_NOT_FOUND);
	queue_view_end(k->q);
	/* Of a message that is gone: passed over, nothing left behind. */
	op = queue_op_new(k->q);
	queue_op_timer(op, (struct queue_timer){ MS + 78, QUEUE_TIMER_REPORT, id });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_timer(queue_view(k->q), (struct queue_timer){ 0 }, &t), QUEUE_NOT_FOUND);
	queue_view_end(k->q);
}

static void the_report_timer_stays_while_a_report_is_owed(void **state)
{
	struct kit *k = *state;
	struct queue_rcpt r[2] = { kit_rcpt("a@x", "mx:x"), kit_rcpt("b@x", "mx:x") };
	struct queue_outcome o = { .kind = QUEUE_BOUNCED, .at_ms = MS + 10, .report_owed = true, .reply = "550 no" };
	struct queue_op *op;
	uint64_t id;

	assert_int_equal(kit_accept(k, kit_envelope(MS), r, 2, 1, 10), QUEUE_OK);
	id = k->id;
	assert_int_equal(kit_settle(k, id, o), QUEUE_OK);
	o.n = 1;
	o.at_ms = MS + 20;
	assert_int_equal(kit_settle(k, id, o), QUEUE_OK);
	k->timer_news = 0;
	op = queue_op_new(k->q); /* the report about the first, begun before the second failed */
	queue_op_reported(op, id, 0);
	queue_op_timer_drop(op, (struct queue_timer){ MS + 10, QUEUE_TIMER_REPORT, id });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_true(has_timer(k, (struct queue_timer){ MS + 10, QUEUE_TIMER_REPORT, id }));
	assert_int_equal(k->timer_news, 1);
	assert_int_equal(model_verify(k), 0);
	op = queue_op_new(k->q);
	queue_op_reported(op, id, 1);
	queue_op_timer_drop(op, (struct queue_timer){ MS + 10, QUEUE_TIMER_REPORT, id });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_false(has_timer(k, (struct queue_timer){ MS + 10, QUEUE_TIMER_REPORT, id }));
	assert_int_equal(kit_stats(k).messages, 0);
}

static void timers_of_lanes_come_and_go(void **state)
{
	struct kit *k = *state;
	struct queue_timer t = { MS, QUEUE_TIMER_LANE, 0xfedcba9876543210u };
	struct queue_op *op = queue_op_new(k->q);

	queue_op_timer(op, t);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(k->timer_news, 1);
	assert_int_equal(k->last_news.due_ms, MS);
	assert_true(has_timer(k, t));
	op = queue_op_new(k->q);
	queue_op_timer_drop(op, t);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_false(has_timer(k, t));
}

static void lanes_are_kept_by_name(void **state)
{
	struct kit *k = *state;
	struct queue_op *op = queue_op_new(k->q);
	struct queue_lane lane;

	queue_op_lane(op, &(struct queue_lane){ .name = "smarthost:work",
						.failures = 3,
						.since_ms = MS,
						.retry_ms = MS + 5000,
						.trouble = 2,
						.parked = true,
						.error = "535 5.7.8 wrong password",
						.paused_by = "root",
						.paused_ms = MS + 1 });
	queue_op_lane(op, &(struct queue_lane){ .name = "mx:example.org" });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_lane(queue_view(k->q), "smarthost:work", &lane), QUEUE_OK);
	assert_true(lane.failures == 3 && lane.since_ms == MS && lane.retry_ms == MS + 5000 && lane.trouble == 2);
	assert_true(lane.parked && lane.paused_ms == MS + 1);
	assert_string_equal(lane.error, "535 5.7.8 wrong password");
	assert_string_equal(lane.paused_by, "root");
	assert_int_equal(queue_view_lane_next(queue_view(k->q), "", &lane), QUEUE_OK);
	assert_string_equal(lane.name, "mx:example.org");
	assert_int_equal(queue_view_lane_next(queue_view(k->q), "mx:example.org", &lane), QUEUE_OK);
	assert_string_equal(lane.name, "smarthost:work");
	assert_int_equal(queue_view_lane_next(queue_view(k->q), "smarthost:work", &lane), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_lane(queue_view(k->q), "smarthost:wor", &lane), QUEUE_NOT_FOUND);
	queue_view_end(k->q);
	op = queue_op_new(k->q);
	queue_op_lane_drop(op, "smarthost:work");
	queue_op_lane_drop(op, "smarthost:never");
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_lane(queue_view(k->q), "smarthost:work", &lane), QUEUE_NOT_FOUND);
}

static void values_of_others_are_kept_bytes_for_bytes(void **state)
{
	struct kit *k = *state;
	struct queue_op *op = queue_op_new(k->q);
	static uint8_t large[65536] = { 1, 2, 3 };
	char name[300];
	struct queue_bytes got;

	queue_op_state(op, "bucket:work", (struct queue_bytes){ "a\0b", 3 });
	queue_op_state(op, "large", (struct queue_bytes){ large, sizeof large });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_state(queue_view(k->q), "bucket:work", &got), QUEUE_OK);
	assert_int_equal(got.len, 3);
	assert_memory_equal(got.data, "a\0b", 3);
	assert_int_equal(queue_view_state(queue_view(k->q), "large", &got), QUEUE_OK);
	assert_int_equal(got.len, sizeof large);
	queue_view_end(k->q);
	op = queue_op_new(k->q);
	queue_op_state(op, "large", (struct queue_bytes){ 0 });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(queue_view_state(queue_view(k->q), "large", &got), QUEUE_NOT_FOUND);
	queue_view_end(k->q);
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	op = queue_op_new(k->q);
	queue_op_state(op, name, (struct queue_bytes){ "x", 1 });
	assert_int_equal(kit_run(k, op), QUEUE_INVALID);
	op = queue_op_new(k->q);
	queue_op_state(op, "larger", (struct queue_bytes){ large, sizeof large + 1 });
	assert_int_equal(kit_run(k, op), QUEUE_INVALID);
	assert_int_equal(queue_view_state(queue_view(k->q), name, &got), QUEUE_NOT_FOUND);
}

static void values_of_others_are_listed_by_name(void **state)
{
	struct kit *k = *state;
	struct queue_op *op = queue_op_new(k->q);
	char name[QUEUE_STATE_NAME_SIZE] = "", longest[QUEUE_STATE_NAME_SIZE];
	struct queue_bytes got;

	memset(longest, 'z', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(queue_view_state_next(queue_view(k->q), "", name, &got), QUEUE_NOT_FOUND);
	queue_view_end(k->q);
	queue_op_state(op, longest, (struct queue_bytes){ "4", 1 });
	queue_op_state(op, "quota/b", (struct queue_bytes){ "2", 1 });
	queue_op_state(op, "quota/a", (struct queue_bytes){ "1", 1 });
	queue_op_lane(op, &(struct queue_lane){ .name = "quota/aa", .error = "", .paused_by = "" });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "quota/a", "quota/b", NULL };
		static const char *const values[] = { "1", "2", "4" }; /* a lane of a name like these is none of them */

		assert_int_equal(queue_view_state_next(queue_view(k->q), name, name, &got), QUEUE_OK);
		assert_string_equal(name, names[i] ? names[i] : longest);
		assert_int_equal(got.len, 1);
		assert_memory_equal(got.data, values[i], 1);
	}
	assert_int_equal(queue_view_state_next(queue_view(k->q), name, name, &got), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_state_next(queue_view(k->q), "quota/aa", name, &got), QUEUE_OK);
	assert_string_equal(name, "quota/b");
}

static void news_tell_the_earliest_of_what_a_commit_added(void **state)
{
	struct kit *k = *state;
	struct queue_rcpt r[3] = { kit_rcpt("a@x", "mx:x"), kit_rcpt("b@x", "mx:x"), kit_rcpt("c@y", "mx:y") };

	r[0].due_ms = MS + 50;
	r[1].due_ms = MS + 20;
	r[2].due_ms = MS + 90;
	assert_int_equal(kit_accept(k, kit_envelope(MS), r, 3, 1, 10), QUEUE_OK);
	assert_true(k->flow_news == 2 && k->timer_news == 1 && k->accepted_news == 1);
	assert_int_equal(kit_settle(k, k->id, (struct queue_outcome){ .kind = QUEUE_DEFERRED, .due_ms = MS + 777 }),
			 QUEUE_OK);
	assert_int_equal(k->flow_news, 3);
	assert_int_equal(k->last_news.due_ms, MS + 777);
	assert_string_equal(k->last_target, "mx:x");
}

static void history_is_bounded_by_age_and_size(void **state)
{
	struct kit *k = *state;
	struct queue_op *op;
	struct queue_outcome o;
	struct queue_history_at at = { UINT64_MAX, UINT64_MAX, UINT32_MAX };
	int count = 0;

	k->config.history_max_bytes = 4000;
	k->config.history_ms = 1000;
	queue_limits(k->q, &k->config);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(kit_accept_one(k, MS + i, "mx:x", 10), QUEUE_OK);
		assert_int_equal(
			kit_settle(k, k->id, (struct queue_outcome){ .kind = QUEUE_DELIVERED, .at_ms = MS + i }),
			QUEUE_OK);
	}
	while (queue_view_history(queue_view(k->q), &at, &o) == QUEUE_OK) {
		assert_int_equal(o.at_ms, MS + 99 - count);
		count++;
	}
	queue_view_end(k->q);
	assert_in_range(count, 10, 30);
	assert_int_equal(kit_stats(k).history_records, count);
	op = queue_op_new(k->q);
	queue_op_history_trim(op, MS + 1000 + 95, 1000);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(kit_stats(k).history_records, 5);
	op = queue_op_new(k->q);
	queue_op_history_trim(op, MS + 5000, 2);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(kit_stats(k).history_records, 3);
	assert_int_equal(model_verify(k), 0);
}

static void oversized_texts_are_refused_not_cut(void **state)
{
	struct kit *k = *state;
	struct queue_envelope e = kit_envelope(MS);
	struct queue_rcpt r = kit_rcpt("a@x", "mx:x");
	char text[5000];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	e.subject = text;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_INVALID);
	e.subject = NULL;
	r.address = text;
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_INVALID);
	r = kit_rcpt("a@x", text);
	assert_int_equal(kit_accept(k, e, &r, 1, 1, 10), QUEUE_INVALID);
	assert_int_equal(kit_accept(k, e, &r, 0, 1, 100000), QUEUE_INVALID);
	assert_int_equal(kit_stats(k).messages, 0);
	assert_int_equal(count_flows(k), 0);
	assert_int_equal(model_verify(k), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_flow_is_one_submitters_mail_of_one_band_for_one_target),
		TEST(mail_for_a_flow_that_wakes_earlier_adds_no_timer),
		TEST(a_flow_at_rest_wakes_when_its_first_mail_is_due_and_an_empty_one_is_forgotten),
		TEST(a_parked_flow_wakes_when_it_is_told_or_when_mail_comes),
		TEST(a_parked_flow_without_mail_is_forgotten),
		TEST(a_flows_timer_cannot_be_dropped_while_it_has_mail),
		TEST(mail_with_a_release_time_is_due_then),
		TEST(a_release_time_sets_a_timer_only_where_the_mail_is_held),
		TEST(a_time_to_deliver_by_wakes_in_its_mode),
		TEST(a_message_has_one_timer_of_each_kind_and_takes_them_along),
		TEST(the_expiry_waits_behind_the_warning),
		TEST(the_report_timer_stays_while_a_report_is_owed),
		TEST(timers_of_lanes_come_and_go),
		TEST(lanes_are_kept_by_name),
		TEST(values_of_others_are_kept_bytes_for_bytes),
		TEST(values_of_others_are_listed_by_name),
		TEST(news_tell_the_earliest_of_what_a_commit_added),
		TEST(history_is_bounded_by_age_and_size),
		TEST(oversized_texts_are_refused_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
