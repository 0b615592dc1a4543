/*
 * queue_depth - what one message costs the queue, from an empty one to a deep one. Prints CSV.
 *
 *     queue_depth [options] DIRECTORY
 *       --depths 0,1000,...   where it measures (0,1000,10000,100000,300000,1000000)
 *       --groups 1,8,64       operations under way at a time
 *       --messages N          at each measurement, of one group more (2000)
 *       --bytes N             of a message (1024)
 *       --flows N             so many flows, message by message in turn (1)
 *       --drain               at the end all messages are removed, 64 at a time, and the last row tells what is left
 *       --cycles N            instead: fills to the last depth and settles all of it, N times
 *
 * At each depth and for each group: accept N messages, settle the N oldest, accept N, remove N in random places, so the
 * depth stays. Bytes and calls are those the kernel counted for write(2) and its kin; cpu_us is user and system time of
 * both threads; flushes are the device's, whoever asked for them. On a memory file system the rows show the CPU alone, on a disk the flushes too.
 */
#include "queue/queue.h"

#include "tests/bench/support/nodigest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum { LIST_MAX = 16, FILL_GROUP = 512, PAGE = 50, NAME_MAX_BYTES = 64, FLUSHES_AT = 16 };

static struct {
	unsigned long depths[LIST_MAX], groups[LIST_MAX], messages, bytes, flows, cycles;
	int depth_count, group_count;
	bool drain;
	const char *dir;
} asked = { .depths = { 0, 1000, 10000, 100000, 300000, 1000000 },
	    .depth_count = 6,
	    .groups = { 1, 8, 64 },
	    .group_count = 3,
	    .messages = 2000,
	    .bytes = 1024,
	    .flows = 1 };

static struct queue *q;
static uint8_t *body;
static int64_t now_ms = 1700000000000;
static unsigned long under_way, accepted_so_far;
static uint64_t randomness = 88172645463325252u;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "queue_depth: %s: %s\n", what, why);
	exit(1);
}

static uint64_t pick(uint64_t below)
{
	randomness ^= randomness << 13;
	randomness ^= randomness >> 7;
	randomness ^= randomness << 17;
	return (randomness >> 8) % below;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---------------------------------------------------------------- what is counted */

struct counts {
	double at_s, cpu_s;
	unsigned long long bytes, calls, flushes;
	uint64_t commits;
};

/* The number behind `name` in a file of /proc, or 0. */
static unsigned long long fact(const char *path, const char *name)
{
	char line[256];
	unsigned long long value = 0;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtoull(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return value;
}

/* Of the whole device, whoever asked for them: exact on one that nobody else uses, a loop device for example. */
static unsigned long long device_flushes(void)
{
	char path[96];
	unsigned long long value = 0;
	struct stat st;
	FILE *f;

	if (stat(asked.dir, &st) != 0)
		return 0;
	snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(st.st_dev), minor(st.st_dev));
	f = fopen(path, "re");
	for (int i = 0; f && i < FLUSHES_AT; i++)
		if (fscanf(f, "%llu", &value) != 1)
			value = 0;
	if (f)
		fclose(f);
	return value;
}

static struct counts count(void)
{
	struct rusage u;
	struct queue_stats s;
	struct counts c = { .bytes = fact("/proc/self/io", "wchar:"), .calls = fact("/proc/self/io", "syscw:") };

	getrusage(RUSAGE_SELF, &u);
	c.cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		  (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	queue_stats(q, &s);
	c.commits = s.commits;
	c.flushes = device_flushes();
	c.at_s = now_s();
	return c;
}

static void row(unsigned long depth, const char *what, unsigned long group, unsigned long messages, struct counts from)
{
	struct counts to = count();
	double n = (double)messages;
	struct queue_stats s;

	queue_stats(q, &s);
	printf("%lu,%s,%lu,%lu,%.0f,%.2f,%.0f,%.2f,%.2f,%.3f,%llu,%.1f,%.1f\n", depth, what, group, messages,
	       n / (to.at_s - from.at_s), n / (double)(to.commits - from.commits), (double)(to.bytes - from.bytes) / n,
	       (double)(to.calls - from.calls) / n, (to.cpu_s - from.cpu_s) * 1e6 / n,
	       (double)(to.flushes - from.flushes) / n, fact("/proc/self/status", "RssAnon:"),
	       (double)s.file_bytes / 1e6, (double)s.used_bytes / 1e6);
	fflush(stdout);
}

/* ---------------------------------------------------------------- operations */

static void done(void *arg, enum queue_err err, uint64_t id)
{
	(void)arg;
	(void)id;
	if (err != QUEUE_OK)
		die("operation", queue_err_text(err));
	under_way--;
}

static void turn(void)
{
	struct pollfd p = { .fd = queue_fd(q), .events = POLLIN };

	poll(&p, 1, -1);
	queue_dispatch(q);
}

static void submit(struct queue_op *op)
{
	under_way++;
	queue_op_submit(op, done, NULL);
}

static void accept_one(void)
{
	char target[NAME_MAX_BYTES];
	struct queue_envelope e = { .arrival_ms = ++now_ms,
				    .sender = "alice@example.org",
				    .submitter = "uid:1000",
				    .origin = "loopback 127.0.0.1",
				    .message_id = "<20260101.1234567890@laptop.example.org>",
				    .subject = "A message of the usual kind",
				    .warn_ms = now_ms + 14400000,
				    .expires_ms = now_ms + 432000000 };
	struct queue_rcpt rcpt = { .address = "bob@example.net", .flow = { target, "uid:1000", 1 } };
	struct queue_receipt *r = queue_receipt_new(q);
	struct queue_op *op;

	snprintf(target, sizeof target, "mx:d%lu.example", accepted_so_far++ % asked.flows);
	for (size_t at = 0, n; at < asked.bytes; at += n) {
		n = asked.bytes - at < 32768 ? asked.bytes - at : 32768;
		while (queue_receipt_append(r, body + at, n) == QUEUE_BUSY)
			turn();
	}
	op = queue_op_new(q);
	queue_op_accept(op, r, &e, &rcpt, 1);
	submit(op);
}

static void settle_one(uint64_t id)
{
	struct queue_outcome o = { .kind = QUEUE_DELIVERED,
				   .at_ms = ++now_ms,
				   .reply = "250 2.0.0 Ok: queued as 4XyZ1234",
				   .host = "smtp.example.com [192.0.2.1]:587",
				   .lane = "smarthost:home",
				   .tls = "TLSv1.3 verified" };
	struct queue_op *op = queue_op_new(q);

	queue_op_settle(op, id, &o, 1);
	submit(op);
}

static void remove_one(uint64_t id)
{
	struct queue_op *op = queue_op_new(q);

	queue_op_remove(op, id, QUEUE_ALL, "root", ++now_ms);
	submit(op);
}

static void run_accepts(unsigned long n, unsigned long group)
{
	while (n > 0 || under_way > 0) {
		for (; n > 0 && under_way < group; n--)
			accept_one();
		turn();
	}
}

/* The message after `after`, of those that no operation under way takes: these lie at or before it. */
static uint64_t next_id(uint64_t after)
{
	uint64_t id = 0;
	struct queue_view *v = queue_view(q);

	if (!v || queue_view_next(v, after, &id) != QUEUE_OK)
		id = 0;
	queue_view_end(q);
	return id;
}

static void run_oldest(unsigned long n, unsigned long group, void (*each)(uint64_t id))
{
	uint64_t id = 0;

	while (n > 0 || under_way > 0) {
		for (; n > 0 && under_way < group && (id = next_id(id)) != 0; n--)
			each(id);
		turn();
	}
}

/* In random places: a group's are all different, since it walks on from one. */
static void run_random(unsigned long n, unsigned long group, void (*each)(uint64_t id))
{
	uint64_t first = next_id(0), last = 0, id;

	while (n > 0) {
		queue_view_previous(queue_view(q), UINT64_MAX, &last);
		queue_view_end(q);
		id = 0;
		for (unsigned long i = 0; i < group && n > 0; i++, n--) {
			uint64_t step = (last - first) / group + 1, from = first + i * step;

			from = from < id ? id : from;
			id = next_id(from + pick(step));
			id = id ? id : next_id(from);
			if (!id)
				break;
			each(id);
		}
		while (under_way > 0)
			turn();
		if (!id && n > 0) {
			run_oldest(n, group, each);
			return;
		}
	}
}

/* ---------------------------------------------------------------- depths */

static unsigned long depth(void)
{
	struct queue_stats s;

	queue_stats(q, &s);
	return (unsigned long)s.messages;
}

static void open_queue(void)
{
	uint64_t deepest = asked.depths[asked.depth_count - 1] + 10 * asked.messages;
	struct queue_config c = { .directory = asked.dir,
				  .max_size_bytes = deepest * (asked.bytes + 4096) + ((uint64_t)1 << 30),
				  .history_max_bytes = (uint64_t)16 << 20,
				  .hash = nodigest };
	char why[512];

	if (queue_open(&c, &q, why, sizeof why) != QUEUE_OK)
		die("open", why);
}

static void forget_pages(void)
{
	char path[4200];
	int fd;

	snprintf(path, sizeof path, "%s/queue.mdb", asked.dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(path, strerror(errno));
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

/* A page of a listing, from the newest or from the middle. */
static void list_page(uint64_t before)
{
	struct queue_view *v = queue_view(q);
	struct queue_envelope e;
	struct queue_rcpt r;

	for (int i = 0; i < PAGE && queue_view_previous(v, before, &before) == QUEUE_OK; i++)
		if (queue_view_envelope(v, before, &e) != QUEUE_OK || queue_view_rcpt(v, before, 0, &r) != QUEUE_OK)
			die("list", "a message cannot be read");
	queue_view_end(q);
}

static void measure_open(unsigned long at, bool is_cold)
{
	const char *temper = is_cold ? "cold" : "warm";
	uint64_t first, last = 0;
	struct queue_due due;
	double t[5];

	queue_close(q);
	if (is_cold)
		forget_pages();
	t[0] = now_s();
	open_queue();
	t[1] = now_s();
	queue_view_due(queue_view(q), 1, (struct queue_due){ 0 }, &due);
	queue_view_end(q);
	t[2] = now_s();
	list_page(UINT64_MAX);
	t[3] = now_s();
	first = next_id(0);
	queue_view_previous(queue_view(q), UINT64_MAX, &last);
	queue_view_end(q);
	list_page(first + (last - first) / 2);
	t[4] = now_s();
	printf("# %lu queued, %s: open %.2f ms, first due entry %.3f ms, a page of %d %.3f ms, one in the middle %.3f ms\n",
	       at, temper, (t[1] - t[0]) * 1e3, (t[2] - t[1]) * 1e3, PAGE, (t[3] - t[2]) * 1e3, (t[4] - t[3]) * 1e3);
	fflush(stdout);
}

static void fill_to(unsigned long to)
{
	struct counts from = count();
	unsigned long had = depth();

	if (had >= to)
		return;
	run_accepts(to - had, FILL_GROUP);
	row(to, "fill", FILL_GROUP, to - had, from);
}

static void measure(unsigned long at)
{
	for (int i = 0; i < asked.group_count; i++) {
		unsigned long g = asked.groups[i], n = g * (asked.messages / 8 + 1);
		struct counts from;

		n = n > asked.messages * 4 ? asked.messages * 4 : n;
		from = count();
		run_accepts(n, g);
		row(at, "accept", g, n, from);
		from = count();
		run_oldest(n, g, settle_one);
		row(at, "settle", g, n, from);
		run_accepts(n, g);
		from = count();
		run_random(n, g, remove_one);
		row(at, "remove", g, n, from);
	}
	measure_open(at, false);
	measure_open(at, true);
}

static void drain(void)
{
	unsigned long n = depth();
	struct counts from = count();

	run_oldest(n, 64, remove_one);
	row(0, "drain", 64, n, from);
	from = count();
	run_accepts(asked.messages, 1);
	row(0, "accept", 1, asked.messages, from);
	from = count();
	run_accepts(asked.messages, 64);
	row(0, "accept", 64, asked.messages, from);
}

static void cycles(void)
{
	unsigned long n = asked.depths[asked.depth_count - 1];

	for (unsigned long i = 1; i <= asked.cycles; i++) {
		struct counts from = count();

		run_accepts(n, 64);
		row(i, "fill", 64, n, from);
		from = count();
		run_oldest(n, 64, settle_one);
		row(i, "settle", 64, n, from);
	}
}

/* ---------------------------------------------------------------- start */

static int parse_list(const char *text, unsigned long *out)
{
	int n = 0;
	char *end;

	for (; n < LIST_MAX && *text; text = *end ? end + 1 : end)
		out[n++] = strtoul(text, &end, 10);
	return n;
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--drain") == 0) {
			asked.drain = true;
			continue;
		}
		if (argv[i][0] != '-') {
			asked.dir = argv[i];
			continue;
		}
		i++;
		if (strcmp(argv[i - 1], "--depths") == 0)
			asked.depth_count = parse_list(next, asked.depths);
		else if (strcmp(argv[i - 1], "--groups") == 0)
			asked.group_count = parse_list(next, asked.groups);
		else if (strcmp(argv[i - 1], "--messages") == 0)
			asked.messages = strtoul(next, NULL, 10);
		else if (strcmp(argv[i - 1], "--bytes") == 0)
			asked.bytes = strtoul(next, NULL, 10);
		else if (strcmp(argv[i - 1], "--flows") == 0)
			asked.flows = strtoul(next, NULL, 10);
		else if (strcmp(argv[i - 1], "--cycles") == 0)
			asked.cycles = strtoul(next, NULL, 10);
		else
			die("unknown option", argv[i - 1]);
	}
	if (!asked.dir || asked.depth_count == 0 || asked.group_count == 0 || !asked.flows || !asked.messages)
		die("usage", "queue_depth [--depths L] [--groups L] [--messages N] [--bytes N] [--flows N] [--drain] "
			     "[--cycles N] DIRECTORY");
}

static void clean_up(void)
{
	static const char *const names[] = { "queue.mdb", "queue.mdb-lock", "queue.pid" };
	char path[4200];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", asked.dir, names[i]);
		unlink(path);
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	body = malloc(asked.bytes + 1);
	if (!body)
		die("memory", strerror(errno));
	for (size_t i = 0; i < asked.bytes; i++)
		body[i] = (uint8_t)pick(256);
	clean_up();
	open_queue();
	printf("depth,what,group,messages,per_s,per_commit,bytes_written,write_calls,cpu_us,flushes,rss_anon_kb,file_mb,used_mb\n");
	if (asked.cycles)
		cycles();
	for (int i = 0; i < asked.depth_count && !asked.cycles; i++) {
		fill_to(asked.depths[i]);
		measure(asked.depths[i]);
	}
	if (asked.drain)
		drain();
	queue_close(q);
	clean_up();
	free(body);
	return 0;
}
