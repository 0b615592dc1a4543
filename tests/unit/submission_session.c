#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "queue/queue.h"
#include "submission/submission.h"

/* Sessions over a Unix socket into a real queue; nothing delivers. */

enum { PATIENCE_MS = 10000, HISTORY_MS = 86400000 };

static const char *any[] = { "*" };

struct bench {
	char dir[64], socket[96], queue_dir[96];
	struct config config;
	struct config_listener listener;
	struct loop *loop;
	struct queue *queue;
	struct loop_io queue_io;
	struct submission *submission;
	_Atomic bool fail_commits; /* asked by the writer thread */
	bool stopped;
};

static void *hash_new(void)
{
	return crypto_sha256_new();
}

static void hash_update(void *h, const void *data, size_t len)
{
	crypto_sha256_update(h, data, len);
}

static void hash_final(void *h, uint8_t out[32])
{
	crypto_sha256_final(h, out);
}

static void hash_free(void *h)
{
	crypto_sha256_free(h);
}

static struct bench *current;

static void on_queue(struct loop_io *io, int events)
{
	(void)io;
	(void)events;
	queue_dispatch(current->queue);
}

static void on_turn_end(void *arg)
{
	(void)arg;
	queue_view_end(current->queue);
}

static bool disk_fails(void *arg, const char *what)
{
	struct bench *bench = arg;

	(void)what;
	return bench->fail_commits;
}

static int set_up(void **state)
{
	struct bench *bench = MEM_NEW(struct bench);
	char why[256] = "";
	struct queue_config queue = { .max_size_bytes = 64 << 20,
				      .max_message_bytes = 1 << 20,
				      .history_ms = HISTORY_MS,
				      .hash = { hash_new, hash_update, hash_final, hash_free },
				      .fail = disk_fails,
				      .arg = bench };

	snprintf(bench->dir, sizeof(bench->dir), "/tmp/sendoff-session-XXXXXX");
	assert_non_null(mkdtemp(bench->dir));
	snprintf(bench->socket, sizeof(bench->socket), "%s/submit", bench->dir);
	snprintf(bench->queue_dir, sizeof(bench->queue_dir), "%s/queue", bench->dir);
	queue.directory = bench->queue_dir;
	bench->listener = (struct config_listener){
		.name = "local", .socket = bench->socket, .socket_mode = 0600, .trust = true
	};
	bench->config = (struct config){
		.references = 1,
		.hostname = "agent.example.org",
		.queue = { .max_message_bytes = 1 << 20, .lifetime_ms = 432000000, .warn_after_ms = 14400000 },
		.trust = { .uids = { any, 1 } },
		.limits = { .connections = 10, .connections_per_client = 5, .recipients = 10, .errors = 5 },
		.listeners = &bench->listener,
		.listener_count = 1,
	};
	current = bench;
	bench->loop = loop_new();
	if (queue_open(&queue, &bench->queue, why, sizeof(why)) != QUEUE_OK)
		fail_msg("%s", why);
	loop_io_init(&bench->queue_io, bench->loop, queue_fd(bench->queue), on_queue);
	loop_io_set(&bench->queue_io, LOOP_READ);
	loop_on_turn_end(bench->loop, on_turn_end, NULL);
	bench->submission = submission_new(&(struct submission_setup){ .loop = bench->loop, .config = &bench->config },
					   why, sizeof(why));
	if (!bench->submission)
		fail_msg("%s", why);
	submission_start(bench->submission, bench->queue);
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;
	char command[128];

	bench->fail_commits = false;
	submission_free(bench->submission);
	for (int i = 0; i < 5; i++) /* connections that are still saying good-bye */
		loop_turn(bench->loop, 20);
	loop_io_stop(&bench->queue_io);
	queue_close(bench->queue);
	loop_free(bench->loop);
	snprintf(command, sizeof(command), "rm -rf %s", bench->dir);
	assert_int_equal(system(command), 0);
	mem_free(bench);
	return 0;
}

static int dial(struct bench *bench)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything the agent sends until `wanted` has come, or the end of the connection ("" is waited for as that). */
static const char *hear(struct bench *bench, int fd, const char *wanted)
{
	static char heard[65536];
	size_t len = 0;
	int64_t end = clock_boot_ms() + PATIENCE_MS;

	heard[0] = '\0';
	while (clock_boot_ms() < end) {
		ssize_t n = recv(fd, heard + len, sizeof(heard) - 1 - len, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			if (*wanted)
				fail_msg("the connection ended; wanted \"%s\", heard \"%s\"", wanted, heard);
			return heard;
		}
		if (n > 0) {
			len += (size_t)n;
			heard[len] = '\0';
			if (*wanted && strstr(heard, wanted))
				return heard;
			continue;
		}
		loop_turn(bench->loop, 20);
	}
	fail_msg("wanted \"%s\", heard \"%s\"", wanted, heard);
	return NULL;
}

static uint64_t messages(struct bench *bench)
{
	struct queue_stats stats;

	queue_wait(bench->queue);
	queue_stats(bench->queue, &stats);
	return stats.messages;
}

static void reload(struct bench *bench, struct config *config)
{
	char why[256] = "";

	if (submission_reload(bench->submission, config, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

static int open_transaction(struct bench *bench)
{
	int fd = dial(bench);

	hear(bench, fd, "220 ");
	say(fd, "EHLO client\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	hear(bench, fd, "\r\n354 ");
	return fd;
}

static void a_message_is_queued_with_its_envelope(void **state)
{
	struct bench *bench = *state;
	int fd = open_transaction(bench);
	struct queue_envelope envelope;
	struct queue_rcpt rcpt;
	struct queue_view *view;
	uint64_t id;

	say(fd, "Subject: hello\r\n\r\ntext\r\n.\r\n");
	assert_non_null(strstr(hear(bench, fd, "\r\n"), "250 2.0.0 queued as "));
	close(fd);
	assert_int_equal(messages(bench), 1);
	view = queue_view(bench->queue);
	assert_int_equal(queue_view_next(view, 0, &id), QUEUE_OK);
	assert_int_equal(queue_view_envelope(view, id, &envelope), QUEUE_OK);
	assert_string_equal(envelope.sender, "a@example.org");
	assert_string_equal(envelope.subject, "hello");
	assert_int_equal(envelope.uid, getuid());
	assert_int_equal(envelope.expires_ms - envelope.arrival_ms, 432000000);
	assert_int_equal(queue_view_rcpt(view, id, 0, &rcpt), QUEUE_OK);
	assert_string_equal(rcpt.address, "b@example.net");
	assert_string_equal(rcpt.flow.target, "");
	queue_view_end(bench->queue);
}

static void bare_addresses_get_this_hosts_name(void **state)
{
	struct bench *bench = *state;
	int fd = dial(bench);
	struct queue_envelope envelope;
	struct queue_rcpt rcpt;
	uint64_t id;

	say(fd, "EHLO client\r\nMAIL FROM:<cron>\r\nRCPT TO:<root>\r\nDATA\r\n");
	hear(bench, fd, "\r\n354 ");
	say(fd, "\r\ntext\r\n.\r\n");
	hear(bench, fd, "250 2.0.0 queued");
	close(fd);
	assert_int_equal(messages(bench), 1);
	assert_int_equal(queue_view_next(queue_view(bench->queue), 0, &id), QUEUE_OK);
	assert_int_equal(queue_view_envelope(queue_view(bench->queue), id, &envelope), QUEUE_OK);
	assert_string_equal(envelope.sender, "cron@agent.example.org");
	assert_int_equal(queue_view_rcpt(queue_view(bench->queue), id, 0, &rcpt), QUEUE_OK);
	assert_string_equal(rcpt.address, "root@agent.example.org");
	queue_view_end(bench->queue);
}

static void no_250_when_the_commit_fails(void **state)
{
	struct bench *bench = *state;
	int fd = open_transaction(bench);

	bench->fail_commits = true;
	say(fd, "Subject: hello\r\n\r\ntext\r\n.\r\n");
	assert_non_null(strstr(hear(bench, fd, "\r\n"), "45"));
	bench->fail_commits = false;
	say(fd, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	hear(bench, fd, "354 ");
	say(fd, "Subject: again\r\n\r\ntext\r\n.\r\n");
	hear(bench, fd, "250 2.0.0 queued");
	close(fd);
	assert_int_equal(messages(bench), 1);
}

static void a_client_that_goes_before_the_end_leaves_nothing(void **state)
{
	struct bench *bench = *state;
	int fd = open_transaction(bench);

	say(fd, "Subject: hello\r\n\r\ntext\r\n");
	loop_turn(bench->loop, 100);
	close(fd);
	for (int i = 0; i < 5; i++)
		loop_turn(bench->loop, 20);
	assert_int_equal(messages(bench), 0);
	assert_int_equal(submission_reception(bench->submission)->sessions(bench->submission), 0);
}

static void a_client_that_goes_while_its_message_is_written_is_no_harm(void **state)
{
	struct bench *bench = *state;
	int fd = open_transaction(bench);

	say(fd, "Subject: hello\r\n\r\ntext\r\n.\r\n");
	loop_turn(bench->loop, 100); /* handed to the queue, not answered yet, or just so */
	close(fd);
	for (int i = 0; i < 5; i++)
		loop_turn(bench->loop, 20);
	assert_int_equal(messages(bench), 1);
}

static void a_large_message_streams_and_a_larger_one_is_refused(void **state)
{
	struct bench *bench = *state;
	int fd = open_transaction(bench);
	char line[1024];

	memset(line, 'x', sizeof(line));
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	for (int round = 0; round < 2; round++) {
		int lines = round == 0 ? 900 : 1100;

		for (int i = 0; i < lines;) {
			ssize_t n = send(fd, line, strlen(line), MSG_NOSIGNAL);

			if (n < 0)
				loop_turn(bench->loop, 20);
			else if ((size_t)n == strlen(line))
				i++;
			else
				fail_msg("a part of a line was taken");
		}
		while (send(fd, ".\r\n", 3, MSG_NOSIGNAL) != 3)
			loop_turn(bench->loop, 20);
		hear(bench, fd, round == 0 ? "250 2.0.0 queued" : "552 5.3.4");
		if (round == 0) {
			say(fd, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
			hear(bench, fd, "354 ");
		}
	}
	close(fd);
	assert_int_equal(messages(bench), 1);
}

enum { FLOOD_CLIENTS = 5, FLOOD_BYTES = 1000000 };

/* "Subject: N" and lines that count, so that a byte out of its place shows. */
static char *numbered_message(int client)
{
	char *text = mem_alloc(FLOOD_BYTES + 64);
	size_t len = (size_t)sprintf(text, "Subject: %d\r\n\r\n", client);

	for (int i = 0; len + 40 < FLOOD_BYTES; i++)
		len += (size_t)sprintf(text + len, "client %d line %08d goes on\r\n", client, i);
	memcpy(text + len, ".\r\n", 4);
	return text;
}

static bool body_ends_with(struct bench *bench, uint64_t id, const char *sent)
{
	struct queue_body_reader reader;
	struct queue_bytes piece;
	size_t sent_len = strlen(sent) - 3; /* without the final dot */
	char *body = mem_alloc(2 * FLOOD_BYTES);
	size_t len = 0;
	bool same;

	assert_int_equal(queue_body_open(queue_view(bench->queue), id, &reader), QUEUE_OK);
	do {
		assert_int_equal(queue_body_next(&reader, queue_view(bench->queue), &piece), QUEUE_OK);
		if (piece.len)
			memcpy(body + len, piece.data, piece.len);
		len += piece.len;
	} while (piece.len);
	queue_body_close(&reader);
	same = len > sent_len && memcmp(body + len - sent_len, sent, sent_len) == 0;
	mem_free(body);
	return same;
}

static void large_messages_at_once_arrive_byte_for_byte_when_the_queue_is_busy(void **state)
{
	struct bench *bench = *state;
	char *texts[FLOOD_CLIENTS];
	size_t sent[FLOOD_CLIENTS] = { 0 };
	int fds[FLOOD_CLIENTS], left = FLOOD_CLIENTS;
	uint64_t id = 0;

	for (int i = 0; i < FLOOD_CLIENTS; i++) {
		fds[i] = open_transaction(bench);
		texts[i] = numbered_message(i);
	}
	while (left > 0) {
		left = 0;
		for (int i = 0; i < FLOOD_CLIENTS; i++) {
			size_t rest = strlen(texts[i]) - sent[i];
			ssize_t n = rest ? send(fds[i], texts[i] + sent[i], rest, MSG_NOSIGNAL) : 0;

			sent[i] += n > 0 ? (size_t)n : 0;
			left += sent[i] < strlen(texts[i]);
		}
		loop_turn(bench->loop, 5);
	}
	for (int i = 0; i < FLOOD_CLIENTS; i++) {
		hear(bench, fds[i], "250 2.0.0 queued");
		close(fds[i]);
	}
	assert_int_equal(messages(bench), FLOOD_CLIENTS);
	for (int i = 0; i < FLOOD_CLIENTS; i++) {
		struct queue_envelope envelope;

		assert_int_equal(queue_view_next(queue_view(bench->queue), id, &id), QUEUE_OK);
		assert_int_equal(queue_view_envelope(queue_view(bench->queue), id, &envelope), QUEUE_OK);
		assert_true(body_ends_with(bench, id, texts[atoi(envelope.subject)]));
	}
	queue_view_end(bench->queue);
	for (int i = 0; i < FLOOD_CLIENTS; i++)
		mem_free(texts[i]);
}

static void too_many_connections_of_one_user_are_turned_away(void **state)
{
	struct bench *bench = *state;
	int fd[6];

	for (int i = 0; i < 6; i++) {
		fd[i] = dial(bench);
		hear(bench, fd[i], i < 5 ? "220 " : "421 4.7.0 ");
	}
	close(fd[0]);
	for (int i = 0; i < 5; i++)
		loop_turn(bench->loop, 20);
	close(fd[5]);
	fd[5] = dial(bench);
	hear(bench, fd[5], "220 ");
	for (int i = 1; i < 6; i++)
		close(fd[i]);
}

static void a_loop_of_mail_is_refused(void **state)
{
	struct bench *bench = *state;
	int fd = open_transaction(bench);

	for (int i = 0; i < 51; i++)
		say(fd, "Received: from a by b; Tue, 24 Nov 2026 05:30:00 +0000\r\n");
	say(fd, "\r\ntext\r\n.\r\n");
	hear(bench, fd, "554 5.4.6 ");
	close(fd);
	assert_int_equal(messages(bench), 0);
}

static void while_closed_new_mail_is_put_off(void **state)
{
	struct bench *bench = *state;
	const struct reception *reception = submission_reception(bench->submission);
	int fd = dial(bench);

	hear(bench, fd, "220 ");
	reception->close(reception->self, true);
	say(fd, "EHLO client\r\nMAIL FROM:<a@example.org>\r\n");
	hear(bench, fd, "\r\n421 4.3.2 ");
	close(fd);
	fd = dial(bench);
	hear(bench, fd, "421 4.3.2 ");
	close(fd);
	reception->close(reception->self, false);
	fd = dial(bench);
	hear(bench, fd, "220 ");
	close(fd);
}

static void on_stopped(void *arg)
{
	((struct bench *)arg)->stopped = true;
}

static void stopping_says_421_and_ends(void **state)
{
	struct bench *bench = *state;
	int idle = dial(bench), busy = open_transaction(bench);

	hear(bench, idle, "220 ");
	submission_stop(bench->submission, on_stopped, bench);
	assert_false(bench->stopped);
	assert_non_null(strstr(hear(bench, idle, ""), "421 4.3.2 "));
	assert_non_null(strstr(hear(bench, busy, ""), "421 4.3.2 "));
	for (int i = 0; i < 50 && !bench->stopped; i++)
		loop_turn(bench->loop, 20);
	assert_true(bench->stopped);
	assert_int_equal(messages(bench), 0);
	close(idle);
	close(busy);
}

static uint32_t sessions(struct bench *bench)
{
	return submission_reception(bench->submission)->sessions(bench->submission);
}

static void one_who_never_reads_its_replies_is_dropped(void **state)
{
	struct bench *bench = *state;
	char flood[8 * 1024];
	int64_t end;
	int fd, turned_back = 0;

	for (size_t i = 0; i < sizeof(flood); i++)
		flood[i] = "HELP  \r\n"[i % 8];
	bench->config.limits.command_timeout_ms = 500;
	reload(bench, &bench->config);
	fd = dial(bench);
	hear(bench, fd, "220 ");
	while (turned_back < 20) { /* until our replies, unread, keep the agent from reading more */
		if (send(fd, flood, sizeof(flood), MSG_NOSIGNAL) < 0)
			turned_back++;
		else
			turned_back = 0;
		loop_turn(bench->loop, 5);
	}
	assert_int_equal(sessions(bench), 1);
	end = clock_boot_ms() + PATIENCE_MS / 2;
	while (sessions(bench) && clock_boot_ms() < end)
		loop_turn(bench->loop, 20);
	assert_int_equal(sessions(bench), 0);
	close(fd);
}

static void a_session_from_before_a_reload_follows_the_new_routes(void **state)
{
	struct bench *bench = *state;
	const char *via[] = { "fresh" };
	struct config_route route = { .name = "rest", .via = { via, 1 }, .target = "fresh", .lifetime_ms = 1000 };
	struct config next = bench->config;
	struct queue_rcpt rcpt;
	uint64_t id;
	int fd = open_transaction(bench);

	say(fd, "Subject: half of it\r\n");
	loop_turn(bench->loop, 20);
	next.references = 1;
	next.routes = &route;
	next.route_count = 1;
	reload(bench, &next);
	say(fd, "\r\ntext\r\n.\r\n");
	hear(bench, fd, "250 2.0.0 queued");
	close(fd);
	assert_int_equal(messages(bench), 1);
	assert_int_equal(queue_view_next(queue_view(bench->queue), 0, &id), QUEUE_OK);
	assert_int_equal(queue_view_rcpt(queue_view(bench->queue), id, 0, &rcpt), QUEUE_OK);
	assert_string_equal(rcpt.flow.target, "fresh");
	queue_view_end(bench->queue);
	for (int i = 0; i < 5; i++)
		loop_turn(bench->loop, 20);
	reload(bench, &bench->config);
}

static void garbage_never_ends_the_agent(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 20; i++) {
		char noise[512];
		int fd = dial(bench);

		crypto_random(noise, sizeof(noise));
		assert_true(send(fd, noise, sizeof(noise), MSG_NOSIGNAL) > 0);
		loop_turn(bench->loop, 20);
		loop_turn(bench->loop, 20);
		close(fd);
		loop_turn(bench->loop, 20);
	}
	assert_int_equal(messages(bench), 0);
}

#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BENCH(a_message_is_queued_with_its_envelope),
		WITH_BENCH(bare_addresses_get_this_hosts_name),
		WITH_BENCH(no_250_when_the_commit_fails),
		WITH_BENCH(a_client_that_goes_before_the_end_leaves_nothing),
		WITH_BENCH(a_client_that_goes_while_its_message_is_written_is_no_harm),
		WITH_BENCH(a_large_message_streams_and_a_larger_one_is_refused),
		WITH_BENCH(large_messages_at_once_arrive_byte_for_byte_when_the_queue_is_busy),
		WITH_BENCH(too_many_connections_of_one_user_are_turned_away),
		WITH_BENCH(a_loop_of_mail_is_refused),
		WITH_BENCH(while_closed_new_mail_is_put_off),
		WITH_BENCH(stopping_says_421_and_ends),
		WITH_BENCH(one_who_never_reads_its_replies_is_dropped),
		WITH_BENCH(a_session_from_before_a_reload_follows_the_new_routes),
		WITH_BENCH(garbage_never_ends_the_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
