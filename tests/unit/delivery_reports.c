/* Who is told of what failed: many at once, and when a report itself fails. */
#include "delivery_rig.h"

#include "delivery/digest.h"

#define ONE                                                                              \
	"smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n" \
	"route \"all\" { via = {\"work\"} }\n"
#define NAMED ONE "postmaster = \"admin@example.org\"\n"

enum { MINUTE = 60 * 1000 };

/* Messages that all fail at once. */
static void fail_many(struct rig *rig, struct lane **lane, size_t count, struct rig_mail mail)
{
	for (size_t i = 0; i < count; i++)
		rig_mail(rig, mail);
	if (!*lane)
		*lane = rig_connect(rig, "work");
	for (size_t i = 0; i < count; i++)
		rig_settle(rig, rig_take(rig, *lane), SETTLE_PERMANENT, "550 5.1.1 no such user");
	rig_turn(rig);
}

/* Counts reports in the queue, and in how many bodies the text stands. */
static size_t reports(struct rig *rig, const char *text, size_t *out_with)
{
	struct queue_envelope envelope;
	struct queue_body_reader reader;
	struct queue_bytes bytes;
	uint64_t id = UINT64_MAX;
	size_t count = 0;

	*out_with = 0;
	while (queue_view_previous(queue_view(rig->queue), id, &id) == QUEUE_OK) {
		assert_int_equal(queue_view_envelope(queue_view(rig->queue), id, &envelope), QUEUE_OK);
		if (!(envelope.flags & QUEUE_REPORT))
			continue;
		count++;
		assert_int_equal(queue_body_open(queue_view(rig->queue), id, &reader), QUEUE_OK);
		assert_int_equal(queue_body_next(&reader, queue_view(rig->queue), &bytes), QUEUE_OK);
		*out_with += memmem(bytes.data, bytes.len, text, strlen(text)) != NULL;
		queue_body_close(&reader);
	}
	queue_view_end(rig->queue);
	return count;
}

static void who_would_be_flooded_gets_one_mail_for_many(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;
	size_t digests;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, 50, (struct rig_mail){ 0 });
	/* A burst of single ones; the others are still owed. */
	assert_int_equal(reports(&rig, "multipart/mixed", &digests), DIGEST_BURST);
	assert_int_equal(rig_messages(&rig), 50);
	rig_pass(&rig, DIGEST_MS);
	rig_turn(&rig);
	assert_int_equal(reports(&rig, "Subject: Not delivered: 30 messages", &digests), DIGEST_BURST + 1);
	assert_int_equal(digests, 1);
	assert_int_equal(rig_messages(&rig), DIGEST_BURST + 1);
	rig_close(&rig);
}

static void a_report_does_not_wait_for_the_time_of_a_wrong_clock(void **state)
{
	struct rig rig;
	size_t with;

	(void)state;
	rig_open(&rig, ONE);
	rig.now.wall_ms += RIG_DAY;
	rig_mail(&rig, (struct rig_mail){ 0 });
	rig_settle(&rig, rig_take(&rig, rig_connect(&rig, "work")), SETTLE_PERMANENT, "550 5.1.1 no such user");
	rig.now.wall_ms -= RIG_DAY;
	calendar_rewind(&rig.calendar);
	sweep_start(&rig.sweep, false, rig.now);
	rig_turn(&rig);
	assert_int_equal(reports(&rig, "no such user", &with), 1);
	assert_int_equal(with, 1);
	rig_close(&rig);
}

static void many_senders_get_no_more_than_their_burst_each(void **state)
{
	enum { SENDERS = 1000, EACH = 2 * DIGEST_BURST };
	struct digest_set *set = mem_calloc(1, sizeof *set);
	struct digest *digest;
	size_t alone = 0;

	(void)state;
	digest_init(set);
	for (uint64_t i = 0; i < EACH; i++)
		for (uint64_t n = 0; n < SENDERS; n++) {
			struct queue_timer timer = { 1, QUEUE_TIMER_REPORT, 1 + i * SENDERS + n };
			char address[32];

			snprintf(address, sizeof address, "s%d@example.org", (int)n);
			alone += digest_take(set, address, false, timer, 1000) == DIGEST_ALONE;
		}
	assert_true(alone <= SENDERS * DIGEST_BURST);
	assert_true(alone >= SENDERS * DIGEST_BURST / 2); /* few share one */
	digest_hurry(set);
	while ((digest = digest_next(set, 1000)))
		digest_free(digest);
	digest_fini(set);
	mem_free(set);
}

static void a_full_digest_does_not_wait(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;
	size_t digests;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, DIGEST_BURST + DIGEST_MESSAGES + 1, (struct rig_mail){ 0 });
	assert_int_equal(reports(&rig, "Subject: Not delivered: 200 messages", &digests), DIGEST_BURST + 1);
	assert_int_equal(digests, 1);
	assert_int_equal(rig_messages(&rig), DIGEST_BURST + 1 + 1);
	rig_close(&rig);
}

static void each_sender_has_a_burst_of_its_own(void **state)
{
	struct rig rig;
	struct lane *lane;
	size_t with;

	(void)state;
	rig_open(&rig, ONE);
	for (size_t i = 0; i < DIGEST_BURST; i++) {
		rig_mail(&rig, (struct rig_mail){ 0 });
		rig_mail(&rig, (struct rig_mail){ .sender = "you@example.org" });
	}
	lane = rig_connect(&rig, "work");
	for (size_t i = 0; i < 2 * DIGEST_BURST; i++)
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_PERMANENT, "550 5.1.1 no such user");
	rig_turn(&rig);
	assert_int_equal(reports(&rig, "you@example.org", &with), 2 * DIGEST_BURST);
	assert_int_equal(with, DIGEST_BURST);
	rig_close(&rig);
}

static void what_waits_for_a_digest_survives_a_crash(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;
	size_t with;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, DIGEST_BURST + 5, (struct rig_mail){ 0 });
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	assert_int_equal(reports(&rig, "550 5.1.1", &with), DIGEST_BURST + 5);
	assert_int_equal(rig_messages(&rig), DIGEST_BURST + 5);
	rig_close(&rig);
}

static void a_removed_message_takes_nobody_elses_report_away(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;
	struct queue_op *op;
	uint64_t id = 0;
	size_t with;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, DIGEST_BURST + 5, (struct rig_mail){ 0 });
	/* The last that was handed in waits for its digest. */
	for (size_t i = 0; i < 2 * DIGEST_BURST; i++) {
		struct queue_envelope envelope;

		if (queue_view_previous(queue_view(rig.queue), id ? id : UINT64_MAX, &id) != QUEUE_OK)
			break;
		assert_int_equal(queue_view_envelope(queue_view(rig.queue), id, &envelope), QUEUE_OK);
		if (!(envelope.flags & QUEUE_REPORT))
			break;
	}
	queue_view_end(rig.queue);
	op = queue_op_new(rig.queue);
	queue_op_remove(op, id, QUEUE_ALL, "root", rig.now.wall_ms);
	queue_op_submit(op, NULL, NULL);
	queue_wait(rig.queue);
	rig_pass(&rig, DIGEST_MS);
	rig_turn(&rig);
	for (int i = 0; i < 3; i++) {
		rig_pass(&rig, MINUTE);
		rig_turn(&rig);
	}
	assert_int_equal(reports(&rig, "Subject: Not delivered: 4 messages", &with), DIGEST_BURST + 1);
	assert_int_equal(with, 1);
	assert_int_equal(rig_messages(&rig), DIGEST_BURST + 1);
	rig_close(&rig);
}

static void somebody_who_flushes_sees_the_digest_leave(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;
	size_t with;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, DIGEST_BURST + 5, (struct rig_mail){ 0 });
	assert_int_equal(bounce_deadline(&rig.bounce), rig.now.boot_ms + DIGEST_MS);
	bounce_hurry(&rig.bounce);
	rig_turn(&rig);
	assert_int_equal(reports(&rig, "5 messages", &with), DIGEST_BURST + 1);
	assert_int_equal(with, 1);
	assert_int_equal(bounce_deadline(&rig.bounce), INT64_MAX);
	rig_close(&rig);
}

static void delays_are_told_of_together_too(void **state)
{
	struct rig rig;
	struct lane *lane;
	size_t with;

	(void)state;
	rig_open(&rig, ONE);
	for (int i = 0; i < DIGEST_BURST + 7; i++)
		rig_mail(&rig, (struct rig_mail){ .warn_ms = RIG_HOUR });
	lane = rig_connect(&rig, "work");
	for (int i = 0; i < DIGEST_BURST + 7; i++)
		rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	rig_pass(&rig, DIGEST_MS);
	rig_turn(&rig);
	assert_int_equal(reports(&rig, "Subject: Still waiting: 7 messages", &with), DIGEST_BURST + 1);
	assert_int_equal(with, 1);
	/* Once is enough. */
	rig_pass(&rig, RIG_HOUR);
	rig_turn(&rig);
	assert_int_equal(reports(&rig, "Still waiting", &with), DIGEST_BURST + 1);
	rig_close(&rig);
}

/* ---------------------------------------------------------------- reports that fail */

static uint64_t newest(struct rig *rig)
{
	uint64_t id = 0;

	assert_int_equal(queue_view_previous(queue_view(rig->queue), UINT64_MAX, &id), QUEUE_OK);
	queue_view_end(rig->queue);
	return id;
}

static uint32_t flags_of(struct rig *rig, uint64_t id)
{
	struct queue_envelope envelope;

	assert_int_equal(queue_view_envelope(queue_view(rig->queue), id, &envelope), QUEUE_OK);
	queue_view_end(rig->queue);
	return envelope.flags;
}

static void a_report_that_nobody_can_be_given_is_kept(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, 1, (struct rig_mail){ 0 });
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_PERMANENT, "550 5.1.1 you are unknown too");
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 1);
	assert_true(flags_of(&rig, newest(&rig)) & QUEUE_HELD);
	assert_true(flags_of(&rig, newest(&rig)) & QUEUE_KEPT);
	assert_string_equal(rig_rcpt(&rig, newest(&rig), 0).reply, "550 5.1.1 you are unknown too");
	assert_null(rig_take(&rig, lane));
	assert_int_equal(rig.settle.bounced, 1);
	rig_close(&rig);
}

static void a_report_whose_time_is_over_is_kept(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;
	uint64_t report;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, 1, (struct rig_mail){ 0 });
	report = newest(&rig);
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 later");
	rig_pass(&rig, 5 * (int64_t)RIG_DAY);
	rig_turn(&rig);
	assert_true(flags_of(&rig, report) & QUEUE_KEPT);
	assert_int_equal(rig.bounce.expired, 0);
	assert_non_null(strstr(rig_rcpt(&rig, report, 0).reply, "4.4.7"));
	rig_close(&rig);
}

static void a_postmaster_who_is_named_gets_what_nobody_else_can(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;
	uint64_t report;

	(void)state;
	rig_open(&rig, NAMED);
	fail_many(&rig, &lane, 1, (struct rig_mail){ 0 });
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_PERMANENT, "550 5.1.1 you are unknown too");
	rig_turn(&rig);
	report = newest(&rig);
	assert_int_equal(rig_messages(&rig), 1);
	assert_string_equal(rig_rcpt(&rig, report, 0).address, "admin@example.org");
	assert_true(flags_of(&rig, report) & QUEUE_DOUBLE);
	/* And there it ends. */
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_PERMANENT, "550 5.1.1 unknown as well");
	rig_turn(&rig);
	assert_int_equal(rig_messages(&rig), 1);
	assert_true(flags_of(&rig, report) & QUEUE_KEPT);
	rig_close(&rig);
}

static const struct {
	const char *name, *postmaster, *sender, *address;
	uint32_t flags;
	uint8_t notify;
	enum settle_fate fate;
} fates[] = {
	{ "mail of people is reported", NULL, "me@x", "a@y", 0, 0, SETTLE_REPORT },
	{ "NOTIFY=NEVER", NULL, "me@x", "a@y", 0, QUEUE_NOTIFY_NEVER, SETTLE_SILENT },
	{ "NOTIFY=SUCCESS", NULL, "me@x", "a@y", 0, QUEUE_NOTIFY_SUCCESS, SETTLE_SILENT },
	{ "NOTIFY=FAILURE", NULL, "me@x", "a@y", 0, QUEUE_NOTIFY_FAILURE, SETTLE_REPORT },
	{ "others' mail without a sender", NULL, "", "a@y", 0, 0, SETTLE_SILENT },
	{ "our own report", NULL, "", "a@y", QUEUE_REPORT, QUEUE_NOTIFY_NEVER, SETTLE_KEEP },
	{ "others' with a postmaster", "pm@x", "", "a@y", 0, 0, SETTLE_REPORT },
	{ "others' that want silence", "pm@x", "", "a@y", 0, QUEUE_NOTIFY_NEVER, SETTLE_SILENT },
	{ "our own with a postmaster", "pm@x", "", "a@y", QUEUE_REPORT, QUEUE_NOTIFY_NEVER, SETTLE_REPORT },
	{ "a report to the postmaster", "pm@x", "", "PM@x", QUEUE_REPORT, QUEUE_NOTIFY_NEVER, SETTLE_KEEP },
	{ "about a report to one before", "pm@x", "", "old@x", QUEUE_REPORT | QUEUE_DOUBLE, 0, SETTLE_KEEP },
};

static void what_fails_is_told_to_somebody_or_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
		struct config config = { .postmaster = fates[i].postmaster ? fates[i].postmaster : "postmaster@h",
					 .has_postmaster = fates[i].postmaster };

		if (settle_fate(&config, fates[i].flags, fates[i].sender, fates[i].address, fates[i].notify) !=
		    fates[i].fate)
			fail_msg("%s", fates[i].name);
	}
}

static void a_mailbox_in_utf8_gets_its_report_in_utf8_and_a_domain_alone_does_not(void **state)
{
	struct rig rig;
	struct lane *lane = NULL;

	(void)state;
	rig_open(&rig, ONE);
	fail_many(&rig, &lane, 1, (struct rig_mail){ .sender = "jos\xc3\xa9@example.org" });
	assert_true(flags_of(&rig, newest(&rig)) & QUEUE_SMTPUTF8);
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	fail_many(&rig, &lane, 1, (struct rig_mail){ .sender = "jose@ex\xc3\xa4mple.org" });
	assert_false(flags_of(&rig, newest(&rig)) & QUEUE_SMTPUTF8);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_would_be_flooded_gets_one_mail_for_many),
		cmocka_unit_test(a_report_does_not_wait_for_the_time_of_a_wrong_clock),
		cmocka_unit_test(many_senders_get_no_more_than_their_burst_each),
		cmocka_unit_test(a_full_digest_does_not_wait),
		cmocka_unit_test(each_sender_has_a_burst_of_its_own),
		cmocka_unit_test(what_waits_for_a_digest_survives_a_crash),
		cmocka_unit_test(a_removed_message_takes_nobody_elses_report_away),
		cmocka_unit_test(somebody_who_flushes_sees_the_digest_leave),
		cmocka_unit_test(delays_are_told_of_together_too),
		cmocka_unit_test(a_report_that_nobody_can_be_given_is_kept),
		cmocka_unit_test(a_report_whose_time_is_over_is_kept),
		cmocka_unit_test(a_postmaster_who_is_named_gets_what_nobody_else_can),
		cmocka_unit_test(what_fails_is_told_to_somebody_or_kept),
		cmocka_unit_test(a_mailbox_in_utf8_gets_its_report_in_utf8_and_a_domain_alone_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
