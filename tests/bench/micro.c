/*
 * micro - engines, records and queue operations, one at a time and without a clock: what tests/bench/instructions counts.
 *
 *     micro CASE COUNT DIRECTORY      does the case's work COUNT times; DIRECTORY is for cases with a queue
 *     micro                           lists the cases
 *
 * Work that happens once (opening, a connection's greeting) is the same whatever COUNT is: whoever subtracts a run from
 * a longer one is left with the price of one. Groups of the queue are made by holding the writer's commit until they are
 * whole, so that they are the same in every run.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "bodyhash.h"
#include "config.h"
#include "delivery/scheduler.h"
#include "delivery/settle.h"
#include "log.h"
#include "message/convert.h"
#include "message/dsn.h"
#include "message/fixup.h"
#include "queue/queue.h"
#include "queue/record.h"
#include "route.h"
#include "smtp/address.h"
#include "smtp/client.h"
#include "smtp/dot.h"
#include "smtp/reply.h"
#include "smtp/server.h"

enum { GROUP = 64, BODY_BYTES = 1024, BLOCK_BYTES = 64 * 1024 };

#define WALL_MS 1764000000000

static void must(bool is_right, const char *what)
{
	if (is_right)
		return;
	fprintf(stderr, "micro: %s\n", what);
	exit(1);
}

/* A message of BODY_BYTES as a program would write it. */
static struct span letter(void)
{
	static char text[BODY_BYTES];
	static const char head[] =
		"From: Joe <joe@example.org>\r\nTo: Ann <ann@example.net>\r\nSubject: the figures\r\n"
		"Date: Mon, 24 Nov 2025 16:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n";
	static const char line[] = "The quick brown fox jumps over the lazy dog, and goes on to the next one.\r\n";
	size_t len = sizeof head - 1;

	memcpy(text, head, len);
	while (len < sizeof text - 2) {
		size_t part = sizeof line - 1 < sizeof text - 2 - len ? sizeof line - 1 : sizeof text - 2 - len;

		memcpy(text + len, line, part);
		len += part;
	}
	memcpy(text + len, "\r\n", 2);
	return (struct span){ text, sizeof text };
}

/* ---------------------------------------------------------------- engines */

static void digest(uint64_t count, const char *dir)
{
	struct span body = letter();
	struct crypto_sha256 *h = crypto_sha256_new();
	uint8_t out[CRYPTO_SHA256_LEN];

	(void)dir;
	while (count--) {
		crypto_sha256_update(h, body.data, body.len);
		crypto_sha256_final(h, out);
	}
	crypto_sha256_free(h);
}

static void addresses(uint64_t count, const char *dir)
{
	struct address address;

	(void)dir;
	while (count--)
		must(address_parse(span_str("first.last+tag@mail.example.org"), 0, &address) == ADDRESS_OK, "address");
}

static void replies(uint64_t count, const char *dir)
{
	struct reply_reader reader;
	struct reply reply;

	(void)dir;
	reply_init(&reader);
	while (count--) {
		struct span in = span_str("250 2.0.0 Ok: queued as 4XyZ1234\r\n");

		must(reply_feed(&reader, &in, &reply) == REPLY_DONE, "reply");
	}
	reply_fini(&reader);
}

static char *block(void)
{
	char *text = mem_calloc(1, BLOCK_BYTES);
	static const char line[] = "A line of seventy-six characters, as base64 and quoted-printable make them..\r\n";

	for (size_t at = 0; at < BLOCK_BYTES; at++)
		text[at] = line[at % (sizeof line - 1)];
	return text;
}

static void stuff(uint64_t count, const char *dir)
{
	char *text = block();
	struct dot_encoder encoder;
	struct buf out;

	(void)dir;
	buf_init(&out, 2 * BLOCK_BYTES);
	dot_encode_init(&encoder);
	while (count--) {
		struct span in = { text, BLOCK_BYTES };

		buf_clear(&out);
		must(dot_encode_append(&encoder, &in, &out), "room");
	}
	buf_fini(&out);
	mem_free(text);
}

static void unstuff(uint64_t count, const char *dir)
{
	char *text = block();
	struct dot_decoder decoder;
	struct span out;

	(void)dir;
	dot_decode_init(&decoder);
	while (count--) {
		struct span in = { text, BLOCK_BYTES };

		while (in.len)
			must(dot_decode(&decoder, &in, &out) == DOT_MORE, "no end");
	}
	mem_free(text);
}

static void fix(uint64_t count, const char *dir)
{
	const struct fixup_options options = {
		.hostname = "mail.example.org",
		.protocol = "ESMTP",
		.id = "4g3w7h2kq1m5x",
		.helo = "client.example.org",
		.peer = "[127.0.0.1]",
		.recipient = "ann@example.net",
		.wall_ms = WALL_MS,
		.add_date = true,
		.add_message_id = true,
	};
	struct span body = letter(), out[FIXUP_SPANS];

	(void)dir;
	while (count--) {
		struct fixup f;

		fixup_init(&f, &options);
		must(fixup_feed(&f, body, out) > 0, "fixup");
		fixup_end(&f, out);
		fixup_fini(&f);
	}
}

static void encode(uint64_t count, const char *dir)
{
	static const char text[] = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
				   "Content-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\n"
				   "Gr\xc3\xbc\xc3\x9f"
				   "e aus K\xc3\xb6ln, and a line of plain words behind it to be read as well.\r\n";
	struct buf out;

	(void)dir;
	buf_init(&out, CONVERT_OUT_MIN);
	while (count--) {
		struct convert *c = convert_new(CONVERT_7BIT);
		struct span in = { text, sizeof text - 1 };

		convert_scan(c, in);
		must(convert_scan_end(c)->needed, "8 bit");
		buf_clear(&out);
		convert_feed(c, &in, &out);
		must(convert_end(c, &out), "room");
		convert_free(c);
	}
	buf_fini(&out);
}

static void report(uint64_t count, const char *dir)
{
	const struct dsn_rcpt rcpt = { .address = "ann@example.net",
				       .action = DSN_FAILED,
				       .reply = "550 5.1.1 no such user",
				       .host = "mx.example.net [192.0.2.1]",
				       .attempts = 1 };
	const struct dsn_report r = { .hostname = "mail.example.org",
				      .from = "postmaster@example.org",
				      .sender = "joe@example.org",
				      .report_id = "r1@mail.example.org",
				      .boundary = "b0undary",
				      .id = "4g3w7h2kq1m5x",
				      .subject = "the figures",
				      .arrival_ms = WALL_MS,
				      .now_ms = WALL_MS + 60000,
				      .rcpts = &rcpt,
				      .rcpt_count = 1,
				      .header = dsn_header(letter()) };
	struct buf out;

	(void)dir;
	buf_init(&out, dsn_head_max(1));
	while (count--) {
		buf_clear(&out);
		must(dsn_head(&out, &r) && dsn_tail(&out, &r), "room");
	}
	buf_fini(&out);
}

/* ---------------------------------------------------------------- sessions */

static void server_answers(struct server *s, struct span input, struct buf *out)
{
	struct server_action a;

	for (;;) {
		switch (server_step(s, 0, &input, &a)) {
		case SERVER_NEED: must(input.len == 0, "all was taken"); return;
		case SERVER_SEND: must(buf_append_span(out, a.bytes), "room"); break;
		case SERVER_ASK_MAIL:
		case SERVER_ASK_RCPT:
		case SERVER_STORE: server_accept(s, NULL); break;
		case SERVER_BODY: break;
		case SERVER_ABORT:
		case SERVER_START_TLS:
		case SERVER_ASK_AUTH:
		case SERVER_CLOSE: must(false, "an action that nobody asked for"); return;
		}
	}
}

static const struct server_config server_config = {
	.hostname = "mail.example.org",
	.features = SERVER_FULL & ~SERVER_FUTURERELEASE,
	.ask_mail = true,
	.ask_rcpt = true,
};

/* One command at a time, as most programs talk. */
static void serve(uint64_t count, const char *dir)
{
	struct server *s = server_new(&server_config, false, 0);
	struct span body = letter();
	struct buf out;

	(void)dir;
	buf_init(&out, 65536);
	server_answers(s, span_str("EHLO client.example.org\r\n"), &out);
	while (count--) {
		buf_clear(&out);
		server_answers(s, span_str("MAIL FROM:<joe@example.org>\r\n"), &out);
		server_answers(s, span_str("RCPT TO:<ann@example.net>\r\n"), &out);
		server_answers(s, span_str("DATA\r\n"), &out);
		server_answers(s, body, &out);
		server_answers(s, span_str(".\r\n"), &out);
	}
	buf_fini(&out);
	server_free(s);
}

/* Our client and our server, the next envelope behind each body; what the server costs is in it. */
static void talk(uint64_t count, const char *dir)
{
	static const struct client_rcpt rcpt = { .address = "ann@example.net" };
	const struct client_message message = {
		.sender = "joe@example.org", .rcpts = &rcpt, .rcpt_count = 1, .size_bytes = BODY_BYTES
	};
	const struct client_config config = { .ehlo_name = "client.example.org",
					      .pipelining = true,
					      .pipeline_next = true };
	struct client *c = client_new(&config, 0);
	struct server *s = server_new(&server_config, false, 0);
	struct span body = letter();
	struct buf to_server, to_client;
	struct client_action a;
	uint64_t given = 0, done = 0;

	(void)dir;
	buf_init(&to_server, 1 << 20);
	buf_init(&to_client, 1 << 20);
	while (done < count) {
		server_answers(s, buf_span(&to_server), &to_client);
		buf_clear(&to_server);
		client_feed(c, buf_span(&to_client), 0);
		buf_clear(&to_client);
		for (client_step(c, 0, &a); a.kind != CLIENT_WAIT; client_step(c, 0, &a)) {
			must(a.kind != CLIENT_FAILED && a.kind != CLIENT_CLOSE, "the session failed");
			if (a.kind == CLIENT_SEND)
				must(buf_append_span(&to_server, a.data), "room");
			if (a.kind == CLIENT_READY && given++ < count)
				client_message(c, &message, 0);
			if (a.kind == CLIENT_WANT_BODY) {
				client_body(c, body, 0);
				client_body_end(c, 0);
			}
			done += a.kind == CLIENT_MESSAGE_DONE;
		}
	}
	buf_fini(&to_server);
	buf_fini(&to_client);
	client_free(c);
	server_free(s);
}

/* ---------------------------------------------------------------- records */

static const struct queue_envelope envelope = {
	.arrival_ms = WALL_MS,
	.sender = "joe@example.org",
	.submitter = "uid:1000",
	.uid = 1000,
	.origin = "loopback 127.0.0.1 client.example.org",
	.envid = "",
	.message_id = "1@example.org",
	.subject = "the figures",
	.route = "",
	.expires_ms = WALL_MS + 5 * 24 * 3600 * 1000LL,
	.warn_ms = WALL_MS + 4 * 3600 * 1000LL,
};
static const struct queue_rcpt recipient = {
	.address = "ann@example.net",
	.orcpt = "",
	.flow = { "work", "uid:1000", 1 },
	.due_ms = WALL_MS,
	.reply = "",
	.host = "",
};

static void records(uint64_t count, const char *dir)
{
	struct record_envelope in = { .e = envelope }, out;
	struct queue_rcpt rcpt;
	uint8_t *bytes = mem_calloc(1, record_envelope_size(&in) + record_rcpt_size(&recipient));

	(void)dir;
	while (count--) {
		record_envelope_encode(bytes, &in);
		must(record_envelope_decode((struct queue_bytes){ bytes, record_envelope_size(&in) }, &out),
		     "envelope");
		record_rcpt_encode(bytes, &recipient);
		must(record_rcpt_decode((struct queue_bytes){ bytes, record_rcpt_size(&recipient) }, &rcpt),
		     "recipient");
	}
	mem_free(bytes);
}

/* ---------------------------------------------------------------- the queue */

struct store {
	struct queue *queue;
	struct config *config;
	uint64_t *ids;
	size_t count;
	pthread_mutex_t disk; /* commits wait for it */
};

static bool wait_for_disk(void *arg, const char *what)
{
	struct store *s = arg;

	if (strcmp(what, "commit") == 0) {
		pthread_mutex_lock(&s->disk);
		pthread_mutex_unlock(&s->disk);
	}
	return false;
}

static void open_config(struct store *s, const char *dir)
{
	struct buf errors, warnings;
	char path[4096];
	FILE *file;

	buf_init(&errors, 8192);
	buf_init(&warnings, 8192);
	snprintf(path, sizeof path, "%s/micro.conf", dir);
	file = fopen(path, "w");
	must(file != NULL, "the directory cannot be written");
	fprintf(file,
		"hostname = \"mail.example.org\"\nqueue { directory = \"%s/queue\" max_size = 1G min_free_disk = 0 }\n"
		"smarthost \"work\" { host = \"127.0.0.1\" tls = none connections = 64 }\nroute \"all\" { via = {\"work\"} }\n",
		dir);
	fclose(file);
	s->config = config_load(path, &errors, &warnings);
	must(s->config != NULL, buf_cstr(&errors));
	buf_fini(&errors);
	buf_fini(&warnings);
}

static void store_open(struct store *s, const char *dir, uint64_t count)
{
	struct queue_config config = {
		.hash = bodyhash_sha256, .fail = wait_for_disk, .max_size_bytes = (uint64_t)1 << 30, .arg = s
	};
	char why[256] = "";

	*s = (struct store){ .ids = mem_calloc(count, sizeof *s->ids) };
	pthread_mutex_init(&s->disk, NULL);
	open_config(s, dir);
	config.directory = s->config->queue.directory;
	must(queue_open(&config, &s->queue, why, sizeof why) == QUEUE_OK, why);
}

static void store_close(struct store *s)
{
	queue_view_end(s->queue);
	queue_close(s->queue);
	config_unref(s->config);
	pthread_mutex_destroy(&s->disk);
	mem_free(s->ids);
}

static void fine(void *arg, enum queue_err err, uint64_t id)
{
	struct store *s = arg;

	must(err == QUEUE_OK, queue_err_text(err));
	if (id)
		s->ids[s->count++] = id;
}

/* The writer is kept busy with a commit of its own until the group behind it is whole. */
static void group_begin(struct store *s)
{
	struct queue_op *op = queue_op_new(s->queue);

	pthread_mutex_lock(&s->disk);
	queue_op_state(op, "first", (struct queue_bytes){ "x", 1 });
	queue_op_submit(op, NULL, NULL);
}

static void group_end(struct store *s)
{
	pthread_mutex_unlock(&s->disk);
	queue_wait(s->queue);
	queue_view_end(s->queue);
}

static void accept_one(struct store *s)
{
	struct queue_receipt *receipt = queue_receipt_new(s->queue);
	struct queue_op *op = queue_op_new(s->queue);
	struct span body = letter();

	must(queue_receipt_append(receipt, body.data, body.len) == QUEUE_OK, "append");
	queue_op_accept(op, receipt, &envelope, &recipient, 1);
	queue_op_submit(op, fine, s);
}

static void fill(struct store *s, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (i % GROUP == 0)
			group_begin(s);
		accept_one(s);
		if (i % GROUP == GROUP - 1 || i + 1 == count)
			group_end(s);
	}
	must(s->count == count, "all are accepted");
}

static void queue_accept(uint64_t count, const char *dir)
{
	struct store s;

	store_open(&s, dir, count);
	fill(&s, count);
	store_close(&s);
}

/* Accept and settle: what an accept costs is to be subtracted. */
static void queue_settle(uint64_t count, const char *dir)
{
	const struct queue_outcome outcome = { .kind = QUEUE_DELIVERED,
					       .at_ms = WALL_MS + 1000,
					       .reply = "250 2.0.0 Ok: queued as 4XyZ1234",
					       .host = "mx.example.net [192.0.2.1]:25",
					       .lane = "work",
					       .tls = "TLSv1.3 verified" };
	struct store s;

	store_open(&s, dir, count);
	fill(&s, count);
	for (uint64_t i = 0; i < count; i++) {
		struct queue_op *op = queue_op_new(s.queue);

		if (i % GROUP == 0)
			group_begin(&s);
		queue_op_settle(op, s.ids[i], &outcome, 1);
		queue_op_submit(op, NULL, NULL);
		if (i % GROUP == GROUP - 1 || i + 1 == count)
			group_end(&s);
	}
	store_close(&s);
}

/* Accept and read, as a page of `list` does. */
static void queue_list(uint64_t count, const char *dir)
{
	struct store s;
	uint64_t id = 0;
	struct queue_envelope e;
	struct queue_rcpt r;

	store_open(&s, dir, count);
	fill(&s, count);
	while (count--) {
		struct queue_view *view = queue_view(s.queue);

		must(queue_view_next(view, id, &id) == QUEUE_OK, "next");
		must(queue_view_envelope(view, id, &e) == QUEUE_OK, "envelope");
		must(queue_view_rcpt_from(view, id, 0, &r) == QUEUE_OK, "recipient");
	}
	store_close(&s);
}

static const struct moment later = { 1000000, WALL_MS + 1000 };

static void news(void *arg, const struct queue_news *news)
{
	scheduler_news(arg, news, later);
}

/* Accept, then all that the scheduler and settle do for a delivered message, without a connection. */
static void schedule(uint64_t count, const char *dir)
{
	struct scheduler_action action = { .lane = NULL };
	struct scheduler *scheduler;
	struct settle settle;
	struct store s;

	store_open(&s, dir, count);
	scheduler = scheduler_new(&(struct scheduler_setup){ .queue = s.queue, .config = s.config, .seed = 1 }, later);
	settle_init(&settle, s.queue, scheduler, 1);
	queue_set_watcher(s.queue, news, scheduler);
	fill(&s, count);
	must(scheduler_step(scheduler, later, &action) && action.kind == SCHEDULER_CONNECT, "a connection is wanted");
	scheduler_ready(scheduler, action.lane, later);
	for (uint64_t i = 0; i < count; i++) {
		enum queue_err err;
		struct scheduler_job *job;
		struct load *load;

		if (i % GROUP == 0)
			group_begin(&s);
		job = scheduler_take(scheduler, action.lane, later);
		must(job != NULL, "there is mail");
		load = load_new(job, queue_view(s.queue), &err);
		must(load != NULL, queue_err_text(err));
		scheduler_spoke(scheduler, action.lane, later);
		settle_rcpt(&settle, load, 0, SETTLE_DELIVERED, "250 2.0.0 Ok: queued as 4XyZ1234", "127.0.0.1:25",
			    later);
		settle_close(&settle, load, later);
		if (i % GROUP == GROUP - 1 || i + 1 == count)
			group_end(&s);
	}
	scheduler_gone(scheduler, action.lane, true, later);
	settle_fini(&settle);
	scheduler_free(scheduler);
	store_close(&s);
}

/* ---------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(uint64_t count, const char *dir);
} cases[] = {
	{ "digest", digest },
	{ "address", addresses },
	{ "reply", replies },
	{ "dot-encode-64k", stuff },
	{ "dot-decode-64k", unstuff },
	{ "fixup", fix },
	{ "convert", encode },
	{ "dsn", report },
	{ "server", serve },
	{ "client+server", talk },
	{ "records", records },
	{ "queue-accept", queue_accept },
	{ "queue-accept+settle", queue_settle },
	{ "queue-accept+list", queue_list },
	{ "queue-accept+schedule", schedule },
};
enum { CASES = sizeof cases / sizeof *cases };

int main(int argc, char **argv)
{
	log_open("stderr", "error");
	for (size_t i = 0; i < CASES; i++) {
		if (argc != 4)
			puts(cases[i].name);
		else if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run(strtoull(argv[2], NULL, 10), argv[3]);
			return 0;
		}
	}
	return argc == 1 ? 0 : 64;
}
