/* Counts of TLS sessions in the queue's state: kept, found, bounded and forgotten. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bodyhash.h"
#include "delivery/tlsrpt_store.h"

static char folder[64];
static struct queue *queue;
static struct tlsrpt_store store;
static unsigned writes;

static void on_written(void *arg)
{
	(void)arg;
	writes++;
}

static int setup(void **state)
{
	struct queue_config config = { .directory = folder, .hash = bodyhash_sha256 };
	char why[256] = "";

	(void)state;
	snprintf(folder, sizeof folder, "/tmp/sendoff-store-XXXXXX");
	assert_non_null(mkdtemp(folder));
	if (queue_open(&config, &queue, why, sizeof why) != QUEUE_OK)
		fail_msg("%s", why);
	tlsrpt_store_init(&store, queue, on_written, NULL);
	writes = 0;
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	tlsrpt_store_fini(&store);
	queue_view_end(queue);
	queue_close(queue);
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	return system(command);
}

static void settle(void)
{
	queue_view_end(queue);
	queue_wait(queue);
	queue_view_end(queue);
}

static void save_all(void)
{
	while (tlsrpt_store_save(&store))
		settle();
}

static void note(int64_t day, const char *domain)
{
	struct tlspolicy plain = { .level = TLSPOLICY_OPPORTUNISTIC };
	struct tlsrpt_session session = { .domain = domain, .policy = &plain, .ok = true, .text = "" };
	struct tlsrpt_count *count = tlsrpt_store_find(&store, day, domain, true);

	assert_non_null(count);
	tlsrpt_count_note(count, &session, false);
	tlsrpt_store_touch(&store, count);
}

static uint64_t sessions(int64_t day, const char *domain)
{
	struct tlsrpt_count *count = tlsrpt_store_find(&store, day, domain, false);

	return count ? count->policies[0]->success : 0;
}

static void start_anew(void)
{
	tlsrpt_store_fini(&store);
	settle();
	tlsrpt_store_init(&store, queue, on_written, NULL);
}

static void what_is_counted_is_found_again_after_a_restart(void **state)
{
	char name[QUEUE_STATE_NAME_SIZE] = "", longest[254];

	(void)state;
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	note(20000, "a.example");
	note(20000, "a.example");
	note(20001, "a.example");
	note(20000, "b.example");
	note(20000, longest);
	save_all();
	assert_int_equal(writes, 1);
	assert_false(tlsrpt_store_save(&store)); /* nothing happened: nothing is written */
	note(20000, "b.example");
	start_anew(); /* writes what was not written yet */
	assert_int_equal(sessions(20000, "a.example"), 2);
	assert_int_equal(sessions(20001, "a.example"), 1);
	assert_int_equal(sessions(20000, "b.example"), 2);
	assert_int_equal(sessions(20000, longest), 1);
	assert_int_equal(sessions(20002, "a.example"), 0);
	assert_string_equal(tlsrpt_store_next(&store, 20000, name)->domain, "a.example");
	assert_string_equal(tlsrpt_store_next(&store, 20000, name)->domain, "b.example");
	assert_string_equal(tlsrpt_store_next(&store, 20000, name)->domain, longest);
	assert_null(tlsrpt_store_next(&store, 20000, name));
}

static void a_day_has_room_for_so_many_domains_also_after_a_restart(void **state)
{
	char domain[64];

	(void)state;
	for (int i = 0; i < TLSRPT_DOMAINS; i++) {
		snprintf(domain, sizeof domain, "d%d.example", i);
		note(20000, domain);
		if (i % 500 == 499)
			save_all();
	}
	assert_null(tlsrpt_store_find(&store, 20000, "one.more.example", true));
	note(20000, "d7.example");
	start_anew();
	note(20001, "one.more.example");
	assert_null(tlsrpt_store_find(&store, 20000, "one.more.example", true));
	assert_int_equal(sessions(20000, "d7.example"), 2);
	/* Memory holds the latest used only. */
	for (int i = 0; i < TLSRPT_DOMAINS; i++) {
		snprintf(domain, sizeof domain, "d%d.example", i);
		assert_true(sessions(20000, domain) >= 1);
	}
	assert_true(store.bytes < TLSRPT_STORE_BYTES + 65536);
}

static void days_are_forgotten_after_a_week(void **state)
{
	(void)state;
	for (int64_t day = 20000; day < 20010; day++)
		note(day, "a.example");
	save_all();
	while (tlsrpt_store_sweep(&store, 20009))
		settle();
	settle();
	start_anew();
	for (int64_t day = 20000; day < 20010; day++)
		assert_int_equal(sessions(day, "a.example"), day >= 20009 - TLSRPT_STORE_DAYS);
}

static void a_report_of_ours_is_known_as_long_as_it_waits(void **state)
{
	struct queue_envelope envelope = { .id = queue_next_id(queue, 1000),
					   .arrival_ms = 1000,
					   .sender = "",
					   .submitter = "self",
					   .origin = "",
					   .envid = "",
					   .message_id = "",
					   .subject = "",
					   .route = "",
					   .expires_ms = 100000 };
	struct queue_rcpt rcpt = {
		.address = "tls@a.example", .orcpt = "", .flow = { "x", "self", 1 }, .reply = "", .host = ""
	};
	struct queue_op *op = queue_op_new(queue);
	struct queue_receipt *receipt = queue_receipt_new(queue);

	(void)state;
	assert_int_equal(queue_receipt_append(receipt, "x\r\n", 3), QUEUE_OK);
	tlsrpt_store_put_mail(&store, op, "a.example", envelope.id);
	queue_op_accept(op, receipt, &envelope, &rcpt, 1);
	queue_op_submit(op, NULL, NULL);
	settle();
	assert_true(tlsrpt_store_has_mail(&store, "a.example"));
	assert_false(tlsrpt_store_has_mail(&store, "b.example"));
	while (tlsrpt_store_sweep(&store, 20000))
		settle();
	settle();
	assert_true(tlsrpt_store_has_mail(&store, "a.example"));
	op = queue_op_new(queue);
	queue_op_remove(op, envelope.id, QUEUE_ALL, "test", 2000);
	queue_op_submit(op, NULL, NULL);
	settle();
	assert_false(tlsrpt_store_has_mail(&store, "a.example"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(what_is_counted_is_found_again_after_a_restart),
		TEST(a_day_has_room_for_so_many_domains_also_after_a_restart),
		TEST(days_are_forgotten_after_a_week),
		TEST(a_report_of_ours_is_known_as_long_as_it_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
