/* Why mail for a domain waits, and what is shown of domains. */
#include "delivery_rig.h"

#include "delivery/gate.h"

static const char CONF[] = "smarthost \"backup\" { host = \"192.0.2.2\" port = 25 tls = none auth = none }\n"
			   "mx { tls = none }\n"
			   "route \"all\" { via = {\"mx\"} }\n";

struct bench {
	struct rig rig;
	struct pool pool;
	struct gate gate;
	const struct traffic *traffic;
};

static void poke(void *arg)
{
	(void)arg;
}

static void open_bench(struct bench *b)
{
	*b = (struct bench){ .traffic = &b->gate.traffic };
	rig_open(&b->rig, CONF);
	b->pool = (struct pool){ .loop = loop_new(),
				 .queue = b->rig.queue,
				 .scheduler = b->rig.scheduler,
				 .settle = &b->rig.settle,
				 .poke = poke };
	pool_init(&b->pool);
	gate_init(&b->gate, &b->pool, &b->rig.bounce, b->rig.now.wall_ms);
}

static void close_bench(struct bench *b)
{
	gate_fini(&b->gate);
	pool_fini(&b->pool);
	loop_free(b->pool.loop);
	rig_close(&b->rig);
}

static uint64_t mail_to(struct bench *b, const char *domain)
{
	char target[ROUTE_LANE_SIZE];

	snprintf(target, sizeof target, "mx:%s", domain);
	return rig_mail(&b->rig, (struct rig_mail){ .target = target });
}

static struct traffic_why why(struct bench *b, uint64_t id)
{
	struct traffic_why out;

	assert_true(b->traffic->why(b->traffic->self, id, 0, &out));
	queue_view_end(b->rig.queue);
	return out;
}

static void break_down(struct bench *b, const char *text)
{
	struct lane_failure failure = { .trouble = TRAFFIC_LANE, .text = text };
	struct scheduler_action action;

	assert_true(rig_step(&b->rig, &action));
	scheduler_failed(b->rig.scheduler, action.lane, &failure, false, b->rig.now);
	scheduler_gone(b->rig.scheduler, action.lane, false, b->rig.now);
}

static void why_speaks_of_the_domain(void **state)
{
	static const struct {
		const char *error, *advice;
	} rows[] = {
		{ "mx1.example.org: connection refused", "sendoff test example.org" },
		{ "mx1.example.org: connecting timed out", "port 25" },
		{ "mx1.example.org: MTA-STS: the certificate is not for the host", "has published which servers" },
		{ "mx1.example.org: DANE: the certificate fits no TLSA record",
		  "has published what its servers' certificates" },
		{ "mx1.example.org: the server does not offer STARTTLS", "domain \"example.org\"" },
		{ "192.0.2.1:25: the source address is not one of this machine's", "check source of mx" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bench b;

		open_bench(&b);
		uint64_t id = mail_to(&b, "example.org");

		assert_string_equal(why(&b, id).text, "it is next in line for the MX of example.org");
		break_down(&b, rows[i].error);
		struct traffic_why w = why(&b, id);

		assert_int_equal(w.gate, TRAFFIC_GATE_LANE);
		assert_string_equal(w.lane, "mx:example.org");
		assert_string_equal(w.text, "the MX of example.org cannot be used just now");
		assert_string_equal(w.said, rows[i].error);
		if (!strstr(w.advice, rows[i].advice))
			fail_msg("%s: %s", rows[i].error, w.advice);
		assert_true(b.traffic->pause(b.traffic->self, "mx:example.org", "root"));
		w = why(&b, id);
		assert_int_equal(w.gate, TRAFFIC_GATE_PAUSED);
		assert_string_equal(w.text, "the MX of example.org was paused by root");
		assert_string_equal(w.advice, "sendoff resume mx:example.org lets it go on");
		close_bench(&b);
	}
}

static void why_knows_lanes_that_are_not_in_memory(void **state)
{
	struct bench b;
	struct queue_op *op;
	struct traffic_lane lane;
	(void)state;

	open_bench(&b);
	uint64_t id = rig_mail(&b.rig, (struct rig_mail){ .target = "mx:other.example", .hold_ms = 0 });

	op = queue_op_new(b.rig.queue);
	queue_op_lane(op, &(struct queue_lane){ .name = "mx:gone.example",
						.failures = 4,
						.trouble = TRAFFIC_LANE,
						.since_ms = b.rig.now.wall_ms,
						.retry_ms = b.rig.now.wall_ms + 60000,
						.error = "refused",
						.paused_by = "" });
	queue_op_flow(op, id, 0,
		      &(struct queue_flow){ .target = "mx:gone.example,backup", .submitter = "uid:1000", .band = 1 });
	queue_op_submit(op, NULL, NULL);
	scheduler_pause(b.rig.scheduler, "backup", "root", b.rig.now);
	queue_wait(b.rig.queue);
	queue_view_end(b.rig.queue);
	assert_string_equal(why(&b, id).said, "refused");
	assert_true(b.traffic->lane_named(b.traffic->self, "mx:never.example", &lane));
	assert_string_equal(lane.host, "never.example");
	assert_int_equal(lane.trouble, TRAFFIC_WELL);
	assert_false(b.traffic->lane_named(b.traffic->self, "nobody", &lane));
	assert_true(b.traffic->lane_named(b.traffic->self, "backup", &lane));
	assert_string_equal(lane.paused_by, "root");
	close_bench(&b);
}

static void status_shows_domains_in_trouble_first_and_not_all(void **state)
{
	struct bench b;
	struct traffic_lane lane;
	struct traffic_summary summary;
	struct scheduler_action action;
	char domain[32];
	size_t i = 0;
	(void)state;

	open_bench(&b);
	for (int n = 0; n < 30; n++) {
		snprintf(domain, sizeof domain, "up%d.example", n);
		mail_to(&b, domain);
		assert_true(rig_step(&b.rig, &action));
		scheduler_ready(b.rig.scheduler, action.lane, b.rig.now);
	}
	for (int n = 0; n < 40; n++) {
		snprintf(domain, sizeof domain, "down%d.example", n);
		mail_to(&b, domain);
		break_down(&b, "refused");
	}
	for (; b.traffic->lane(b.traffic->self, i, &lane); i++) {
		if (i == 0)
			assert_string_equal(lane.name, "backup");
		else if (i <= 40)
			assert_int_equal(lane.trouble, TRAFFIC_LANE);
		else
			assert_int_equal(lane.connections, 1);
	}
	assert_int_equal(i, 1 + TRAFFIC_MX_SHOWN);
	b.traffic->summary(b.traffic->self, &summary);
	assert_int_equal(summary.mx_lanes, 70);
	assert_int_equal(summary.mx_failing, 40);
	assert_int_equal(summary.mx_connections, 30);
	close_bench(&b);
}

static void why_tells_that_connections_are_scarce(void **state)
{
	struct bench b;
	struct scheduler_action action;
	char domain[32];
	uint64_t id = 0;
	(void)state;

	open_bench(&b);
	for (int n = 0; n <= LANES_MX_CONNECTIONS; n++) {
		snprintf(domain, sizeof domain, "d%d.example", n);
		id = mail_to(&b, domain);
		while (rig_step(&b.rig, &action))
			scheduler_ready(b.rig.scheduler, action.lane, b.rig.now);
	}
	struct traffic_why w = why(&b, id);

	assert_int_equal(w.gate, TRAFFIC_GATE_LINE);
	assert_string_equal(w.text, "it waits for one of the 200 connections to all domains");
	close_bench(&b);
}

static void what_people_say_of_a_lane_is_kept_when_it_is_committed(void **state)
{
	static const char *const names[] = { "backup", NULL };
	struct scheduler_action action;
	struct bench b;

	(void)state;
	open_bench(&b);
	for (size_t i = 0; i < 2; i++) {
		assert_true(b.traffic->is_kept(b.traffic->self, names[i]));
		assert_true(b.traffic->pause(b.traffic->self, names[i], "root"));
		assert_false(b.traffic->is_kept(b.traffic->self, names[i]));
		pthread_mutex_lock(&b.rig.disk);
		while (scheduler_step(b.rig.scheduler, b.rig.now, &action))
			;
		assert_false(b.traffic->is_kept(b.traffic->self, names[i]));
		pthread_mutex_unlock(&b.rig.disk);
		queue_wait(b.rig.queue);
		assert_true(b.traffic->is_kept(b.traffic->self, names[i]));
	}
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(why_speaks_of_the_domain),
		cmocka_unit_test(why_knows_lanes_that_are_not_in_memory),
		cmocka_unit_test(status_shows_domains_in_trouble_first_and_not_all),
		cmocka_unit_test(why_tells_that_connections_are_scarce),
		cmocka_unit_test(what_people_say_of_a_lane_is_kept_when_it_is_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
