/* Lanes of MX domains: they come with mail and go with it, what they suffered comes back, and many cost little. */
#include "delivery_rig.h"

#include <malloc.h>

#include "delivery/lineup.h"
#include "delivery/tidy.h"

static const char CONF[] = "smarthost \"backup\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
			   "mx { tls = none connections = 4 }\n"
			   "route \"all\" { via = {\"mx\"} }\n";

static uint64_t mail_to(struct rig *rig, const char *domain, const char *submitter)
{
	char target[ROUTE_LANE_SIZE], rcpt[ROUTE_LANE_SIZE];

	snprintf(target, sizeof target, "mx:%s", domain);
	snprintf(rcpt, sizeof rcpt, "bob@%s", domain);
	return rig_mail(rig, (struct rig_mail){ .target = target, .rcpt = rcpt, .submitter = submitter });
}

static struct lane *mx_lane(struct rig *rig, const char *name)
{
	return lanes_find(&rig->scheduler->lanes, span_str(name));
}

/* Time enough for flows to rest, and all that follows from it. */
static void settle_down(struct rig *rig)
{
	for (int i = 0; i < 4; i++) {
		rig_nothing(rig);
		rig_turn(rig);
		rig_pass(rig, SCHEDULER_REST_MS);
	}
	rig_nothing(rig);
	rig_turn(rig);
	rig_nothing(rig);
}

static void a_domain_has_a_lane_as_long_as_there_is_mail_for_it(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, CONF);
	mail_to(&rig, "example.org", NULL);
	lane = rig_connect(&rig, "mx:example.org");
	assert_string_equal(lane->domain, "example.org");
	assert_ptr_equal(lane->host, config_mx(rig.config, "example.org"));
	assert_null(lane->host->host);
	assert_false(lane->is_local);
	assert_true(lane->needs_dns);
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	lane->idle++;
	settle_down(&rig);
	assert_int_equal(rig.scheduler->flows.count, 0);
	assert_ptr_equal(mx_lane(&rig, "mx:example.org"), lane); /* the connection keeps it */
	lane->idle--;
	scheduler_gone(rig.scheduler, lane, true, rig.now);
	rig_nothing(&rig);
	assert_null(mx_lane(&rig, "mx:example.org"));
	assert_int_equal(rig.scheduler->lanes.mx_count, 0);
	assert_int_equal(rig.scheduler->lanes.mx_open, 0);
	rig_close(&rig);
}

static void what_is_under_way_keeps_its_lane(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct load *load;

	(void)state;
	rig_open(&rig, CONF);
	mail_to(&rig, "example.org", NULL);
	lane = rig_connect(&rig, "mx:example.org");
	load = rig_take(&rig, lane);
	scheduler_gone(rig.scheduler, lane, true, rig.now);
	settle_down(&rig);
	assert_int_equal(rig.scheduler->flows.count, 1); /* or its record in the queue would never go */
	assert_ptr_equal(mx_lane(&rig, "mx:example.org"), lane);
	rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
	settle_down(&rig);
	assert_int_equal(rig.scheduler->flows.count, 0);
	assert_null(mx_lane(&rig, "mx:example.org"));
	rig_close(&rig);
}

static void an_address_literal_needs_no_resolver(void **state)
{
	struct rig rig;
	struct lane *lane;

	(void)state;
	rig_open(&rig, CONF);
	mail_to(&rig, "[192.0.2.1]", NULL);
	lane = rig_connect(&rig, "mx:[192.0.2.1]");
	assert_false(lane->needs_dns);
	assert_false(lane->is_local);
	rig_close(&rig);
}

static void a_lane_that_left_memory_in_trouble_comes_back_with_its_backoff(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct queue_lane record;
	int64_t left_ms = 0;

	(void)state;
	rig_open(&rig, CONF);
	mail_to(&rig, "example.org", NULL);
	struct lane *lane = NULL;

	for (int i = 0; i < 7; i++) {
		assert_true(rig_step(&rig, &action));
		lane = action.lane;
		rig_refuse(&rig, lane, TRAFFIC_LANE, false);
		rig_nothing(&rig);
		rig_turn(&rig);
		left_ms = lane->retry_boot_ms - rig.now.boot_ms;
		if (i < 6)
			rig_pass(&rig, left_ms);
	}
	assert_true(left_ms > 4 * SCHEDULER_REST_MS + 1000);
	/* The only message is removed; nobody needs the lane any more. */
	struct queue_op *op = queue_op_new(rig.queue);

	queue_op_remove(op, rig.accepted, 0, "root", rig.now.wall_ms);
	queue_op_submit(op, NULL, NULL);
	rig_turn(&rig);
	int64_t retry_boot_ms = lane->retry_boot_ms;

	lane_look(lane); /* it finds that the flow has nothing more */
	rig_pass(&rig, retry_boot_ms - rig.now.boot_ms);
	rig_nothing(&rig);
	settle_down(&rig);
	assert_null(mx_lane(&rig, "mx:example.org"));
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:example.org", &record), QUEUE_OK);
	assert_int_equal(record.failures, 7);
	/* New mail finds it as it was: its time has come, and it is one probe. */
	mail_to(&rig, "example.org", NULL);
	mail_to(&rig, "example.org", "uid:2");
	lane = rig_connect(&rig, "mx:example.org");
	rig_nothing(&rig);
	assert_int_equal(lane->failures, 7);
	assert_int_equal(lane->trouble, TRAFFIC_LANE);
	rig_close(&rig);
}

static void mail_that_waits_for_itself_does_not_cost_the_lane_its_backoff(void **state)
{
	struct rig rig;
	struct lane *lane;
	struct lane_failure failure = { .trouble = TRAFFIC_ACCOUNT, .is_throttled = true, .text = "not now" };

	(void)state;
	rig_open(&rig, CONF);
	mail_to(&rig, "example.org", NULL);
	lane = rig_connect(&rig, "mx:example.org");
	/* The message gets a backoff of its own (5 min), and the lane one of 10 min. */
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_TEMPORARY, "450 4.2.0 greylisted");
	rig_turn(&rig);
	assert_null(rig_take(&rig, lane)); /* nothing more is due */
	scheduler_failed(rig.scheduler, lane, &failure, true, rig.now);
	scheduler_gone(rig.scheduler, lane, true, rig.now);
	settle_down(&rig);
	assert_null(mx_lane(&rig, "mx:example.org"));
	rig_pass(&rig, 6 * 60 * 1000);
	rig_turn(&rig);
	rig_nothing(&rig);
	lane = mx_lane(&rig, "mx:example.org");
	assert_non_null(lane);
	assert_int_equal(lane->trouble, TRAFFIC_ACCOUNT);
	rig_pass(&rig, 6 * 60 * 1000);
	rig_connect(&rig, "mx:example.org");
	rig_close(&rig);
}

static void a_lane_whose_record_is_not_written_stays(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;

	(void)state;
	rig_open(&rig, CONF);
	uint64_t id = mail_to(&rig, "example.org", NULL);
	struct queue_op *op = queue_op_new(rig.queue);

	assert_true(rig_step(&rig, &action));
	lane = action.lane;
	queue_op_remove(op, id, 0, "root", rig.now.wall_ms);
	queue_op_submit(op, NULL, NULL);
	rig_turn(&rig);
	assert_null(rig_take(&rig, lane));
	rig.is_failing = true;
	rig_refuse(&rig, lane, TRAFFIC_LANE, false);
	for (int i = 0; i < 5; i++) {
		rig_nothing(&rig);
		queue_wait(rig.queue);
		queue_view_end(rig.queue);
		rig_pass(&rig, 5000);
	}
	assert_ptr_equal(mx_lane(&rig, "mx:example.org"), lane);
	rig.is_failing = false;
	rig_pass(&rig, 60 * 1000);
	rig_nothing(&rig);
	settle_down(&rig);
	assert_null(mx_lane(&rig, "mx:example.org"));
	struct queue_lane record;

	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:example.org", &record), QUEUE_OK);
	rig_close(&rig);
}

static void names_of_all_lengths_are_remembered(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	char domain[256], name[ROUTE_LANE_SIZE];
	struct queue_lane record;

	(void)state;
	rig_open(&rig, "mx { tls = none rate = \"1/min\" }\nroute \"all\" { via = {\"mx\"} }\n");
	memset(domain, 'a', 253);
	for (int i = 60; i < 253; i += 61)
		domain[i] = '.';
	domain[253] = '\0';
	snprintf(name, sizeof name, "mx:%s", domain);
	mail_to(&rig, domain, NULL);
	mail_to(&rig, domain, NULL);
	struct lane *lane = rig_connect(&rig, name);

	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_null(rig_take(&rig, lane));
	scheduler_gone(rig.scheduler, lane, true, rig.now);
	rig_pass(&rig, SCHEDULER_BUCKET_MS);
	rig_nothing(&rig);
	rig_turn(&rig);
	assert_int_equal(queue_view_lane(queue_view(rig.queue), name, &record), QUEUE_OK);
	assert_true(record.since_ms > 0 && record.trouble == 0);
	queue_view_end(rig.queue);
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	rig_nothing(&rig); /* the bucket is still empty */
	rig_pass(&rig, 60 * 1000);
	assert_true(rig_step(&rig, &action));
	rig_refuse(&rig, action.lane, TRAFFIC_ACCOUNT, true);
	rig_nothing(&rig);
	rig_turn(&rig);
	rig_crash(&rig);
	rig_start(&rig);
	rig_turn(&rig);
	rig_nothing(&rig);
	assert_true(mx_lane(&rig, name)->is_parked);
	rig_close(&rig);
}

static void what_is_known_of_a_domain_without_mail_is_forgotten_after_days(void **state)
{
	struct rig rig;
	struct tidy tidy;
	struct queue_lane record;
	struct queue_op *op;
	char name[64];

	(void)state;
	rig_open(&rig, CONF);
	op = queue_op_new(rig.queue);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "mx:old%d.example", i);
		queue_op_lane(op, &(struct queue_lane){ .name = name,
							.failures = 3,
							.trouble = TRAFFIC_LANE,
							.since_ms = rig.now.wall_ms - 5000,
							.retry_ms = rig.now.wall_ms,
							.error = "refused",
							.paused_by = i == 7 ? "root" : "",
							.paused_ms = i == 7 ? rig.now.wall_ms : 0 });
	}
	queue_op_lane(op,
		      &(struct queue_lane){
			      .name = "work", .trouble = TRAFFIC_LANE, .failures = 1, .error = "", .paused_by = "" });
	queue_op_submit(op, NULL, NULL);
	rig_turn(&rig);
	tidy_init(&tidy, rig.queue, rig.scheduler, rig.now);
	for (int day = 0; day < 3; day++) {
		mail_to(&rig, "old9.example", NULL);
		assert_int_equal(tidy.forgotten, 0);
		/* In small steps, and then not for an hour. */
		for (int steps = 0; tidy_deadline(&tidy) <= rig.now.boot_ms + TIDY_STEP_MS; steps++) {
			rig_pass(&rig, TIDY_STEP_MS);
			tidy_step(&tidy, rig.now);
			assert_in_range(tidy.forgotten, 0, (uint64_t)TIDY_RECORDS * (steps + 1));
			rig_turn(&rig);
			assert_in_range(steps, 0, 20);
		}
		if (day < 2)
			rig_pass(&rig, RIG_DAY);
	}
	assert_int_equal(tidy.forgotten, 998); /* not what is paused, or has mail */
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:old8.example", &record), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:old7.example", &record), QUEUE_OK);
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:old9.example", &record), QUEUE_OK);
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "work", &record), QUEUE_OK);
	queue_view_end(rig.queue);
	/* The pause is known again, though there is no mail for it. */
	assert_string_equal(mx_lane(&rig, "mx:old7.example")->paused_by, "root");
	rig_close(&rig);
}

static void a_domain_can_be_paused_before_there_is_mail_for_it(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, CONF);
	assert_false(scheduler_resume(rig.scheduler, "mx:example.org", rig.now));
	assert_true(scheduler_pause(rig.scheduler, "mx:example.org", "root", rig.now));
	assert_false(scheduler_pause(rig.scheduler, "mx:", "root", rig.now));
	settle_down(&rig);
	rig_crash(&rig);
	rig_start(&rig);
	mail_to(&rig, "example.org", NULL);
	mail_to(&rig, "example.net", NULL);
	rig_connect(&rig, "mx:example.net");
	rig_nothing(&rig);
	assert_true(scheduler_is_paused(rig.scheduler, "mx:example.org"));
	assert_true(scheduler_resume(rig.scheduler, "mx:example.org", rig.now));
	rig_connect(&rig, "mx:example.org");
	rig_close(&rig);
}

static void a_word_to_all_lanes_reaches_those_that_are_not_in_memory(void **state)
{
	struct rig rig;
	struct queue_op *op;

	(void)state;
	rig_open(&rig, CONF);
	op = queue_op_new(rig.queue);
	queue_op_lane(op, &(struct queue_lane){ .name = "mx:slow.example",
						.failures = 3,
						.trouble = TRAFFIC_LANE,
						.since_ms = rig.now.wall_ms,
						.retry_ms = rig.now.wall_ms + 600 * 1000,
						.error = "refused",
						.paused_by = "" });
	queue_op_lane(op, &(struct queue_lane){ .name = "mx:paused.example",
						.error = "",
						.paused_by = "root",
						.paused_ms = rig.now.wall_ms });
	queue_op_submit(op, NULL, NULL);
	rig_turn(&rig);
	rig_pass(&rig, 1000);
	scheduler_resume(rig.scheduler, NULL, rig.now);
	mail_to(&rig, "slow.example", NULL);
	rig_connect(&rig, "mx:slow.example");
	mail_to(&rig, "paused.example", NULL);
	rig_connect(&rig, "mx:paused.example");
	/* And the queue forgets it, too. */
	rig_turn(&rig);
	rig_nothing(&rig);
	rig_turn(&rig);
	struct queue_lane record;

	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:paused.example", &record), QUEUE_NOT_FOUND);
	assert_int_equal(queue_view_lane(queue_view(rig.queue), "mx:slow.example", &record), QUEUE_NOT_FOUND);
	rig_close(&rig);
}

static void note(void *arg, struct lane *lane)
{
	snprintf(arg, ROUTE_LANE_SIZE, "%s", lane->name);
}

static void a_changed_section_of_a_domain_is_a_changed_lane(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct config *next;
	char changed[ROUTE_LANE_SIZE] = "";

	(void)state;
	rig_open(&rig, CONF);
	mail_to(&rig, "a.example", NULL);
	mail_to(&rig, "b.example", "uid:2");
	for (int i = 0; i < 2; i++) {
		assert_true(rig_step(&rig, &action));
		rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	}
	rig_nothing(&rig);
	next = rig_config(&rig, "smarthost \"backup\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
				"mx { tls = none connections = 4 }\n"
				"domain \"b.example\" { tls = none port = 2525 }\n"
				"route \"all\" { via = {\"mx\"} }\n");
	scheduler_configure(rig.scheduler, next, note, changed, rig.now);
	config_unref(rig.config);
	rig.config = next;
	assert_string_equal(changed, "mx:b.example");
	rig_connect(&rig, "mx:b.example"); /* what was said of the old one says nothing of the new one */
	assert_int_equal(mx_lane(&rig, "mx:b.example")->host->port, 2525);
	rig_nothing(&rig);
	assert_int_equal(mx_lane(&rig, "mx:a.example")->failures, 1);
	rig_close(&rig);
}

static void a_smart_host_behind_the_mx_takes_over(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *lane;

	(void)state;
	rig_open(&rig, CONF);
	rig_mail(&rig, (struct rig_mail){ .target = "mx:example.org,backup" });
	assert_true(rig_step(&rig, &action));
	assert_string_equal(action.lane->name, "mx:example.org");
	rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	lane = rig_connect(&rig, "backup");
	rig_settle(&rig, rig_take(&rig, lane), SETTLE_DELIVERED, "250 ok");
	assert_int_equal(rig_messages(&rig), 0);
	rig_close(&rig);
}

/* ---------------------------------------------------------------- many */

enum { MANY = 10000 };

static void hand_in_many(struct rig *rig, int from, int count, const char *submitter)
{
	for (int i = from; i < from + count; i++) {
		char target[64];

		snprintf(target, sizeof target, "mx:d%05d.example", i);
		rig_hand_in(rig, (struct rig_mail){ .target = target, .submitter = submitter });
		if (i % 500 == 499)
			queue_wait(rig->queue);
	}
	queue_wait(rig->queue);
	queue_view_end(rig->queue);
}

static size_t heap_bytes(void)
{
	return mallinfo2().uordblks;
}

static void all_domains_together_have_a_bounded_number_of_connections(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct lane *open[LANES_MX_CONNECTIONS];
	int count = 0;

	(void)state;
	rig_open(&rig, CONF);
	hand_in_many(&rig, 0, 600, "uid:1");
	mail_to(&rig, "other.example", "uid:2");
	rig_mail(&rig, (struct rig_mail){ .target = "backup", .submitter = "uid:3" });
	int smart = 0;

	while (rig_step(&rig, &action)) {
		assert_int_equal(action.kind, SCHEDULER_CONNECT);
		scheduler_ready(rig.scheduler, action.lane, rig.now);
		if (action.lane->domain)
			open[count++] = action.lane;
		else
			smart++;
		assert_in_range(count, 0, LANES_MX_CONNECTIONS);
	}
	assert_int_equal(count, LANES_MX_CONNECTIONS);
	assert_int_equal(smart, 1); /* smart hosts are not concerned */
	assert_true(scheduler_is_crowded(rig.scheduler));
	/* One that ends makes room for one; the other submitter's domain is not behind all of them. */
	int turns = 0;
	bool was_served = false;

	for (int i = 0; i < count && !was_served; i++) {
		struct load *load = rig_take(&rig, open[i]);

		rig_settle(&rig, load, SETTLE_DELIVERED, "250 ok");
		scheduler_gone(rig.scheduler, open[i], true, rig.now);
		assert_true(rig_step(&rig, &action));
		assert_int_equal(action.kind, SCHEDULER_CONNECT);
		was_served = strcmp(action.lane->name, "mx:other.example") == 0;
		scheduler_ready(rig.scheduler, action.lane, rig.now);
		rig_nothing(&rig);
		turns++;
	}
	assert_true(was_served);
	assert_in_range(turns, 1, 3);
	rig_close(&rig);
}

static void lanes_wait_for_room_among_what_is_in_flight(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, CONF);
	for (uint64_t i = 0; i < SCHEDULER_FLIGHT_MAX; i++)
		flight_add(&rig.scheduler->flight, 1 + i, 0, NULL);
	mail_to(&rig, "a.example", "uid:1");
	mail_to(&rig, "b.example", "uid:2");
	rig_nothing(&rig);
	rig_nothing(&rig);
	flight_remove(&rig.scheduler->flight, 1, 0);
	rig_connect(&rig, "mx:a.example");
	rig_connect(&rig, "mx:b.example");
	rig_nothing(&rig);
	rig_close(&rig);
}

static void ten_thousand_domains_cost_little_memory_and_each_is_served(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	size_t before, with_mail, flows = sizeof(struct flow);
	uint64_t steps = 0;

	(void)state;
	rig_open(&rig, CONF);
	mail_to(&rig, "first.example", NULL);
	before = heap_bytes();
	hand_in_many(&rig, 0, MANY - 1, "uid:1");
	with_mail = heap_bytes();
	assert_int_equal(rig.scheduler->lanes.mx_count, MANY);
	print_message("%zu bytes for each domain with mail: lane %zu and flow %zu with seat %zu and texts\n",
		      (with_mail - before) / (MANY - 1), sizeof(struct lane), flows, sizeof(struct flow_seat));
	if (before) /* sanitizers have allocators of their own, which do not tell */
		assert_in_range((with_mail - before) / (MANY - 1), 300, 1300);
	while (rig_messages(&rig)) {
		if (!rig_step(&rig, &action))
			fail_msg("nothing to do with %d messages left", (int)rig_messages(&rig));
		steps++;
		scheduler_ready(rig.scheduler, action.lane, rig.now);
		rig_settle(&rig, rig_take(&rig, action.lane), SETTLE_DELIVERED, "250 ok");
		scheduler_gone(rig.scheduler, action.lane, true, rig.now);
	}
	assert_int_equal(steps, MANY);
	/* 64 flows go to rest with each turn. */
	for (int i = 0; i < 200; i++) {
		rig_pass(&rig, SCHEDULER_REST_MS);
		rig_nothing(&rig);
		rig_turn(&rig);
	}
	assert_int_equal(rig.scheduler->lanes.mx_count, 0);
	assert_int_equal(rig.scheduler->flows.count, 0);
	rig_close(&rig);
}

static void a_step_with_nothing_to_do_does_not_walk_ten_thousand_lanes(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	struct timespec from, to;

	(void)state;
	rig_open(&rig, CONF);
	hand_in_many(&rig, 0, MANY, "uid:1");
	for (int i = 0; i < MANY; i++) {
		assert_true(rig_step(&rig, &action));
		rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
	}
	for (int i = 0; i < 60; i++) {
		rig_nothing(&rig);
		rig_turn(&rig);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 100000; i++) {
		rig_nothing(&rig);
		assert_true(scheduler_deadline(rig.scheduler) > rig.now.boot_ms);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	double ns = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / 100000;

	print_message("%.0f ns for an idle step with %d failing lanes\n", ns, MANY);
	assert_true(ns < 20000); /* walking them all takes ten times as long on any machine */
	rig_close(&rig);
}

static void more_domains_than_lanes_take_turns_and_dead_ones_do_not_keep_the_others_out(void **state)
{
	struct rig rig;
	struct scheduler_action action;
	int refused = 0, delivered = 0;

	(void)state;
	rig_open(&rig, CONF);
	for (int i = 0; i < LANES_MX_MAX - 1000; i++) { /* an operator's word keeps lanes in memory */
		char name[64];

		snprintf(name, sizeof name, "mx:p%d.example", i);
		assert_true(scheduler_pause(rig.scheduler, name, "root", rig.now));
		if (i % 200 == 0) {
			rig_nothing(&rig);
			rig_turn(&rig); /* which is written */
		}
	}
	hand_in_many(&rig, 0, 1050, "uid:1");
	mail_to(&rig, "alive.example", "uid:2");
	assert_int_equal(rig.scheduler->lanes.mx_count, LANES_MX_MAX);
	/* All of the first submitter's domains are dead. */
	for (int i = 0; i < 100 && !delivered; i++) {
		while (!delivered && rig_step(&rig, &action)) {
			if (strcmp(action.lane->name, "mx:alive.example") == 0) {
				scheduler_ready(rig.scheduler, action.lane, rig.now);
				rig_settle(&rig, rig_take(&rig, action.lane), SETTLE_DELIVERED, "250 ok");
				scheduler_gone(rig.scheduler, action.lane, true, rig.now);
				delivered++;
			} else {
				rig_refuse(&rig, action.lane, TRAFFIC_LANE, false);
				refused++;
			}
			if (refused % 256 == 0)
				rig_turn(&rig);
		}
		rig_turn(&rig);
		rig_pass(&rig, 100);
		assert_in_range(rig.scheduler->lanes.mx_count, 0, LANES_MX_MAX);
	}
	assert_int_equal(delivered, 1);
	/* A dead one whose flow is away is tried again when its time comes, not before. */
	assert_true(rig.scheduler->away.count > 0);
	assert_true(heap_first(&rig.scheduler->away)->key > rig.now.boot_ms);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_has_a_lane_as_long_as_there_is_mail_for_it),
		cmocka_unit_test(what_is_under_way_keeps_its_lane),
		cmocka_unit_test(an_address_literal_needs_no_resolver),
		cmocka_unit_test(a_lane_that_left_memory_in_trouble_comes_back_with_its_backoff),
		cmocka_unit_test(mail_that_waits_for_itself_does_not_cost_the_lane_its_backoff),
		cmocka_unit_test(a_lane_whose_record_is_not_written_stays),
		cmocka_unit_test(names_of_all_lengths_are_remembered),
		cmocka_unit_test(what_is_known_of_a_domain_without_mail_is_forgotten_after_days),
		cmocka_unit_test(a_domain_can_be_paused_before_there_is_mail_for_it),
		cmocka_unit_test(a_word_to_all_lanes_reaches_those_that_are_not_in_memory),
		cmocka_unit_test(a_changed_section_of_a_domain_is_a_changed_lane),
		cmocka_unit_test(a_smart_host_behind_the_mx_takes_over),
		cmocka_unit_test(all_domains_together_have_a_bounded_number_of_connections),
		cmocka_unit_test(lanes_wait_for_room_among_what_is_in_flight),
		cmocka_unit_test(ten_thousand_domains_cost_little_memory_and_each_is_served),
		cmocka_unit_test(a_step_with_nothing_to_do_does_not_walk_ten_thousand_lanes),
		cmocka_unit_test(more_domains_than_lanes_take_turns_and_dead_ones_do_not_keep_the_others_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
