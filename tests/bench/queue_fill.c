/*
 * queue_fill - fills a queue that no agent has open with many waiting messages, in a minute for a million.
 *
 *     queue_fill --messages N [--bytes N] [--target LANES] [--senders N] [--submitters N] [--domains N]
 *                [--age S] [--due S] [--warn S] [--expire S] DIRECTORY
 *
 * Message I comes from s(I % senders)@sender.example, handed in by uid 1000 + I % submitters, for bI@d(I % domains).
 * example, and waits for LANES ("work"). Seconds: it arrived S ago (0), and from now on it is due (0), its sender is
 * warned (14400) and it expires (432000); a warning of 0: none.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bodyhash.h"
#include "queue/queue.h"

enum { GROUP = 512, NAME = 64 };

static struct {
	uint64_t messages, bytes, senders, submitters, domains;
	int64_t age_s, due_s, warn_s, expire_s;
	const char *target, *directory;
} asked = { .messages = 1000000,
	    .bytes = 300,
	    .senders = 1,
	    .submitters = 1,
	    .domains = 1,
	    .warn_s = 14400,
	    .expire_s = 432000,
	    .target = "work" };

static struct queue *queue;
static uint64_t under_way;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "queue_fill: %s: %s\n", what, why);
	exit(1);
}

static void parse(int argc, char **argv)
{
	int i = 1;

	for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		uint64_t number = strtoull(argv[i + 1], NULL, 10);
		int64_t seconds = strtoll(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--messages") == 0)
			asked.messages = number;
		else if (strcmp(argv[i], "--bytes") == 0)
			asked.bytes = number;
		else if (strcmp(argv[i], "--target") == 0)
			asked.target = argv[i + 1];
		else if (strcmp(argv[i], "--senders") == 0)
			asked.senders = number;
		else if (strcmp(argv[i], "--submitters") == 0)
			asked.submitters = number;
		else if (strcmp(argv[i], "--domains") == 0)
			asked.domains = number;
		else if (strcmp(argv[i], "--age") == 0)
			asked.age_s = seconds;
		else if (strcmp(argv[i], "--due") == 0)
			asked.due_s = seconds;
		else if (strcmp(argv[i], "--warn") == 0)
			asked.warn_s = seconds;
		else if (strcmp(argv[i], "--expire") == 0)
			asked.expire_s = seconds;
		else
			die(argv[i], "no such option");
	}
	if (i + 1 != argc)
		die("usage", "queue_fill --messages N [options] DIRECTORY");
	asked.directory = argv[i];
}

static void accepted(void *arg, enum queue_err err, uint64_t id)
{
	(void)arg;
	(void)id;
	if (err != QUEUE_OK)
		die("a message", queue_err_text(err));
	under_way--;
}

static void turn(void)
{
	struct pollfd p = { .fd = queue_fd(queue), .events = POLLIN };

	poll(&p, 1, -1);
	queue_dispatch(queue);
}

static void hand_in(uint64_t number, const char *body, size_t len, int64_t now_ms)
{
	char sender[NAME], submitter[NAME], recipient[NAME];
	struct queue_envelope envelope = {
		.arrival_ms = now_ms - asked.age_s * 1000,
		.sender = sender,
		.submitter = submitter,
		.uid = (uint32_t)(1000 + number % asked.submitters),
		.origin = "local",
		.envid = "",
		.message_id = "<fill@example.org>",
		.subject = "A message of the usual kind",
		.warn_ms = asked.warn_s ? now_ms + asked.warn_s * 1000 : 0,
		.expires_ms = now_ms + asked.expire_s * 1000,
	};
	struct queue_rcpt rcpt = {
		.address = recipient,
		.orcpt = "",
		.flow = { .target = asked.target, .submitter = submitter, .band = 1 },
		.due_ms = now_ms + asked.due_s * 1000,
		.reply = "",
		.host = "",
	};
	struct queue_receipt *receipt = queue_receipt_new(queue);
	struct queue_op *op = queue_op_new(queue);

	snprintf(sender, sizeof sender, "s%" PRIu64 "@sender.example", number % asked.senders);
	snprintf(submitter, sizeof submitter, "uid:%" PRIu64, 1000 + number % asked.submitters);
	snprintf(recipient, sizeof recipient, "b%" PRIu64 "@d%" PRIu64 ".example", number, number % asked.domains);
	while (queue_receipt_append(receipt, body, len) == QUEUE_BUSY)
		turn();
	queue_op_accept(op, receipt, &envelope, &rcpt, 1);
	under_way++;
	queue_op_submit(op, accepted, NULL);
}

static char *make_body(size_t *out_len)
{
	char *body = mem_alloc(asked.bytes + 128);
	size_t len = (size_t)sprintf(body, "From: <s@sender.example>\r\nSubject: filled\r\n\r\n");

	for (; len < asked.bytes; len += 2)
		memcpy(body + len, len % 72 < 2 ? "\r\n" : "ab", 2);
	*out_len = len;
	return body;
}

int main(int argc, char **argv)
{
	struct queue_config config = { .max_size_bytes = (uint64_t)64 << 30, .hash = bodyhash_sha256 };
	char why[512] = "", *body;
	int64_t now_ms = clock_wall_ms();
	size_t len;

	parse(argc, argv);
	config.directory = asked.directory;
	if (queue_open(&config, &queue, why, sizeof why) != QUEUE_OK)
		die("open", why);
	body = make_body(&len);
	for (uint64_t i = 0; i < asked.messages; i++) {
		hand_in(i, body, len, now_ms);
		while (under_way >= GROUP)
			turn();
	}
	queue_wait(queue);
	queue_close(queue);
	mem_free(body);
	return 0;
}
