/* What the envelope demands beside delivery: reports, times, TLS, a route of its own. */
#include "delivery_rig.h"

#include "delivery/aside.h"

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

static uint32_t flags_of(struct rig *rig, uint64_t id)
{
	struct queue_envelope envelope;

	assert_int_equal(queue_view_envelope(queue_view(rig->queue), id, &envelope), QUEUE_OK);
	queue_view_end(rig->queue);
	return envelope.flags;
}

static void expect_in(const char *body, const char *text)
{
	if (!strstr(body, text))
		fail_msg("'%s' is not in:\n%s", text, body);
}

/* Delivered to a hop that takes over what it says; how many reports came of it. */
static uint64_t reports_of(struct rig_mail mail, bool passes_dsn, bool passes_by)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;
	uint64_t count;

	rig_open(&rig, ONE);
	mail.by_ms = mail.flags ? RIG_HOUR : 0;
	rig_mail(&rig, mail);
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	load->passes_dsn = passes_dsn;
	load->passes_by = passes_by;
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 2.0.0 ok");
	rig_turn(&rig);
	count = rig_messages(&rig);
	if (count) {
		char *body = body_of(&rig, other(&rig, 0));

		expect_in(body, "Action: relayed");
		expect_in(body, "Status: 2.0.0");
		mem_free(body);
	}
	rig_close(&rig);
	return count;
}

static void relayed_is_said_where_the_hop_will_not_tell(void **state)
{
	const struct rig_mail asked = { .notify = QUEUE_NOTIFY_SUCCESS }, unasked = { 0 };

	(void)state;
	assert_int_equal(reports_of(asked, false, false), 1);
	assert_int_equal(reports_of(asked, true, false), 0);
	assert_int_equal(reports_of(unasked, false, false), 0);
	assert_int_equal(reports_of((struct rig_mail){ .notify = QUEUE_NOTIFY_FAILURE }, false, false), 0);
	assert_int_equal(reports_of((struct rig_mail){ .sender = "", .notify = QUEUE_NOTIFY_SUCCESS }, false, false),
			 0);
}

static void relayed_is_said_of_mail_that_has_a_time(void **state)
{
	const struct rig_mail notify = { .flags = QUEUE_BY_NOTIFY };
	const struct rig_mail trace = { .flags = QUEUE_BY_RETURN | QUEUE_BY_TRACE };
	const struct rig_mail hushed = { .flags = QUEUE_BY_NOTIFY | QUEUE_BY_TRACE, .notify = QUEUE_NOTIFY_NEVER };

	(void)state;
	assert_int_equal(reports_of(notify, true, false), 1);
	assert_int_equal(reports_of(notify, true, true), 0);
	assert_int_equal(reports_of(trace, true, true), 1);
	assert_int_equal(reports_of(hushed, false, false), 0);
	assert_int_equal(reports_of((struct rig_mail){ .flags = QUEUE_BY_RETURN }, true, true), 0);
}

static void a_sender_is_told_once_when_the_time_has_passed(void **state)
{
	struct rig rig;
	struct lane *lane;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_BY_NOTIFY,
							.by_ms = RIG_HOUR,
							.warn_ms = 4 * RIG_HOUR,
							.notify = QUEUE_NOTIFY_FAILURE });

	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 greylisted");
	rig_turn(&rig);
	rig_pass(&rig, RIG_HOUR - 1);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 1);
	rig_pass(&rig, 1);
	rig_turn(&rig);
	body = body_of(&rig, other(&rig, id));
	expect_in(body, "Action: delayed");
	expect_in(body, "Status: 4.4.7");
	mem_free(body);
	assert_true(flags_of(&rig, id) & QUEUE_BY_PASSED);
	assert_true(rig_has(&rig, id)); /* and goes on */
	calendar_rewind(&rig.calendar);
	rig_pass(&rig, 4 * RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 2);
	rig_close(&rig);
}

static uint64_t warned_of(uint8_t notify)
{
	struct rig rig;
	struct lane *lane;
	uint64_t count;

	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ .warn_ms = 4 * RIG_HOUR, .notify = notify });
	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 greylisted");
	rig_turn(&rig);
	calendar_rewind(&rig.calendar);
	rig_pass(&rig, 4 * RIG_HOUR);
	rig_turn(&rig);
	count = rig_messages(&rig) - 1;
	rig_close(&rig);
	return count;
}

static void who_asked_for_other_reports_is_not_warned(void **state)
{
	(void)state;
	assert_int_equal(warned_of(0), 1);
	assert_int_equal(warned_of(QUEUE_NOTIFY_DELAY), 1);
	assert_int_equal(warned_of(QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_SUCCESS), 0);
	assert_int_equal(warned_of(QUEUE_NOTIFY_NEVER), 0);
}

static void a_warning_before_the_time_does_not_take_its_place(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(
		&rig, (struct rig_mail){ .flags = QUEUE_BY_NOTIFY, .by_ms = 6 * RIG_HOUR, .warn_ms = 4 * RIG_HOUR });

	lane = rig_connect(&rig, "work");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 greylisted");
	rig_turn(&rig);
	rig_pass(&rig, 4 * RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 2);
	assert_int_equal(flags_of(&rig, id) & (QUEUE_WARNED | QUEUE_BY_PASSED), QUEUE_WARNED);
	/* Over a restart, too. */
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	rig_pass(&rig, 2 * RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 3);
	assert_true(flags_of(&rig, id) & QUEUE_BY_PASSED);
	rig_close(&rig);
}

static void never_and_the_null_sender_hear_nothing_of_time(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_BY_NOTIFY, .by_ms = RIG_HOUR, .notify = QUEUE_NOTIFY_NEVER });
	rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_BY_NOTIFY, .by_ms = RIG_HOUR, .sender = "" });
	rig_turn(&rig);
	rig_pass(&rig, 2 * RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 2);
	rig_close(&rig);
}

static void mail_comes_back_when_its_time_has_passed(void **state)
{
	struct rig rig;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	/* Without any attempt, and though it is held. */
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_BY_RETURN | QUEUE_HELD, .by_ms = RIG_HOUR });

	rig_turn(&rig);
	rig_pass(&rig, RIG_HOUR - 1);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id));
	rig_pass(&rig, 1);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	body = body_of(&rig, other(&rig, id));
	expect_in(body, "Action: failed");
	expect_in(body, "Status: 5.4.7");
	expect_in(body, "x-sendoff; 5.4.7 not delivered in the time its sender set");
	mem_free(body);
	rig_close(&rig);
}

static void only_the_time_that_is_left_is_passed_on(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_BY_RETURN, .by_ms = RIG_HOUR });
	rig_turn(&rig);
	rig_pass(&rig, RIG_HOUR / 4);
	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	assert_true(load_message(load, 0, false, rig.now.wall_ms));
	assert_int_equal(load->message.by, CLIENT_BY_RETURN);
	assert_int_equal(load->message.by_ms, RIG_HOUR - RIG_HOUR / 4);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 2.0.0 ok");
	rig_turn(&rig);
	rig_close(&rig);
}

static void an_attempt_that_ends_behind_the_time_was_the_last(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_BY_RETURN, .by_ms = RIG_HOUR });

	lane = rig_connect(&rig, "work");
	load = rig_take(&rig, lane);
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	assert_true(rig_has(&rig, id)); /* under way: judged when it comes back */
	rig_settle(&rig, load, SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	body = body_of(&rig, other(&rig, id));
	expect_in(body, "Status: 5.4.7");
	expect_in(body, "450 4.2.0 later");
	mem_free(body);
	rig_close(&rig);
}

static void mail_that_is_given_up_in_silence_leaves_no_report(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_BY_RETURN, .by_ms = RIG_HOUR, .notify = QUEUE_NOTIFY_NEVER });
	rig_turn(&rig);
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void a_report_names_the_envelope_and_the_original_recipient(void **state)
{
	struct rig rig;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(
		&rig,
		(struct rig_mail){ .envid = "QQ314159", .orcpt = "rfc822;first@example.net", .ret = QUEUE_RET_FULL });

	rig_settle(&rig, rig_take(&rig, rig_connect(&rig, "work")), SETTLE_PERMANENT, "550 5.1.1 no such user");
	rig_turn(&rig);
	body = body_of(&rig, other(&rig, id));
	expect_in(body, "Original-Envelope-Id: QQ314159\r\n");
	expect_in(body, "Original-Recipient: rfc822; first@example.net\r\n");
	expect_in(body, "Hello"); /* RET=FULL */
	mem_free(body);
	rig_close(&rig);
}

static void a_report_about_mail_that_requires_tls_requires_it_too(void **state)
{
	struct rig rig;
	char *body;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .flags = QUEUE_REQUIRETLS, .ret = QUEUE_RET_FULL });

	rig_settle(&rig, rig_take(&rig, rig_connect(&rig, "work")), SETTLE_PERMANENT, "5.7.30 no");
	rig_turn(&rig);
	uint64_t report = other(&rig, id);

	assert_true(flags_of(&rig, report) & QUEUE_REQUIRETLS);
	body = body_of(&rig, report);
	assert_null(strstr(body, "Hello"));
	expect_in(body, "Subject: test");
	mem_free(body);
	rig_close(&rig);
}

static void mail_waits_for_its_release_and_then_goes(void **state)
{
	struct rig rig;
	struct scheduler_action action;

	(void)state;
	rig_open(&rig, ONE);
	rig_mail(&rig, (struct rig_mail){ .hold_ms = 20 * RIG_DAY, .lifetime_ms = (int64_t)25 * RIG_DAY });
	rig_turn(&rig);
	rig_nothing(&rig);
	rig_pass(&rig, 20 * RIG_DAY - 1000);
	rig_turn(&rig);
	rig_nothing(&rig);
	rig_pass(&rig, 1000);
	rig_turn(&rig);
	assert_true(rig_step(&rig, &action));
	scheduler_ready(rig.scheduler, action.lane, rig.now);
	rig_settle(&rig, rig_take(&rig, action.lane), SETTLE_DELIVERED, "250 ok");
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

static void a_release_time_does_not_undo_an_administrators_hold(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, ONE);
	uint64_t held =
		rig_mail(&rig, (struct rig_mail){ .hold_ms = RIG_HOUR, .flags = QUEUE_HELD | QUEUE_HELD_BY_OPERATOR });
	uint64_t own = rig_mail(&rig, (struct rig_mail){ .hold_ms = RIG_HOUR, .flags = QUEUE_HELD });

	rig_turn(&rig);
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	assert_true(flags_of(&rig, held) & QUEUE_HELD);
	assert_false(flags_of(&rig, own) & QUEUE_HELD);
	rig_close(&rig);
}

/* ---------------------------------------------------------------- routes */

static const char TWO[] = "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n"
			  "smarthost \"home\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
			  "route \"all\" { via = {\"work\"} }\n"
			  "route \"mine\" { via = {\"home\"} }\n";

static void reload(struct rig *rig, const char *conf)
{
	struct config *next = rig_config(rig, conf);

	scheduler_configure(rig->scheduler, next, NULL, NULL, rig->now);
	config_unref(rig->config);
	rig->config = next;
}

static void mail_keeps_the_route_that_an_identity_named(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, TWO);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .route = "mine", .target = "home" });

	rig_turn(&rig);
	reload(&rig, TWO);
	sweep_start(&rig.sweep, true, rig.now);
	rig_turn(&rig);
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "home");
	queue_view_end(rig.queue);
	/* Also when it comes back from an attempt. */
	lane = rig_connect(&rig, "home");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_turn(&rig);
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "home");
	queue_view_end(rig.queue);
	/* The route is another one now, and then it is gone: the rules decide. */
	reload(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n"
		     "smarthost \"home\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
		     "route \"all\" { via = {\"work\"} }\n"
		     "route \"mine\" { via = {\"home\", \"work\"} }\n");
	sweep_start(&rig.sweep, true, rig.now);
	rig_turn(&rig);
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "home,work");
	queue_view_end(rig.queue);
	reload(&rig, ONE);
	sweep_start(&rig.sweep, true, rig.now);
	rig_turn(&rig);
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "work");
	queue_view_end(rig.queue);
	rig_close(&rig);
}

static void a_renamed_route_is_noticed_at_the_start(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, TWO);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .route = "mine", .target = "home" });

	rig_turn(&rig);
	rig_crash(&rig);
	config_unref(rig.config);
	rig.config = rig_config(&rig, "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n"
				      "smarthost \"home\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
				      "route \"all\" { via = {\"work\"} }\n"
				      "route \"yours\" { via = {\"home\"} }\n");
	rig_start(&rig);
	rig_turn(&rig);
	assert_string_equal(rig_rcpt(&rig, id, 0).flow.target, "work");
	queue_view_end(rig.queue);
	rig_close(&rig);
}

static void a_report_takes_the_route_of_when_it_is_queued(void **state)
{
	size_t size = 900 * 1024;
	char *body = mem_alloc(size);
	struct rig rig;

	(void)state;
	memset(body, 'x', size);
	for (size_t i = 0; i + 2 <= size; i += 70)
		memcpy(body + i, "\r\n", 2);
	memcpy(body, "Subject: a\r\n", 12);
	rig_open(&rig, TWO);
	uint64_t id = rig_mail(&rig, (struct rig_mail){ .ret = QUEUE_RET_FULL, .body = body, .body_len = size });

	rig_settle(&rig, rig_take(&rig, rig_connect(&rig, "work")), SETTLE_PERMANENT, "550 5.1.1 no");
	queue_view_end(rig.queue);
	/* The disk stands still: the report cannot be written whole. */
	pthread_mutex_lock(&rig.disk);
	bounce_timer(&rig.bounce, (struct queue_timer){ rig.now.wall_ms, QUEUE_TIMER_REPORT, id }, rig.now);
	queue_view_end(rig.queue);
	assert_int_equal(rig.bounce.count, 1);
	reload(&rig, "smarthost \"home\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
		     "route \"all\" { via = {\"home\"} }\n");
	pthread_mutex_unlock(&rig.disk);
	queue_wait(rig.queue);
	rig_turn(&rig);
	assert_false(rig_has(&rig, id));
	assert_string_equal(rig_rcpt(&rig, other(&rig, id), 0).flow.target, "home");
	queue_view_end(rig.queue);
	mem_free(body);
	rig_close(&rig);
}

/* ---------------------------------------------------------------- what cannot be read */

static void what_cannot_be_read_is_tried_again_after_a_while(void **state)
{
	struct scheduler_job *job;
	struct lane *lane;
	struct aside aside;
	struct rig rig;

	(void)state;
	rig_open(&rig, ONE);
	aside_init(&aside, rig.scheduler);
	rig_mail(&rig, (struct rig_mail){ .count = 3 });
	lane = rig_connect(&rig, "work");
	job = scheduler_take(rig.scheduler, lane, rig.now);
	assert_non_null(job);
	aside_take(&aside, job, QUEUE_IO, rig.now);
	assert_int_equal(aside_deadline(&aside), rig.now.boot_ms + ASIDE_MS);
	assert_int_equal(lane->jobs, 0);
	assert_null(scheduler_take(rig.scheduler, lane, rig.now));
	rig_pass(&rig, ASIDE_MS - 1);
	aside_step(&aside, rig.now);
	assert_null(scheduler_take(rig.scheduler, lane, rig.now));
	rig_pass(&rig, 1);
	aside_step(&aside, rig.now);
	assert_int_equal(aside_deadline(&aside), INT64_MAX);
	job = scheduler_take(rig.scheduler, lane, rig.now);
	assert_non_null(job);
	assert_int_equal(job->count, 3);
	/* One that has gone is not kept. */
	aside_take(&aside, job, QUEUE_NOT_FOUND, rig.now);
	assert_int_equal(aside_deadline(&aside), INT64_MAX);
	assert_int_equal(rig.scheduler->flight.count, 0);
	aside_fini(&aside);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relayed_is_said_where_the_hop_will_not_tell),
		cmocka_unit_test(relayed_is_said_of_mail_that_has_a_time),
		cmocka_unit_test(a_sender_is_told_once_when_the_time_has_passed),
		cmocka_unit_test(who_asked_for_other_reports_is_not_warned),
		cmocka_unit_test(a_warning_before_the_time_does_not_take_its_place),
		cmocka_unit_test(never_and_the_null_sender_hear_nothing_of_time),
		cmocka_unit_test(mail_comes_back_when_its_time_has_passed),
		cmocka_unit_test(only_the_time_that_is_left_is_passed_on),
		cmocka_unit_test(an_attempt_that_ends_behind_the_time_was_the_last),
		cmocka_unit_test(mail_that_is_given_up_in_silence_leaves_no_report),
		cmocka_unit_test(a_report_names_the_envelope_and_the_original_recipient),
		cmocka_unit_test(a_report_about_mail_that_requires_tls_requires_it_too),
		cmocka_unit_test(mail_waits_for_its_release_and_then_goes),
		cmocka_unit_test(a_release_time_does_not_undo_an_administrators_hold),
		cmocka_unit_test(mail_keeps_the_route_that_an_identity_named),
		cmocka_unit_test(a_renamed_route_is_noticed_at_the_start),
		cmocka_unit_test(a_report_takes_the_route_of_when_it_is_queued),
		cmocka_unit_test(what_cannot_be_read_is_tried_again_after_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
