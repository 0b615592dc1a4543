/* Full: the quota, the floor, the disk. New mail is refused with its reason; what is there can always leave. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/internal.h"
#include "tests/unit/queue_model.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MS  ((int64_t)1700000000000)
#define MIB ((uint64_t)1024 * 1024)

static int setup(void **state)
{
	struct kit *k = malloc(sizeof *k);

	kit_init(k);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	kit_close(k);
	/* What a failed test left mounted. */
	umount(k->dir);
	kit_fini(k);
	free(k);
	return 0;
}

static enum queue_err deliver(struct kit *k, uint64_t id)
{
	return kit_settle(k, id, (struct queue_outcome){ .kind = QUEUE_DELIVERED, .at_ms = MS, .reply = "250 ok" });
}

/* Everything leaves; how many messages that were. */
static int drain(struct kit *k)
{
	int count = 0;
	uint64_t id;

	while (queue_view_next(queue_view(k->q), 0, &id) == QUEUE_OK) {
		queue_view_end(k->q);
		assert_int_equal(deliver(k, id), QUEUE_OK);
		count++;
	}
	queue_view_end(k->q);
	return count;
}

static void a_message_above_the_size_limit_is_too_big(void **state)
{
	struct kit *k = *state;
	struct queue_receipt *r;

	k->config.max_message_bytes = 100000;
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(queue_admit(k->q, 100001), QUEUE_TOO_BIG);
	assert_int_equal(queue_admit(k->q, 100000), QUEUE_OK);
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 100000), QUEUE_OK);
	r = queue_receipt_new(k->q);
	assert_int_equal(kit_append(k, r, 1, 100001), QUEUE_TOO_BIG);
	assert_int_equal(queue_receipt_append(r, "x", 1), QUEUE_TOO_BIG);
	queue_receipt_free(r);
	queue_wait(k->q);
	assert_int_equal(kit_stats(k).messages, 1);
}

static void a_full_queue_refuses_mail_takes_reports_and_drains(void **state)
{
	struct kit *k = *state;
	struct queue_envelope report = kit_envelope(MS);
	struct queue_rcpt rcpt = kit_rcpt("alice@example.org", "via:home");
	int count = 0;

	k->config.max_size_bytes = MIB;
	assert_int_equal(kit_open(k), QUEUE_OK);
	while (kit_accept_one(k, MS, "mx:a", 30000) == QUEUE_OK)
		count++;
	assert_int_equal(k->err, QUEUE_QUOTA);
	assert_in_range(count, 30, 34);
	assert_int_equal(queue_admit(k->q, 30000), QUEUE_QUOTA);
	report.flags = QUEUE_REPORT;
	assert_int_equal(kit_accept(k, report, &rcpt, 1, 5, 30000), QUEUE_OK);
	assert_int_equal(kit_accept(k, report, &rcpt, 1, 5, 80000), QUEUE_OK);
	assert_int_equal(kit_accept(k, report, &rcpt, 1, 5, 80000), QUEUE_QUOTA);
	assert_true(kit_stats(k).is_full);
	assert_int_equal(drain(k), count + 2);
	assert_false(kit_stats(k).is_full);
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 30000), QUEUE_OK);
	assert_int_equal(model_verify(k), 0);
}

static void bytes_on_their_way_count_against_the_quota(void **state)
{
	struct kit *k = *state;
	struct queue_receipt *a, *b;

	k->config.max_size_bytes = MIB;
	assert_int_equal(kit_open(k), QUEUE_OK);
	a = queue_receipt_new(k->q);
	b = queue_receipt_new(k->q);
	assert_int_equal(kit_append(k, a, 1, 700000), QUEUE_OK);
	assert_int_equal(queue_admit(k->q, 700000), QUEUE_QUOTA);
	assert_int_equal(kit_append(k, b, 1, 700000), QUEUE_QUOTA);
	queue_receipt_free(b);
	queue_receipt_free(a);
	queue_wait(k->q);
	assert_int_equal(queue_admit(k->q, 700000), QUEUE_OK);
}

static void new_limits_hold_at_once(void **state)
{
	struct kit *k = *state;

	k->config.max_size_bytes = MIB;
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(queue_admit(k->q, 2 * MIB), QUEUE_QUOTA);
	k->config.max_size_bytes = 4 * MIB;
	queue_limits(k->q, &k->config);
	assert_int_equal(queue_admit(k->q, 2 * MIB), QUEUE_OK);
}

static void below_the_floor_mail_is_refused_and_what_is_there_leaves(void **state)
{
	struct kit *k = *state;

	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 3000), QUEUE_OK);
	k->config.min_free_disk_bytes = UINT64_MAX / 4;
	queue_limits(k->q, &k->config);
	assert_int_equal(queue_admit(k->q, 1), QUEUE_DISK_FULL);
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 3000), QUEUE_DISK_FULL);
	assert_true(kit_stats(k).is_full);
	assert_int_equal(drain(k), 1);
	k->config.min_free_disk_bytes = 1;
	queue_limits(k->q, &k->config);
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 3000), QUEUE_OK);
}

/* Fills a disk that ends, empties it, fills it again. */
static void fill_and_drain(struct kit *k)
{
	int first = 0, again = 0, more = 0;
	uint64_t used;

	while (kit_accept_one(k, MS, "mx:a", first % 3 ? 20000 : 200000) == QUEUE_OK)
		first++;
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 100), QUEUE_DISK_FULL);
	assert_true(first > 20);
	assert_true(kit_stats(k).is_full);
	assert_int_equal(queue_admit(k->q, 100), QUEUE_DISK_FULL);
	assert_int_equal(model_verify(k), 0);
	/* As after a restart: nothing is lost, and it can still leave. Pages of the last commits may be free again by then,
	 * for a few small ones. */
	kit_close(k);
	assert_int_equal(kit_open(k), QUEUE_OK);
	used = kit_stats(k).used_bytes;
	while (kit_accept_one(k, MS, "mx:a", 100) == QUEUE_OK)
		more++;
	assert_int_equal(k->err, QUEUE_DISK_FULL);
	/* The pages of a commit or two: the reserve is not touched by it. */
	assert_true(kit_stats(k).used_bytes - used <= 16 * 4096);
	assert_int_equal(drain(k), first + more);
	for (int i = 0; i < 10; i++) /* sweeping goes on with commits */
		(void)kit_accept_one(k, MS, "mx:a", 100);
	while (kit_accept_one(k, MS, "mx:a", again % 3 ? 20000 : 200000) == QUEUE_OK)
		again++;
	assert_true(again > first / 2);
	drain(k);
	assert_int_equal(model_verify(k), 0);
	print_message("filled with %d messages, drained, filled with %d, drained\n", first, again);
}

static void a_file_that_may_not_grow_drains(void **state)
{
	struct kit *k = *state;
	struct rlimit old, limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 24 * MIB;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(kit_open(k), QUEUE_OK);
	fill_and_drain(k);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

static void a_full_disk_drains(void **state)
{
	struct kit *k = *state;

	if (mount("tmpfs", k->dir, "tmpfs", 0, "size=24m,mode=0700") != 0) {
		print_message("skipped: no file system can be mounted here\n");
		skip();
	}
	assert_int_equal(kit_open(k), QUEUE_OK);
	fill_and_drain(k);
}

static void a_disk_without_room_for_a_queue_is_told_at_once(void **state)
{
	struct kit *k = *state;

	if (mount("tmpfs", k->dir, "tmpfs", 0, "size=16k,mode=0700") != 0) {
		print_message("skipped: no file system can be mounted here\n");
		skip();
	}
	assert_int_equal(kit_open(k), QUEUE_DISK_FULL);
	assert_non_null(strstr(k->why, "full"));
}

static void wake(void *arg)
{
	++*(int *)arg;
}

static void a_receipt_that_must_wait_is_told_when_it_can_go_on(void **state)
{
	struct kit *k = *state;
	static uint8_t part[60000];
	struct queue_receipt *r;
	struct queue_envelope e = kit_envelope(MS);
	struct queue_rcpt rcpt = kit_rcpt("bob@example.net", "mx:a");
	struct queue_op *op;
	int busy = 0, woken = 0;
	size_t sent = 0;
	uint64_t size;

	assert_int_equal(kit_open(k), QUEUE_OK);
	r = queue_receipt_new(k->q);
	queue_receipt_on_ready(r, wake, &woken);
	while (sent < 8000000) {
		enum queue_err err;

		for (size_t i = 0; i < sizeof part; i++)
			part[i] = kit_byte(1, sent + i);
		err = queue_receipt_append(r, part, sizeof part);
		if (err == QUEUE_BUSY) {
			busy++;
			/* Memory is bounded, however fast the bytes come. */
			assert_true(k->q->bytes_under_way <= INTERNAL_RECEIPT_BYTES);
			while (!queue_receipt_is_ready(r))
				queue_wait(k->q);
			continue;
		}
		assert_int_equal(err, QUEUE_OK);
		sent += sizeof part;
	}
	assert_true(busy > 0);
	assert_int_equal(woken, busy);
	op = queue_op_new(k->q);
	queue_op_accept(op, r, &e, &rcpt, 1);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(kit_read_body(k, k->id, 1, &size), QUEUE_OK);
	assert_int_equal(size, sent);
}

static void a_receipt_that_went_on_by_itself_leaves_those_that_wait_in_line(void **state)
{
	struct kit *k = *state;
	static uint8_t part[60000];
	struct queue_receipt *first, *second;
	struct queue_envelope e = kit_envelope(MS);
	struct queue_rcpt rcpt = kit_rcpt("bob@example.net", "mx:a");
	struct queue_op *op;
	int woken[2] = { 0 };

	assert_int_equal(kit_open(k), QUEUE_OK);
	first = queue_receipt_new(k->q);
	second = queue_receipt_new(k->q);
	queue_receipt_on_ready(first, wake, &woken[0]);
	queue_receipt_on_ready(second, wake, &woken[1]);
	while (queue_receipt_append(first, part, sizeof part) == QUEUE_OK)
		;
	while (queue_receipt_append(second, part, sizeof part) == QUEUE_OK)
		;
	assert_int_equal(queue_receipt_append(second, ".", 1), QUEUE_OK);
	op = queue_op_new(k->q);
	queue_op_accept(op, second, &e, &rcpt, 1);
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(woken[0], 1);
	assert_int_equal(woken[1], 0);
	queue_receipt_free(first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* LMDB's writer thread seeks and writes on the same descriptor: a position moved from here sends its pages elsewhere. */
static void facts_never_move_the_position_of_the_data_file(void **state)
{
	struct kit k;
	off_t before;
	int fd;

	(void)state;
	kit_init(&k);
	assert_int_equal(kit_open(&k), QUEUE_OK);
	assert_int_equal(kit_accept_one(&k, 1000000, "lane", 1000), QUEUE_OK);
	queue_wait(k.q);
	fd = store_fd(k.q->store);
	before = lseek(fd, 4096, SEEK_SET);
	assert_int_equal(before, 4096);
	kit_stats(&k);
	assert_int_equal(queue_admit(k.q, 1000), QUEUE_OK);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), before);
	kit_fini(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_never_move_the_position_of_the_data_file),
		TEST(a_message_above_the_size_limit_is_too_big),
		TEST(a_full_queue_refuses_mail_takes_reports_and_drains),
		TEST(bytes_on_their_way_count_against_the_quota),
		TEST(new_limits_hold_at_once),
		TEST(below_the_floor_mail_is_refused_and_what_is_there_leaves),
		TEST(a_file_that_may_not_grow_drains),
		TEST(a_full_disk_drains),
		TEST(a_disk_without_room_for_a_queue_is_told_at_once),
		TEST(a_receipt_that_must_wait_is_told_when_it_can_go_on),
		TEST(a_receipt_that_went_on_by_itself_leaves_those_that_wait_in_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
