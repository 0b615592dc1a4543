/*
 * queue_layout - what the queue's layout costs, on the disk it is given.
 *
 *     queue_layout DIRECTORY            the table: sizes of messages, sizes of groups, sizes of chunks
 *     queue_layout --floor DIRECTORY    bare LMDB: a group commit of the same bytes, messages a second
 *
 * Groups are made by that many operations under way at a time. Chunk sizes are measured with bare LMDB, since the
 * queue's own is fixed (RECORD_CHUNK); QUEUE.md has the figures it was chosen by.
 */
#include "queue/queue.h"

#include "tests/bench/support/nodigest.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what, const char *why)
{
	fprintf(stderr, "queue_layout: %s: %s\n", what, why);
	exit(1);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint8_t *random_bytes(size_t len)
{
	uint8_t *p = malloc(len);
	uint64_t x = 88172645463325252u;

	if (!p)
		die("memory", strerror(errno));
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
	return p;
}

/* ---------------------------------------------------------------- bare LMDB */

struct bare {
	MDB_env *env;
	MDB_dbi dbi;
	char path[4096];
};

static void check(int rc, const char *what)
{
	if (rc != 0)
		die(what, mdb_strerror(rc));
}

static void bare_open(struct bare *b, const char *dir)
{
	MDB_txn *txn;

	snprintf(b->path, sizeof b->path, "%s/bare.mdb", dir);
	check(mdb_env_create(&b->env), "create");
	check(mdb_env_set_mapsize(b->env, (size_t)16 << 30), "map");
	check(mdb_env_open(b->env, b->path, MDB_NOSUBDIR | MDB_NOTLS, 0600), b->path);
	check(mdb_txn_begin(b->env, NULL, 0, &txn), "begin");
	check(mdb_dbi_open(txn, NULL, 0, &b->dbi), "tree");
	check(mdb_txn_commit(txn), "commit");
}

static uint64_t bare_close(struct bare *b)
{
	struct stat st = { 0 };
	char lock[4200];

	mdb_env_close(b->env);
	if (stat(b->path, &st) != 0)
		die(b->path, strerror(errno));
	unlink(b->path);
	snprintf(lock, sizeof lock, "%s-lock", b->path);
	unlink(lock);
	return (uint64_t)st.st_size;
}

static void put(MDB_txn *txn, MDB_dbi dbi, uint64_t id, uint32_t n, const void *data, size_t len)
{
	uint8_t key[12];
	MDB_val k = { sizeof key, key }, v = { len, (void *)data };

	for (int i = 0; i < 8; i++)
		key[i] = (uint8_t)(id >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		key[8 + i] = (uint8_t)(n >> (24 - 8 * i));
	check(mdb_put(txn, dbi, &k, &v, 0), "put");
}

/* Messages a second of one value of `size` bytes each and 300 bytes beside it, `group` to a commit. */
static double bare_groups(const char *dir, size_t size, unsigned group, double seconds)
{
	struct bare b;
	uint8_t *data = random_bytes(size);
	double start, took;
	uint64_t id = 0;
	MDB_txn *txn;

	bare_open(&b, dir);
	start = now_s();
	do {
		check(mdb_txn_begin(b.env, NULL, 0, &txn), "begin");
		for (unsigned i = 0; i < group; i++) {
			put(txn, b.dbi, ++id, 0, data, size < 300 ? size : 300);
			put(txn, b.dbi, id, 1, data, size);
		}
		check(mdb_txn_commit(txn), "commit");
		took = now_s() - start;
	} while (took < seconds);
	bare_close(&b);
	free(data);
	return (double)id / took;
}

static void floors(const char *dir)
{
	static const unsigned groups[] = { 1, 8, 64 };

	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
		printf("floor bytes=1024 group=%u messages_per_s=%.0f\n", groups[i],
		       bare_groups(dir, 1024, groups[i], 2.0));
}

/* 10 MB messages in chunks of that size, 512 KB to a commit as a receipt does it: MB/s and the file's size per MB. */
static void chunk_size(const char *dir, size_t chunk)
{
	enum { BODY = 10 * 1024 * 1024, GROUP = 512 * 1024, MESSAGES = 16 };
	struct bare b;
	uint8_t *data = random_bytes(chunk);
	double took;
	uint64_t file;
	MDB_txn *txn = NULL;

	bare_open(&b, dir);
	took = now_s();
	for (uint64_t id = 1; id <= MESSAGES; id++) {
		size_t in_group = 0;

		for (size_t at = 0; at < BODY; at += chunk) {
			if (!txn)
				check(mdb_txn_begin(b.env, NULL, 0, &txn), "begin");
			put(txn, b.dbi, id, (uint32_t)(at / chunk), data, BODY - at < chunk ? BODY - at : chunk);
			in_group += chunk;
			if (in_group < GROUP && at + chunk < BODY)
				continue;
			check(mdb_txn_commit(txn), "commit");
			txn = NULL;
			in_group = 0;
		}
	}
	took = now_s() - took;
	file = bare_close(&b);
	printf("  %8zu %10.0f %10.2f\n", chunk, MESSAGES * (BODY / 1e6) / took,
	       (double)file / ((double)MESSAGES * BODY));
	free(data);
}

/* ---------------------------------------------------------------- the queue */

struct run {
	struct queue *q;
	const uint8_t *body;
	size_t size;
	unsigned done, failed;
	uint64_t *ids; /* of accepted messages, in order */
	int64_t now_ms;
};

struct slot {
	struct run *run;
	struct queue_receipt *receipt;
	size_t sent;
};

static void accepted(void *arg, enum queue_err err, uint64_t id)
{
	struct run *r = arg;

	r->failed += err != QUEUE_OK;
	r->ids[r->done++] = id;
}

/* Feeds one receipt until it is whole; false: the queue is busy. */
static bool feed(struct slot *s)
{
	struct run *r = s->run;
	struct queue_envelope e = { .arrival_ms = ++r->now_ms,
				    .sender = "alice@example.org",
				    .submitter = "uid:1000",
				    .origin = "loopback 127.0.0.1",
				    .message_id = "<20260101.1234567890@laptop.example.org>",
				    .subject = "A message of the usual kind",
				    .warn_ms = r->now_ms + 14400000,
				    .expires_ms = r->now_ms + 432000000 };
	struct queue_rcpt rcpt = { .address = "bob@example.net", .flow = { "via:home", "uid:1000", 1 } };
	struct queue_op *op;

	while (s->sent < r->size) {
		size_t n = r->size - s->sent < 32768 ? r->size - s->sent : 32768;

		enum queue_err err = queue_receipt_append(s->receipt, r->body + s->sent, n);

		if (err == QUEUE_BUSY)
			return false;
		if (err != QUEUE_OK)
			die("append", queue_err_text(err));
		s->sent += n;
	}
	op = queue_op_new(r->q);
	queue_op_accept(op, s->receipt, &e, &rcpt, 1);
	queue_op_submit(op, accepted, r);
	return true;
}

static void turn(struct queue *q)
{
	struct pollfd p = { .fd = queue_fd(q), .events = POLLIN };

	poll(&p, 1, -1);
	queue_dispatch(q);
}

/* `slots` clients, each with one message under way, as sessions are. */
static double run_accepts(struct run *r, unsigned slots, unsigned count)
{
	struct slot *s = calloc(slots, sizeof *s);
	unsigned started = 0, active = 0;
	double start = now_s();

	if (!s)
		die("memory", strerror(errno));
	while (r->done < count) {
		for (unsigned i = 0; i < slots; i++) {
			if (!s[i].receipt) {
				/* A slot is free when fewer are under way than there are slots. */
				if (started >= count || started - r->done >= slots)
					continue;
				s[i] = (struct slot){ .run = r, .receipt = queue_receipt_new(r->q) };
				started++;
				active++;
			}
			if (feed(&s[i])) {
				s[i].receipt = NULL;
				active--;
			}
		}
		turn(r->q);
	}
	free(s);
	return count / (now_s() - start);
}

static void settled(void *arg, enum queue_err err, uint64_t id)
{
	struct run *r = arg;

	(void)id;
	r->failed += err != QUEUE_OK;
	r->done++;
}

static double run_settles(struct run *r, unsigned slots, unsigned count)
{
	struct queue_outcome o = { .kind = QUEUE_DELIVERED,
				   .reply = "250 2.0.0 Ok: queued as 4XyZ1234",
				   .host = "smtp.example.com [192.0.2.1]:587",
				   .lane = "smarthost:home",
				   .tls = "TLSv1.3 verified" };
	unsigned started = 0;
	double start = now_s();

	r->done = 0;
	while (r->done < count) {
		for (; started < count && started - r->done < slots; started++) {
			struct queue_op *op = queue_op_new(r->q);

			o.at_ms = r->now_ms + started;
			queue_op_settle(op, r->ids[started], &o, 1);
			queue_op_submit(op, settled, r);
		}
		turn(r->q);
	}
	return count / (now_s() - start);
}

static void queue_row(const char *dir, size_t size, unsigned slots, unsigned count)
{
	char path[4000], file[4200], why[512];
	struct queue_config c = { .directory = path, .max_size_bytes = (uint64_t)16 << 30, .hash = nodigest };
	struct run r = { .size = size, .now_ms = 1700000000000 };
	struct queue_stats before, between, after;
	double accepts, settles;
	uint8_t *body = random_bytes(size);

	snprintf(path, sizeof path, "%s/queue", dir);
	if (queue_open(&c, &r.q, why, sizeof why) != QUEUE_OK)
		die("open", why);
	r.ids = calloc(count, sizeof *r.ids);
	r.body = body;
	queue_stats(r.q, &before);
	accepts = run_accepts(&r, slots, count);
	queue_stats(r.q, &between);
	settles = run_settles(&r, slots, count);
	queue_stats(r.q, &after);
	printf("  %9zu %6u %10.0f %10.0f %9.1f %9.1f %8.2f\n", size, slots, accepts, settles,
	       (double)count / (double)(between.commits - before.commits),
	       (double)count / (double)(after.commits - between.commits),
	       (double)between.used_bytes / ((double)size * count));
	if (r.failed)
		die("operations", "failed");
	queue_close(r.q);
	free(r.ids);
	free(body);
	for (const char *const *name = (const char *const[]){ "queue.mdb", "queue.mdb-lock", "queue.pid", NULL }; *name;
	     name++) {
		snprintf(file, sizeof file, "%s/%s", path, *name);
		unlink(file);
	}
	rmdir(path);
}

static void table(const char *dir)
{
	static const size_t chunks[] = { 2000, 8176, 16368, 32752, 65520, 131056, 262128, 1048560, 10485760 };

	printf("the queue: messages a second; messages a commit; bytes of the file in use per byte of body\n");
	printf("  %9s %6s %10s %10s %9s %9s %8s\n", "bytes", "clients", "accept/s", "settle/s", "a commit", "a commit",
	       "file");
	queue_row(dir, 1024, 1, 3000);
	queue_row(dir, 1024, 10, 20000);
	queue_row(dir, 1024, 100, 60000);
	queue_row(dir, 100 * 1024, 10, 2000);
	queue_row(dir, 100 * 1024, 100, 4000);
	queue_row(dir, 10 * 1024 * 1024, 10, 80);
	printf("bare LMDB, 10 MB bodies in chunks: MB a second, bytes of the file per byte of body\n");
	printf("  %8s %10s %10s\n", "chunk", "MB/s", "file");
	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
		chunk_size(dir, chunks[i]);
	floors(dir);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--floor") == 0)
		floors(argv[2]);
	else if (argc == 2)
		table(argv[1]);
	else
		die("usage", "queue_layout [--floor] DIRECTORY");
	return 0;
}
