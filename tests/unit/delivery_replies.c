/* Walks the table of agent/smtp/REPLIES.md that says when we try again, with the scheduler and the queue. */
#include "delivery_rig.h"

#include "base/text.h"
#include "tests/unit/support/table.h"

#define TABLE "agent/smtp/REPLIES.md"

static const char CONF[] = "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = none auth = none }\n"
			   "route \"all\" { via = {\"work\"} }\n";

enum { NEVER = -1 };

static int64_t cell_ms(const struct table *t, int i)
{
	int64_t ms;

	if (strcmp(t->cells[i], "-") == 0)
		return NEVER;
	if (!text_duration(span_str(t->cells[i]), &ms))
		fail_msg(TABLE ":%d: '%s' is no duration", t->number, t->cells[i]);
	return ms;
}

/* A message whose attempt ends so: how long it waits then. */
static int64_t wait_of_message(struct rig *rig, enum settle_verdict verdict)
{
	uint64_t id = rig_mail(rig, (struct rig_mail){ .notify = QUEUE_NOTIFY_NEVER });
	struct lane *lane = rig_connect(rig, "work");
	struct queue_rcpt rcpt;
	int64_t wait_ms;

	rig_settle(rig, rig_take(rig, lane), verdict, "450 4.2.0 said so");
	if (!rig_has(rig, id))
		return NEVER;
	rcpt = rig_rcpt(rig, id, 0);
	assert_int_equal(rcpt.attempts, verdict == SETTLE_UNTRIED ? 0 : 1);
	wait_ms = rcpt.due_ms - rig->now.wall_ms;
	queue_view_end(rig->queue);
	return wait_ms;
}

/* A lane whose connection ends so: how long it waits then. */
static int64_t wait_of_lane(struct rig *rig, bool fails, bool parked, bool throttled)
{
	struct lane_failure failure = { .trouble = parked || throttled ? TRAFFIC_ACCOUNT : TRAFFIC_LANE,
					.is_parked = parked,
					.is_throttled = throttled,
					.text = "said so" };
	uint64_t id = rig_mail(rig, (struct rig_mail){ 0 });
	struct lane *lane = rig_connect(rig, "work");
	struct scheduler_action action;

	if (fails)
		scheduler_failed(rig->scheduler, lane, &failure, true, rig->now);
	scheduler_gone(rig->scheduler, lane, true, rig->now);
	assert_int_equal(rig_rcpt(rig, id, 0).attempts, 0);
	queue_view_end(rig->queue);
	if (fails)
		return lane->retry_boot_ms - rig->now.boot_ms;
	return rig_step(rig, &action) && action.kind == SCHEDULER_CONNECT ? 0 : NEVER;
}

/* A lane whose replies were in doubt: how long its connections go without pipelining. */
static int64_t wait_of_pipelining(struct rig *rig)
{
	struct lane *lane;
	int64_t wait_ms = 0;

	for (rig_mail(rig, (struct rig_mail){ 0 }); wait_ms <= 2 * RIG_HOUR; wait_ms += RIG_HOUR / 60) {
		lane = rig_connect(rig, "work");
		if (wait_ms && !lane->no_pipelining)
			return wait_ms - RIG_HOUR / 60;
		lane->no_pipelining = true;
		scheduler_gone(rig->scheduler, lane, true, rig->now);
		if (wait_ms)
			rig_pass(rig, RIG_HOUR / 60);
	}
	return NEVER;
}

static int64_t wait_of(struct rig *rig, const struct table *t)
{
	static const struct {
		const char *name;
		enum settle_verdict verdict;
	} verdicts[] = { { "temporary", SETTLE_TEMPORARY },
			 { "doubtful", SETTLE_DOUBTFUL },
			 { "untried", SETTLE_UNTRIED },
			 { "permanent", SETTLE_PERMANENT },
			 { "delivered", SETTLE_DELIVERED } };
	const char *name = t->cells[0];

	for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
		if (strcmp(name, verdicts[i].name) == 0)
			return wait_of_message(rig, verdicts[i].verdict);
	if (strcmp(name, "without pipelining") == 0)
		return wait_of_pipelining(rig);
	if (strcmp(name, "closes") != 0 && strcmp(name, "lane") != 0 && strcmp(name, "throttled") != 0 &&
	    strcmp(name, "parked") != 0)
		fail_msg(TABLE ":%d: nobody concludes '%s'", t->number, name);
	return wait_of_lane(rig, strcmp(name, "closes") != 0, strcmp(name, "parked") == 0,
			    strcmp(name, "throttled") == 0);
}

static void what_waits_waits_as_long_as_the_table_says(void **state)
{
	struct table t;
	int rows = 0;

	(void)state;
	assert_true(table_open(&t, TABLE, "## When we try again"));
	for (; table_next(&t); rows++) {
		int64_t least = cell_ms(&t, 1), most = cell_ms(&t, 2), wait;
		struct rig rig;

		assert_int_equal(t.count, 4);
		rig_open(&rig, CONF);
		wait = wait_of(&rig, &t);
		if (wait < least || wait > most)
			fail_msg(TABLE ":%d: %s waits %lld ms", t.number, t.cells[0], (long long)wait);
		rig_close(&rig);
	}
	assert_int_equal(rows, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_waits_as_long_as_the_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
