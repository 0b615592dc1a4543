/*
 * A child under load is killed, at random moments and at random steps of the writer; the parent reopens the queue
 * and compares it with QUEUE.md: every accept that was answered is there with its bytes, every outcome that was
 * answered is in the history and its message gone, nothing is half there.
 *
 * QUEUE_KILLS=200 kills that many times (tests/crash/queue-kill), QUEUE_SEED repeats a run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/internal.h"
#include "queue/key.h"
#include "tests/unit/queue_kit.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define MS ((int64_t)1700000000000)
enum { MESSAGES = 40000, SLOTS = 16, KILLS = 12, ROUNDS_A_DIARY = 6, STEP_EXIT = 77 };

enum phase { UNUSED, SUBMITTED, ACCEPTED, SETTLING, SETTLED };

/* The child's diary, in memory that outlives it. */
struct entry {
	_Atomic int phase;
	uint64_t id, seed;
	size_t size;
};
struct diary {
	_Atomic int used;
	_Atomic int until_exit; /* calls of the hook; 0: never */
	struct entry entries[MESSAGES];
};

static struct diary *diary;
static uint64_t randomness;

static uint32_t pick(uint32_t below)
{
	randomness ^= randomness << 13;
	randomness ^= randomness >> 7;
	randomness ^= randomness << 17;
	return (uint32_t)(randomness >> 20) % below;
}

/* ---------------------------------------------------------------- the child */

static bool exit_at_step(void *arg, const char *what)
{
	(void)arg;
	(void)what;
	if (diary->until_exit > 0 && --diary->until_exit == 0)
		_exit(STEP_EXIT);
	return false;
}

static struct queue *child_queue;
static int under_way;

static void settled(void *arg, enum queue_err err, uint64_t id)
{
	struct entry *e = arg;

	(void)id;
	under_way--;
	if (err != QUEUE_OK)
		_exit(3);
	e->phase = SETTLED;
}

static void settle(struct entry *e)
{
	struct queue_op *op = queue_op_new(child_queue);
	struct queue_outcome o = { .kind = QUEUE_DELIVERED, .at_ms = MS + 1, .reply = "250 ok" };

	e->phase = SETTLING;
	under_way++;
	queue_op_settle(op, e->id, &o, 1);
	queue_op_submit(op, settled, e);
}

static void accepted(void *arg, enum queue_err err, uint64_t id)
{
	struct entry *e = arg;

	under_way--;
	if (err != QUEUE_OK || id != e->id)
		_exit(4);
	e->phase = ACCEPTED;
	if (pick(2))
		settle(e);
}

/* Feeds a message; a receipt that must wait makes the queue turn. */
static void accept_one(void)
{
	struct entry *e = &diary->entries[diary->used];
	struct queue_receipt *r = queue_receipt_new(child_queue);
	struct queue_envelope env = kit_envelope(MS);
	struct queue_rcpt rcpt = kit_rcpt("bob@example.net", "mx:example.net");
	struct queue_op *op;
	uint8_t part[8192];

	e->size = pick(6) ? pick(4000) : pick(10) ? 60000 + pick(200000) : 2500000;
	e->seed = pick(1000);
	e->id = env.id = queue_next_id(child_queue, MS);
	for (size_t at = 0, n; at < e->size; at += n) {
		n = e->size - at < sizeof part ? e->size - at : sizeof part;
		for (size_t i = 0; i < n; i++)
			part[i] = kit_byte(e->seed, at + i);
		while (queue_receipt_append(r, part, n) == QUEUE_BUSY) {
			struct pollfd p = { .fd = queue_fd(child_queue), .events = POLLIN };

			poll(&p, 1, -1);
			queue_dispatch(child_queue);
		}
	}
	if (pick(10) == 0) {
		queue_receipt_free(r); /* the client hung up */
		return;
	}
	op = queue_op_new(child_queue);
	queue_op_accept(op, r, &env, &rcpt, 1);
	e->phase = SUBMITTED;
	diary->used++;
	under_way++;
	queue_op_submit(op, accepted, e);
}

static void child(const struct kit *k)
{
	struct queue_config c = k->config;
	char why[512];

	c.fail = exit_at_step;
	c.warn = NULL;
	if (queue_open(&c, &child_queue, why, sizeof why) != QUEUE_OK)
		_exit(2);
	while (diary->used < MESSAGES - 1) {
		struct pollfd p = { .fd = queue_fd(child_queue), .events = POLLIN };

		while (under_way < SLOTS && diary->used < MESSAGES - 1)
			accept_one();
		poll(&p, 1, -1);
		queue_dispatch(child_queue);
	}
	pause();
}

/* ---------------------------------------------------------------- the parent */

static struct {
	unsigned kills, exits, accepted, settled, unanswered_kept, unanswered_lost, settling_kept, settling_gone;
} counts;

/* Messages of earlier rounds, so that later kills must keep them too. */
static void check_entry(struct kit *k, struct entry *e)
{
	struct queue_envelope env;
	struct queue_outcome o;
	uint32_t from = 0;
	uint64_t size = 0;
	enum queue_err err;
	bool is_there;

	/* Lost before its answer: its id may serve another since. */
	if (e->phase == UNUSED)
		return;
	err = queue_view_envelope(queue_view(k->q), e->id, &env);
	is_there = err == QUEUE_OK;
	assert_true(is_there || err == QUEUE_NOT_FOUND);
	if (is_there) {
		assert_int_equal(kit_read_body(k, e->id, e->seed, &size), QUEUE_OK);
		assert_int_equal(size, e->size);
	}
	switch (atomic_load(&e->phase)) {
	case SUBMITTED:
		*(is_there ? &counts.unanswered_kept : &counts.unanswered_lost) += 1;
		e->phase = is_there ? ACCEPTED : UNUSED;
		break;
	case ACCEPTED: assert_true(is_there); break;
	case SETTLING:
		*(is_there ? &counts.settling_kept : &counts.settling_gone) += 1;
		e->phase = is_there ? ACCEPTED : SETTLED;
		break;
	case SETTLED:
		assert_false(is_there);
		assert_int_equal(queue_view_history_of(queue_view(k->q), e->id, &from, &o), QUEUE_OK);
		assert_int_equal(o.kind, QUEUE_DELIVERED);
		break;
	default: fail_msg("the diary is torn");
	}
	queue_view_end(k->q);
}

static void say(void *arg, uint64_t id, const char *finding)
{
	(void)arg;
	fprintf(stderr, "verification: %llx: %s\n", (unsigned long long)id, finding);
}

/* Bodies without an owner go in the background. */
static void wait_for_sweeping(struct kit *k)
{
	for (int i = 0; i < 20000; i++) {
		const uint8_t from[KEY_NUMBER] = { 'r' };
		struct queue_bytes key;
		uint64_t body;
		enum queue_err err = store_seek(&queue_view(k->q)->txn, STORE_STATE, from, sizeof from, &key, NULL);
		bool is_clean = err == QUEUE_NOT_FOUND || (err == QUEUE_OK && !key_number_read(key, 'r', &body));

		queue_view_end(k->q);
		if (is_clean)
			return;
		poll(NULL, 0, 1);
	}
	fail_msg("interrupted receipts were not swept");
}

/* Empties the queue and begins a new diary, so that many rounds do not read the same mail again and again. */
static void begin_anew(struct kit *k)
{
	for (int i = 0; i < diary->used; i++) {
		struct entry *e = &diary->entries[i];

		counts.accepted += e->phase == ACCEPTED || e->phase == SETTLED;
		counts.settled += e->phase == SETTLED;
		if (e->phase == ACCEPTED) {
			struct queue_op *op = queue_op_new(k->q);

			queue_op_remove(op, e->id, QUEUE_ALL, "test", MS);
			queue_op_submit(op, kit_done, k);
		}
		e->phase = UNUSED;
	}
	queue_wait(k->q);
	assert_int_equal(kit_stats(k).messages, 0);
	diary->used = 0;
}

static void check_queue(struct kit *k, bool is_last)
{
	struct queue_verify v = { 0 };
	struct queue_rcpt r;
	uint64_t id = 0;
	unsigned messages = 0;

	assert_int_equal(kit_open(k), QUEUE_OK);
	for (int i = 0; i < diary->used; i++)
		check_entry(k, &diary->entries[i]);
	while (queue_view_next(queue_view(k->q), id, &id) == QUEUE_OK) {
		assert_int_equal(queue_view_rcpt(queue_view(k->q), id, 0, &r), QUEUE_OK);
		messages++;
	}
	queue_view_end(k->q);
	assert_int_equal(kit_stats(k).messages, messages);
	wait_for_sweeping(k);
	while (queue_verify_step(k->q, &v, say, NULL) == QUEUE_OK)
		queue_view_end(k->q);
	queue_view_end(k->q);
	assert_int_equal(v.findings, 0);
	if (is_last)
		begin_anew(k);
	kit_close(k);
}

/* Messages that were there before the round are settled in it or kept: the diary goes on. */
static void one_round(struct kit *k, int round, bool is_last)
{
	struct timespec t = { .tv_nsec = (long)(2 + pick(120)) * 1000000 };
	pid_t pid;
	int status;

	diary->until_exit = round % 2 ? 1 + (int)pick(4000) : 0;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		child(k);
		_exit(5);
	}
	if (round % 2 == 0)
		nanosleep(&t, NULL);
	else
		for (int i = 0; i < 3000 && waitpid(pid, &status, WNOHANG) == 0; i++)
			poll(NULL, 0, 1);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) > 0)
		;
	counts.kills++;
	check_queue(k, is_last);
}

static void a_killed_agent_keeps_every_promise(void **state)
{
	const char *given = getenv("QUEUE_SEED"), *kills = getenv("QUEUE_KILLS");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	int rounds = kills ? atoi(kills) : KILLS;
	struct kit *k = malloc(sizeof *k);

	(void)state;
	assert_non_null(k);
	diary = mmap(NULL, sizeof *diary, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(diary != MAP_FAILED);
	randomness = seed * 0x9e3779b97f4a7c15u | 1;
	kit_init(k);
	for (int i = 0; i < rounds; i++)
		one_round(k, i, i % ROUNDS_A_DIARY == ROUNDS_A_DIARY - 1 || i == rounds - 1);
	printf("QUEUE_SEED=%llu\n", (unsigned long long)seed);
	printf("%u kills: %u accepts kept, %u of them settled and gone; cut off before their answer: accepts %u kept, "
	       "%u not, outcomes %u not yet written, %u written; nothing lost, nothing half there\n",
	       counts.kills, counts.accepted, counts.settled, counts.unanswered_kept, counts.unanswered_lost,
	       counts.settling_kept, counts.settling_gone);
	assert_true(counts.accepted > 0);
	kit_fini(k);
	free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_agent_keeps_every_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
