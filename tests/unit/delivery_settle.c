#include "delivery_rig.h"

static const char ONE[] =
	"smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none connections = 3 }\n"
	"route \"all\" { via = {\"work\"} }\n";

/* The only message but `id`; 0: none. */
static uint64_t other(struct rig *rig, uint64_t id)
{
	uint64_t found = 0, at = 0;

	while (queue_view_next(queue_view(rig->queue), at, &at) == QUEUE_OK)
		if (at != id) {
			assert_true(found == 0);
			found = at;
		}
	queue_view_end(rig->queue);
	return found;
}

static char *body_of(struct rig *rig, uint64_t id)
{
	struct queue_view *view = queue_view(rig->queue);
	struct queue_body_reader reader;
	struct queue_bytes bytes;
	struct buf body;
	char *text;

	buf_init(&body, 4 << 20);
	assert_int_equal(queue_body_open(view, id, &reader), QUEUE_OK);
	do {
		assert_int_equal(queue_body_next(&reader, view, &bytes), QUEUE_OK);
		buf_append(&body, bytes.data, bytes.len);
	} while (bytes.len);
	queue_body_close(&reader);
	queue_view_end(rig->queue);
	text = buf_take(&body);
	buf_fini(&body);
	return text;
}

static void each_recipient_gets_its_own_outcome(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .count = 4, .notify = QUEUE_NOTIFY_NEVER });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	settle_rcpt(&rig.settle, load, 0, SETTLE_DELIVERED, "250 ok", "", rig.now);
	settle_rcpt(&rig.settle, load, 1, SETTLE_TEMPORARY, "450 4.2.0 greylisted", "mx", rig.now);
	settle_rcpt(&rig.settle, load, 2, SETTLE_PERMANENT, "550 5.1.1 no such user", "mx", rig.now);
	settle_rcpt(&rig.settle, load, 3, SETTLE_DOUBTFUL, "connection lost", "", rig.now);
	settle_rcpt(&rig.settle, load, 3, SETTLE_DELIVERED, "250 twice", "", rig.now);
	settle_close(&rig.settle, load, rig.now);
	rig_turn(&rig);
	struct queue_rcpt rcpt = rig_rcpt(&rig, id, 1);

	assert_int_equal(rcpt.state, QUEUE_RCPT_WAITING);
	assert_int_equal(rcpt.attempts, 1);
	assert_string_equal(rcpt.reply, "450 4.2.0 greylisted");
	assert_in_range(rcpt.due_ms - rig.now.wall_ms, 262500, 337500);
	rcpt = rig_rcpt(&rig, id, 3);
	assert_int_equal(rcpt.state, QUEUE_RCPT_DOUBTFUL);
	assert_true(rcpt.due_ms >= rig.now.wall_ms + SETTLE_DOUBT_MS);
	assert_int_equal(queue_view_rcpt(queue_view(rig.queue), id, 0, &rcpt), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_rcpt(queue_view(rig.queue), id, 2, &rcpt), QUEUE_NOT_FOUND);
	assert_int_equal(rig.settle.delivered, 1);
	assert_int_equal(rig.settle.doubtful, 1);
	rig_close(&rig);
}

static void a_messages_own_backoff_doubles_up_to_its_limit(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;
	int64_t expected = 5 * 60 * 1000, wait;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	for (int i = 0; i < 10; i++) {
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
		rig_turn(&rig);
		assert_null(rig_take(&rig, lane));
		wait = rig_rcpt(&rig, id, 0).due_ms - rig.now.wall_ms;
		assert_in_range(wait, expected - expected / 8, expected + expected / 8);
		rig_pass(&rig, wait);
		rig_turn(&rig);
		while (rig_step(&rig, &action))
			assert_int_equal(action.kind, SCHEDULER_CONNECT);
		expected = expected * 2 > 4 * RIG_HOUR ? 4 * RIG_HOUR : expected * 2;
	}
	rig_close(&rig);
}

static void a_refusal_is_reported_to_the_sender_in_one_report(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct queue_envelope envelope;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .count = 3 });
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_PERMANENT, "550 5.1.1 no such user");
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	uint64_t report = other(&rig, id);

	assert_true(report);
	assert_int_equal(queue_view_envelope(queue_view(rig.queue), report, &envelope), QUEUE_OK);
	assert_string_equal(envelope.sender, "");
	assert_true(envelope.flags & QUEUE_REPORT);
	assert_int_equal(envelope.uid, 1000);
	assert_string_equal(rig_rcpt(&rig, report, 0).address, "me@example.org");
	assert_string_equal(rig_rcpt(&rig, report, 0).flow.target, "work");
	body = body_of(&rig, report);
	for (int i = 0; i < 3; i++) {
		char line[64];

		snprintf(line, sizeof line, "Final-Recipient: rfc822; r%d@example.net", i);
		assert_non_null(strstr(body, line));
	}
	assert_non_null(strstr(body, "550 5.1.1 no such user"));
	assert_non_null(strstr(body, "Subject: test"));
	mem_free(body);
	rig_close(&rig);
}

static void notify_never_and_success_only_want_no_failure_report(void **state)
{
	const uint8_t notify[] = { QUEUE_NOTIFY_NEVER, QUEUE_NOTIFY_SUCCESS, QUEUE_NOTIFY_DELAY };
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	for (size_t i = 0; i < sizeof notify; i++)
		rig_mail(&rig, (struct rig_mail){ .notify = notify[i] });
	lane = rig_connect(&rig, "work");
	for (size_t i = 0; i < sizeof notify; i++)
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_PERMANENT, "550 no");
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void success_is_reported_only_when_asked_for(void **state)
{
	struct rig rig;
	struct lane *lane;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ 0 });
	rig_mail(&rig, (struct rig_mail){ .notify = QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE });
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 1);
	body = body_of(&rig, other(&rig, 0));
	assert_non_null(strstr(body, "Action: relayed"));
	mem_free(body);
	rig_close(&rig);
}

static void a_sender_is_warned_once_when_mail_is_late(void **state)
{
	struct rig rig;
	struct queue_envelope envelope;
	struct lane *lane;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .warn_ms = 4 * RIG_HOUR });
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 greylisted");
	rig_turn(&rig);
	rig_pass(&rig, 4 * RIG_HOUR);
	rig_turn(&rig);
	uint64_t report = other(&rig, id);

	assert_true(report);
	body = body_of(&rig, report);
	assert_non_null(strstr(body, "Action: delayed"));
	assert_non_null(strstr(body, "greylisted"));
	mem_free(body);
	assert_int_equal(queue_view_envelope(queue_view(rig.queue), id, &envelope), QUEUE_OK);
	assert_true(envelope.flags & QUEUE_WARNED);
	queue_view_end(rig.queue);
	calendar_rewind(&rig.calendar);
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 2);
	rig_close(&rig);
}

static void mail_that_is_put_off_beyond_its_lifetime_is_given_up(void **state)
{
	struct rig rig;
	struct lane *lane;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .lifetime_ms = RIG_HOUR });
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_turn(&rig);
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	body = body_of(&rig, other(&rig, id));
	assert_non_null(strstr(body, "Action: failed"));
	assert_non_null(strstr(body, "Status: 4.4.7"));
	assert_non_null(strstr(body, "450 4.2.0 later"));
	/* It is we who gave up, and nobody tried just then. */
	assert_null(strstr(body, " said:"));
	assert_non_null(strstr(body, "Diagnostic-Code: x-sendoff; 4.4.7 given up after 1h"));
	assert_null(strstr(body, "Last-Attempt-Date"));
	mem_free(body);
	rig_close(&rig);
}

static void an_attempt_that_ends_beyond_the_lifetime_was_the_last(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .lifetime_ms = RIG_HOUR });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id)); /* under way: not given up */
	rig_settle(&rig, load, SETTLE_TEMPORARY, "450 4.2.0 later");
	assert_int_equal(rig.settle.bounced, 1);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	rig_close(&rig);
}

static void time_offline_does_not_take_the_chance_to_deliver(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .lifetime_ms = RIG_DAY, .warn_ms = RIG_HOUR });
	rig_turn(&rig);
	assert_true(rig_step(&rig, &action));
	scheduler_offline(rig.scheduler, action.lane, false, "network is unreachable", rig.now);
	scheduler_gone(rig.scheduler, action.lane, false, rig.now);
	for (int i = 0; i < 40; i++) { /* days without a network, now and then looked for in vain */
		rig_pass(&rig, RIG_HOUR);
		rig_turn(&rig);
		if (rig_step(&rig, &action)) {
			scheduler_offline(rig.scheduler, action.lane, false, "network is unreachable", rig.now);
			scheduler_gone(rig.scheduler, action.lane, false, rig.now);
		}
	}
	assert_int_equal(rig_messages(&rig), 1); /* neither given up nor warned about */
	/* The machine was switched off for a week. */
	rig_crash(&rig);
	rig_pass(&rig, 7 * RIG_DAY);
	rig_start(&rig);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id));
	rig_pass(&rig, 20 * 60 * 1000);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id));
	/* The attempt is made and fails: now it has had its chance. */
	assert_true(rig_step(&rig, &action));
	rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	rig_turn(&rig);
	rig_pass(&rig, 3000);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	assert_int_equal(rig_messages(&rig), 1); /* the report */
	body = body_of(&rig, other(&rig, id));
	assert_non_null(strstr(body, "last: connection refused"));
	mem_free(body);
	rig_close(&rig);
}

static void back_online_old_mail_is_attempted_before_it_expires(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < 10; i++)
		rig_mail(&rig, (struct rig_mail){ .lifetime_ms = RIG_DAY });
	rig_turn(&rig);
	rig_crash(&rig);
	rig_pass(&rig, 7 * RIG_DAY);
	rig_start(&rig);
	rig_turn(&rig);
	lane = rig_connect(&rig, "work");
	for (int i = 0; i < 10; i++) {
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
		rig_pass(&rig, 60 * 1000);
		rig_turn(&rig);
	}
	assert_int_equal(rig_messages(&rig), 0);
	assert_int_equal(rig.settle.delivered, 10);
	rig_close(&rig);
}

static void a_thousand_recipients_are_given_up_and_reported_in_parts(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;
	char *body;
	size_t told = 0;
	uint64_t at = 0;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .lifetime_ms = 6 * RIG_HOUR, .count = 1000 });

	lane = rig_connect(&rig, "work");
	while ((load = rig_take(&rig, lane)))
		rig_settle(&rig, load, SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_pass(&rig, 6 * RIG_HOUR);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	assert_int_equal(rig.bounce.expired, 1000);
	assert_int_equal(rig.scheduler->flight.count, 0);
	while (queue_view_next(queue_view(rig.queue), at, &at) == QUEUE_OK) {
		body = body_of(&rig, at);
		for (const char *p = body; (p = strstr(p, "Final-Recipient:")); p++)
			told++;
		mem_free(body);
	}
	assert_int_equal(told, 1000);
	rig_close(&rig);
}

static void paused_and_held_mail_does_not_expire(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .lifetime_ms = RIG_DAY });
	rig_turn(&rig);
	scheduler_pause(rig.scheduler, "work", "root", rig.now);
	for (int i = 0; i < 10; i++) {
		rig_pass(&rig, RIG_DAY);
		rig_turn(&rig);
	}
	assert_true(rig_has(&rig, id));
	rig_close(&rig);
}

static void mail_without_a_route_expires_in_time(void **state)
{
	struct rig rig;
	char *body;

	(void)state;
	rig_open(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n");
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .lifetime_ms = RIG_DAY, .target = "" });
	rig_turn(&rig);
	rig_pass(&rig, RIG_DAY - 1);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id));
	rig_pass(&rig, 1);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	body = body_of(&rig, other(&rig, id));
	assert_non_null(strstr(body, "no route fits"));
	mem_free(body);
	rig_close(&rig);
}

static void a_report_that_cannot_be_queued_stays_owed(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct queue_config limits;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ 0 });
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_PERMANENT, "550 5.1.1 no");
	/* No room for anything, reports included. */
	limits = (struct queue_config){ .directory = rig.config->queue.directory, .max_message_bytes = 100 };
	queue_limits(rig.queue, &limits);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id));
	assert_int_equal(rig_rcpt(&rig, id, 0).state, QUEUE_RCPT_FAILED);
	for (int i = 0; i < 5; i++) {
		rig_pass(&rig, 60 * 1000);
		rig_turn(&rig);
	}
	assert_true(rig_has(&rig, id));
	/* A crash does not forget it either. */
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	assert_int_equal(rig_messages(&rig), 1);
	rig_close(&rig);
}

static void a_damaged_message_is_held(void **state)
{
	struct rig rig;
	struct queue_envelope envelope;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .count = 3 });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	load->is_damaged = true;
	log_open("stderr", "error");
	settle_close(&rig.settle, load, rig.now);
	rig_turn(&rig);
	assert_int_equal(queue_view_envelope(queue_view(rig.queue), id, &envelope), QUEUE_OK);
	assert_true(envelope.flags & QUEUE_HELD && envelope.flags & QUEUE_DAMAGED_BODY);
	queue_view_end(rig.queue);
	assert_null(rig_take(&rig, lane));
	assert_int_equal(rig.scheduler->flight.count, 0);
	rig_close(&rig);
}

static void what_an_operator_removed_does_not_stop_the_others(void **state)
{
	struct rig rig;
	struct config *next;
	struct queue_op *op;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .count = 2 });
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	op = queue_op_new(rig.queue);
	queue_op_remove(op, id, 0, "root", rig.now.wall_ms);
	queue_op_submit(op, NULL, NULL);
	next = rig_config(&rig, "smarthost \"new\" { host = \"192.0.2.9\" port = 25 tls = none auth = none }\n"
				"route \"all\" { via = {\"new\"} }\n");
	scheduler_configure(rig.scheduler, next, NULL, NULL, rig.now);
	config_unref(rig.config);
	rig.config = next;
	rig_settle(&rig, load, SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_turn(&rig);
	assert_int_equal(rig_rcpt(&rig, id, 1).attempts, 1);
	assert_int_equal(rig.scheduler->flight.count, 0);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_recipient_gets_its_own_outcome),
		cmocka_unit_test(a_messages_own_backoff_doubles_up_to_its_limit),
		cmocka_unit_test(a_refusal_is_reported_to_the_sender_in_one_report),
		cmocka_unit_test(notify_never_and_success_only_want_no_failure_report),
		cmocka_unit_test(success_is_reported_only_when_asked_for),
		cmocka_unit_test(a_sender_is_warned_once_when_mail_is_late),
		cmocka_unit_test(mail_that_is_put_off_beyond_its_lifetime_is_given_up),
		cmocka_unit_test(an_attempt_that_ends_beyond_the_lifetime_was_the_last),
		cmocka_unit_test(time_offline_does_not_take_the_chance_to_deliver),
		cmocka_unit_test(back_online_old_mail_is_attempted_before_it_expires),
		cmocka_unit_test(a_thousand_recipients_are_given_up_and_reported_in_parts),
		cmocka_unit_test(paused_and_held_mail_does_not_expire),
		cmocka_unit_test(mail_without_a_route_expires_in_time),
		cmocka_unit_test(a_report_that_cannot_be_queued_stays_owed),
		cmocka_unit_test(a_damaged_message_is_held),
		cmocka_unit_test(what_an_operator_removed_does_not_stop_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
