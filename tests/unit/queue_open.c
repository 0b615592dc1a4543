/* Opening: a good place, one agent, a whole file, a known schema; and what is said when not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/internal.h"
#include "queue/key.h"
#include "queue/record.h"
#include "tests/unit/queue_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MS ((int64_t)1700000000000)

static int setup(void **state)
{
	struct kit *k = malloc(sizeof *k);

	kit_init(k);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	kit_fini(*state);
	free(*state);
	return 0;
}

static void directory_and_file_are_private(void **state)
{
	struct kit *k = *state;
	char dir[200];
	struct stat st;

	snprintf(dir, sizeof dir, "%s/new", k->dir);
	k->config.directory = dir;
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(kit_path(k, "new/queue.mdb"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(fcntl(store_fd(k->q->store), F_GETFD) & FD_CLOEXEC);
	kit_close(k);
	unlink(kit_path(k, "new/queue.mdb"));
	unlink(kit_path(k, "new/queue.mdb-lock"));
	unlink(kit_path(k, "new/queue.pid"));
	rmdir(dir);
}

static void a_second_agent_is_refused_and_told_which_process_is_first(void **state)
{
	struct kit *k = *state;
	struct queue *second = NULL;
	char why[256], pid[64];

	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(queue_open(&k->config, &second, why, sizeof why), QUEUE_LOCKED);
	snprintf(pid, sizeof pid, "another agent (process %ld)", (long)getpid());
	assert_non_null(strstr(why, pid));
	kit_close(k);
	assert_int_equal(kit_open(k), QUEUE_OK);
}

static void a_missing_parent_is_told_with_its_path(void **state)
{
	struct kit *k = *state;
	struct queue_config c = k->config;

	c.directory = "/nonexistent/sendoff/queue";
	assert_int_equal(queue_open(&c, &k->q, k->why, sizeof k->why), QUEUE_IO);
	assert_non_null(strstr(k->why, "/nonexistent/sendoff/queue: No such file"));
}

static void a_link_in_place_of_the_file_is_refused(void **state)
{
	struct kit *k = *state;

	assert_int_equal(symlink("/etc/passwd", kit_path(k, "queue.mdb")), 0);
	assert_int_equal(kit_open(k), QUEUE_IO);
}

/* A queue with some mail, closed again. */
static void fill(struct kit *k)
{
	assert_int_equal(kit_open(k), QUEUE_OK);
	for (int i = 0; i < 50; i++)
		assert_int_equal(kit_accept_one(k, MS + i, "mx:a", i == 20 ? 300000 : 700), QUEUE_OK);
	kit_close(k);
}

static void a_cut_file_is_told_apart_and_left_alone(void **state)
{
	struct kit *k = *state;
	struct stat before, after;

	fill(k);
	assert_int_equal(truncate(kit_path(k, "queue.mdb"), 40960), 0);
	stat(kit_path(k, "queue.mdb"), &before);
	assert_int_equal(kit_open(k), QUEUE_DAMAGED);
	assert_non_null(strstr(k->why, "queue.mdb was cut: it should have"));
	stat(kit_path(k, "queue.mdb"), &after);
	assert_int_equal(before.st_size, after.st_size);
}

static void every_length_of_a_cut_file_is_refused_or_whole(void **state)
{
	struct kit *k = *state;

	fill(k);
	for (off_t len = 8192 + 4096 * 20; len > 0; len = len > 4096 ? len - 4096 : len - 500) {
		assert_int_equal(truncate(kit_path(k, "queue.mdb"), len), 0);
		assert_int_equal(kit_open(k), QUEUE_DAMAGED);
	}
}

static void a_file_of_something_else_is_refused(void **state)
{
	struct kit *k = *state;
	FILE *f = fopen(kit_path(k, "queue.mdb"), "w");

	assert_non_null(f);
	for (int i = 0; i < 20000; i++)
		fprintf(f, "This is no queue. ");
	fclose(f);
	assert_int_equal(kit_open(k), QUEUE_DAMAGED);
	assert_non_null(strstr(k->why, "is not a queue file"));
}

static void flip(struct kit *k, off_t at, uint8_t bits)
{
	int fd = open(kit_path(k, "queue.mdb"), O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void ignore(void *arg, uint64_t id, const char *finding)
{
	(void)arg;
	(void)id;
	(void)finding;
}

/* In a child, so that a crash is seen as one. 0: opened, walked whatever is found, and closed. */
static int open_in_child(struct kit *k)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct queue_verify v = { 0 };
		enum queue_err err = kit_open(k);

		alarm(20);
		/* An older state than the last committed one would be a loss that nobody notices. */
		if (err == QUEUE_OK && kit_stats(k).messages != 50)
			_exit(98);
		while (err == QUEUE_OK && queue_verify_step(k->q, &v, ignore, NULL) == QUEUE_OK)
			queue_view_end(k->q);
		queue_close(k->q);
		_exit(err);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void no_flipped_bit_of_the_first_pages_crashes_the_opening(void **state)
{
	struct kit *k = *state;
	int refused = 0;

	fill(k);
	for (off_t page = 0; page <= 4096; page += 4096) {
		for (off_t at = page; at < page + 160; at++) {
			uint8_t bits = (uint8_t)(1 << (at % 8));
			int err;

			flip(k, at, bits);
			err = open_in_child(k);
			if (err == 98)
				print_message("byte %lld, bits %x: an older state\n", (long long)at, bits);
			assert_true(err == QUEUE_OK || err == QUEUE_DAMAGED || err == QUEUE_SCHEMA || err == QUEUE_IO ||
				    err == QUEUE_NO_MEMORY);
			refused += err != QUEUE_OK;
			flip(k, at, bits);
		}
	}
	assert_true(refused > 50);
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(kit_stats(k).messages, 50);
}

/* Where LMDB would follow a wild number: heads and offsets of pages. */
static void no_flipped_bit_of_a_small_queues_pages_crashes_it(void **state)
{
	struct kit *k = *state;
	uint64_t used, random = (uint64_t)getpid() << 20 | 1;
	int refused = 0;

	fill(k);
	assert_int_equal(kit_open(k), QUEUE_OK);
	used = kit_stats(k).used_bytes;
	kit_close(k);
	for (int i = 0; i < 160; i++) {
		off_t at;
		int err;

		random = random * 6364136223846793005u + 1442695040888963407u;
		at = (off_t)(2 + (random >> 33) % (used / 4096 - 2)) * 4096 + (off_t)(random >> 20) % 64;
		flip(k, at, (uint8_t)(1 << i % 8));
		err = open_in_child(k);
		if (err != QUEUE_OK && err != QUEUE_DAMAGED)
			print_message("bit %d of byte %lld: %d\n", i % 8, (long long)at, err);
		assert_true(err == QUEUE_OK || err == QUEUE_DAMAGED);
		refused += err == QUEUE_DAMAGED;
		flip(k, at, (uint8_t)(1 << i % 8));
	}
	assert_true(refused > 0);
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(kit_stats(k).messages, 50);
}

static void a_newer_schema_is_refused(void **state)
{
	struct kit *k = *state;
	const uint8_t schema[4] = { RECORD_SCHEMA + 1 };
	struct store_txn t;

	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(store_begin(k->q->store, NULL, &t), QUEUE_OK);
	store_put(&t, STORE_STATE, "v", 1, schema, sizeof schema);
	assert_int_equal(store_commit(&t), QUEUE_OK);
	kit_close(k);
	assert_int_equal(kit_open(k), QUEUE_SCHEMA);
	assert_non_null(strstr(k->why, "newer version"));
}

static uint8_t schema_of(struct kit *k)
{
	struct store_txn t = { 0 };
	struct queue_bytes value;
	uint8_t schema;

	assert_int_equal(store_read(k->q->store, &t), QUEUE_OK);
	assert_int_equal(store_get(&t, STORE_STATE, "v", 1, &value), QUEUE_OK);
	schema = *(const uint8_t *)value.data;
	store_read_end(&t);
	return schema;
}

/* The queue as an older agent left it: schema 1, and an envelope without the last text, or schema 2; and with either, the
 * expiry in the schedule beside the warning. */
static void make_it_old(struct kit *k, uint8_t version)
{
	const uint8_t schema[4] = { version };
	uint8_t key[KEY_MAIL], timer[KEY_TIMER], record[1024];
	struct queue_bytes value;
	struct store_txn t;
	size_t len;

	key_mail(key, k->id, KEY_ENVELOPE, 0);
	assert_int_equal(store_begin(k->q->store, NULL, &t), QUEUE_OK);
	assert_int_equal(store_get(&t, STORE_MAIL, key, sizeof key, &value), QUEUE_OK);
	len = version == 1 ? value.len - 3 : value.len;
	assert_true(len < sizeof record);
	memcpy(record, value.data, len);
	record[0] = version;
	record_seal(record, len);
	key_timer(timer, (struct queue_timer){ kit_envelope(MS).expires_ms, QUEUE_TIMER_EXPIRE, k->id });
	store_add(&t, STORE_SCHEDULE, timer, sizeof timer, "", 0);
	store_put(&t, STORE_MAIL, key, sizeof key, record, len);
	store_put(&t, STORE_STATE, "v", 1, schema, sizeof schema);
	assert_int_equal(store_commit(&t), QUEUE_OK);
}

static int count_timers(struct kit *k, uint64_t id)
{
	struct queue_timer t = { 0 };
	int count = 0;

	while (queue_view_timer(queue_view(k->q), t, &t) == QUEUE_OK)
		count += t.id == id;
	queue_view_end(k->q);
	return count;
}

static void goes_on_from(struct kit *k, uint8_t version)
{
	struct queue_envelope e;
	struct queue_op *op;
	uint64_t id;

	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(kit_accept_one(k, MS, "mx:x", 10), QUEUE_OK);
	id = k->id;
	make_it_old(k, version);
	kit_close(k);
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(schema_of(k), RECORD_SCHEMA);
	assert_int_equal(queue_view_envelope(queue_view(k->q), id, &e), QUEUE_OK);
	assert_string_equal(e.route, "");
	queue_view_end(k->q);
	assert_int_equal(model_verify(k), 0);
	assert_int_equal(count_timers(k, id), 2);
	op = queue_op_new(k->q);
	queue_op_timer(op, (struct queue_timer){ MS + 5, QUEUE_TIMER_WARN, id });
	assert_int_equal(kit_run(k, op), QUEUE_OK);
	assert_int_equal(count_timers(k, id), 2);
	assert_int_equal(model_verify(k), 0);
	/* New mail beside it is of the newest form. */
	assert_int_equal(kit_accept_one(k, MS + 1, "mx:x", 10), QUEUE_OK);
	assert_int_equal(count_timers(k, k->id), 1);
	assert_int_equal(kit_settle(k, id, (struct queue_outcome){ .kind = QUEUE_DELIVERED, .at_ms = MS }), QUEUE_OK);
	assert_int_equal(count_timers(k, id), 0);
	assert_int_equal(model_verify(k), 0);
	assert_int_equal(kit_stats(k).messages, 1);
}

static void a_queue_of_the_first_schema_is_read_and_goes_on(void **state)
{
	goes_on_from(*state, 1);
}

static void a_queue_of_the_second_schema_is_read_and_goes_on(void **state)
{
	goes_on_from(*state, 2);
}

/* Where these bytes lie in the file. */
static off_t find_bytes(struct kit *k, const void *want, size_t len)
{
	int fd = open(kit_path(k, "queue.mdb"), O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *file, *p;
	off_t at;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	file = malloc((size_t)st.st_size);
	assert_non_null(file);
	assert_int_equal(pread(fd, file, (size_t)st.st_size, 0), st.st_size);
	close(fd);
	p = memmem(file, (size_t)st.st_size, want, len);
	assert_non_null(p);
	at = p - file;
	free(file);
	return at;
}

/* Where a run of the test body lies in the file. */
static off_t find_body(struct kit *k, uint64_t seed, size_t from)
{
	uint8_t want[64];

	for (size_t i = 0; i < sizeof want; i++)
		want[i] = kit_byte(seed, from + i);
	return find_bytes(k, want, sizeof want);
}

static void hear(void *arg, uint64_t id, const char *finding)
{
	struct kit *k = arg;

	(void)id;
	snprintf(k->why, sizeof k->why, "%s", finding);
}

static void a_flipped_bit_in_a_body_withholds_its_last_chunk(void **state)
{
	struct kit *k = *state;
	struct queue_body_reader r;
	struct queue_bytes b;
	struct queue_verify v = { 0 };
	uint64_t id;

	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(kit_accept_one(k, MS, "mx:a", 200000), QUEUE_OK);
	id = k->id;
	kit_close(k);
	flip(k, find_body(k, 7, 1000), 4);
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(queue_body_open(queue_view(k->q), id, &r), QUEUE_OK);
	for (uint32_t i = 0; i < r.chunks - 1; i++)
		assert_int_equal(queue_body_next(&r, queue_view(k->q), &b), QUEUE_OK);
	assert_int_equal(queue_body_next(&r, queue_view(k->q), &b), QUEUE_CORRUPT);
	assert_int_equal(queue_body_next(&r, queue_view(k->q), &b), QUEUE_CORRUPT);
	queue_body_close(&r);
	while (queue_verify_step(k->q, &v, hear, k) == QUEUE_OK)
		;
	assert_string_equal(k->why, "the body is damaged: its checksum does not match");
	assert_int_equal(v.findings, 1);
	queue_view_end(k->q);
}

static void a_flipped_bit_in_a_record_is_damage_not_nonsense(void **state)
{
	struct kit *k = *state;
	struct queue_rcpt rcpt = kit_rcpt("somebody.with.a.rare.name@example.net", "mx:a"), r;
	uint64_t id;

	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(kit_accept(k, kit_envelope(MS), &rcpt, 1, 7, 10), QUEUE_OK);
	id = k->id;
	kit_close(k);
	flip(k, find_bytes(k, rcpt.address, 20), 1);
	assert_int_equal(kit_open(k), QUEUE_OK);
	assert_int_equal(queue_view_rcpt(queue_view(k->q), id, 0, &r), QUEUE_DAMAGED);
	queue_view_end(k->q);
	assert_int_equal(kit_settle(k, id, (struct queue_outcome){ .kind = QUEUE_DELIVERED }), QUEUE_DAMAGED);
}

static void memory_and_overlay_file_systems_are_warned_about(void **state)
{
	struct kit *k = *state;
	char dir[] = "/dev/shm/sendoff-queue-XXXXXX", path[100];
	static const char *const names[] = { "queue.mdb", "queue.mdb-lock", "queue.pid" };

	if (!mkdtemp(dir)) {
		print_message("skipped: no /dev/shm here\n");
		skip();
	}
	k->config.directory = dir;
	assert_int_equal(kit_open(k), QUEUE_OK);
	kit_close(k);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
	k->config.directory = k->dir;
	assert_non_null(strstr(k->warning, "tmpfs"));
}

static void a_backup_is_a_queue_of_its_own(void **state)
{
	struct kit *k = *state;
	struct kit copy;
	char path[300];
	uint64_t size;

	kit_init(&copy);
	fill(k);
	assert_int_equal(kit_open(k), QUEUE_OK);
	snprintf(path, sizeof path, "%s/queue.mdb", copy.dir);
	assert_int_equal(queue_backup(k->q, path), QUEUE_OK);
	assert_int_equal(queue_backup(k->q, path), QUEUE_INVALID);
	assert_int_equal(kit_open(&copy), QUEUE_OK);
	assert_int_equal(kit_stats(&copy).messages, 50);
	assert_int_equal(queue_view_next(queue_view(copy.q), 0, &k->id), QUEUE_OK);
	queue_view_end(copy.q);
	assert_int_equal(kit_read_body(&copy, k->id, 7, &size), QUEUE_OK);
	kit_fini(&copy);
}

static void errors_have_names_and_words(void **state)
{
	(void)state;
	assert_string_equal(queue_err_name(QUEUE_OK), "ok");
	assert_string_equal(queue_err_name(QUEUE_NOT_FOUND), "not_found");
	assert_string_equal(queue_err_name(QUEUE_NO_MEMORY), "no_memory");
	assert_string_equal(queue_err_name(QUEUE_STOPPING), "stopping");
	assert_string_equal(queue_err_text(QUEUE_DISK_FULL), "the disk that holds the queue is full");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(directory_and_file_are_private),
		TEST(a_second_agent_is_refused_and_told_which_process_is_first),
		TEST(a_missing_parent_is_told_with_its_path),
		TEST(a_link_in_place_of_the_file_is_refused),
		TEST(a_cut_file_is_told_apart_and_left_alone),
		TEST(every_length_of_a_cut_file_is_refused_or_whole),
		TEST(a_file_of_something_else_is_refused),
		TEST(no_flipped_bit_of_the_first_pages_crashes_the_opening),
		TEST(no_flipped_bit_of_a_small_queues_pages_crashes_it),
		TEST(a_newer_schema_is_refused),
		TEST(a_queue_of_the_first_schema_is_read_and_goes_on),
		TEST(a_queue_of_the_second_schema_is_read_and_goes_on),
		TEST(a_flipped_bit_in_a_body_withholds_its_last_chunk),
		TEST(a_flipped_bit_in_a_record_is_damage_not_nonsense),
		TEST(memory_and_overlay_file_systems_are_warned_about),
		TEST(a_backup_is_a_queue_of_its_own),
		TEST(errors_have_names_and_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
