#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "bodyhash.h"
#include "queue/queue.h"
#include "submission/submission.h"

/* Sessions over a Unix socket into a real queue; nothing delivers. */

enum { PATIENCE_MS = 10000, HISTORY_MS = 86400000 };

static const char *any[] = { "*" }, *here[] = { "127.0.0.1/32" }, *any_port[] = { "127.0.0.1:0" },
		  *networks[] = { "192.0.2.0/24" };

struct bench {
	char dir[64], socket[96], queue_dir[96], aliases[96], users[96];
	struct config config;
	struct config_listener listeners[3]; /* local; balanced, behind a proxy; office, for those who log in */
	int ports[3];                        /* of those over TCP */
	struct config_submitter submitter;   /* counts when submitter_count is set */
	struct config_identity identity;     /* likewise */
	struct loop *loop;
	struct queue *queue;
	struct loop_io queue_io;
	struct submission *submission;
	_Atomic bool fail_commits; /* asked by the writer thread */
	bool stopped;
};

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

/* As they were bound. */
static void find_ports(struct bench *bench)
{
	struct buf names;
	char path[128];

	buf_init(&names, 1024);
	submission_names(bench->submission, &names);
	assert_int_equal(sscanf(buf_cstr(&names), "%127[^,], 127.0.0.1:%d, 127.0.0.1:%d", path, &bench->ports[1],
				&bench->ports[2]),
			 3);
	buf_fini(&names);
}

static int set_up(void **state)
{
	struct bench *bench = MEM_NEW(struct bench);
	char why[256] = "";
	struct queue_config queue = { .max_size_bytes = 64 << 20,
				      .max_message_bytes = 1 << 20,
				      .history_ms = HISTORY_MS,
				      .hash = bodyhash_sha256,
				      .fail = disk_fails,
				      .arg = bench };

	snprintf(bench->dir, sizeof(bench->dir), "/tmp/sendoff-session-XXXXXX");
	assert_non_null(mkdtemp(bench->dir));
	snprintf(bench->socket, sizeof(bench->socket), "%s/submit", bench->dir);
	snprintf(bench->queue_dir, sizeof(bench->queue_dir), "%s/queue", bench->dir);
	snprintf(bench->users, sizeof(bench->users), "%s/users", bench->dir);
	queue.directory = bench->queue_dir;
	bench->listeners[0] = (struct config_listener){
		.name = "local", .socket = bench->socket, .socket_mode = 0600, .trust = true
	};
	bench->listeners[1] = (struct config_listener){
		.name = "balanced", .addresses = { any_port, 1 }, .proxy = { here, 1 }, .trust = true
	};
	bench->listeners[2] = (struct config_listener){ .name = "office",
							.addresses = { any_port, 1 },
							.auth = CONFIG_LOGIN_OPTIONAL,
							.users = bench->users,
							.trust = true };
	bench->submitter = (struct config_submitter){ .name = "web", .at = { "sendoff.conf", 7 } };
	bench->config = (struct config){
		.references = 1,
		.hostname = "agent.example.org",
		.queue = { .max_message_bytes = 1 << 20, .lifetime_ms = 432000000, .warn_after_ms = 14400000 },
		.trust = { .uids = { any, 1 }, .networks = { networks, 1 } },
		.limits = { .connections = 10, .connections_per_client = 5, .recipients = 10, .errors = 5 },
		.listeners = bench->listeners,
		.listener_count = 3,
		.submitters = &bench->submitter,
		.identities = &bench->identity,
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
	find_ports(bench);
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

/* Over TCP to one of the other listeners. */
static int dial_tcp(struct bench *bench, int listener)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)bench->ports[listener]),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

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

/* ---------------------------------------------------------------- the rules */

/* All of it at once; hears until the answer to its end. */
static const char *talk(struct bench *bench, int fd, const char *text)
{
	static char said[4096];

	snprintf(said, sizeof(said), "%sNOOP ends here\r\n", text);
	say(fd, said);
	return hear(bench, fd, "250 2.0.0 ");
}

static int greeted(struct bench *bench)
{
	int fd = dial(bench);

	hear(bench, fd, "220 ");
	say(fd, "EHLO client\r\n");
	hear(bench, fd, "250 ");
	return fd;
}

/* Sends a message and returns the newest envelope; its view ends at the next turn. */
static struct queue_envelope queued(struct bench *bench, int fd, const char *mail, const char *rcpt,
				    const char *message)
{
	struct queue_envelope envelope;
	char text[2048];
	uint64_t id;

	snprintf(text, sizeof(text), "MAIL FROM:%s\r\nRCPT TO:%s\r\nDATA\r\n", mail, rcpt);
	say(fd, text);
	hear(bench, fd, "354 ");
	say(fd, message);
	say(fd, "\r\n.\r\n");
	hear(bench, fd, "queued as ");
	messages(bench);
	assert_int_equal(queue_view_previous(queue_view(bench->queue), UINT64_MAX, &id), QUEUE_OK);
	assert_int_equal(queue_view_envelope(queue_view(bench->queue), id, &envelope), QUEUE_OK);
	return envelope;
}

static struct queue_rcpt rcpt_of(struct bench *bench, uint64_t id, uint32_t n)
{
	struct queue_rcpt rcpt;

	assert_int_equal(queue_view_rcpt(queue_view(bench->queue), id, n, &rcpt), QUEUE_OK);
	return rcpt;
}

/* The newest message as it is stored. */
static const char *body(struct bench *bench)
{
	static char text[65536];
	struct queue_body_reader reader;
	struct queue_bytes piece;
	size_t len = 0;
	uint64_t id;

	assert_int_equal(queue_view_previous(queue_view(bench->queue), UINT64_MAX, &id), QUEUE_OK);
	assert_int_equal(queue_body_open(queue_view(bench->queue), id, &reader), QUEUE_OK);
	do {
		assert_int_equal(queue_body_next(&reader, queue_view(bench->queue), &piece), QUEUE_OK);
		assert_true(len + piece.len < sizeof(text));
		if (piece.len)
			memcpy(text + len, piece.data, piece.len);
		len += piece.len;
	} while (piece.len);
	queue_body_close(&reader);
	text[len] = '\0';
	return text;
}

static void what_the_client_asks_for_is_in_the_envelope(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);
	struct queue_envelope e = queued(
		bench, fd, "<a@example.org> RET=HDRS ENVID=QQ+3D1 MT-PRIORITY=3 BODY=8BITMIME HOLDFOR=3600 BY=7200;R",
		"<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first@example.org", "Subject: x\r\n\r\ntext");
	struct queue_rcpt r = rcpt_of(bench, e.id, 0);

	assert_string_equal(e.envid, "QQ=1");
	assert_int_equal(e.ret, QUEUE_RET_HDRS);
	assert_int_equal(e.priority, 3);
	assert_int_equal(e.body, QUEUE_BODY_8BIT);
	assert_int_equal(e.flags, QUEUE_BY_RETURN);
	assert_true(e.hold_until_ms - e.arrival_ms > 3590000 && e.hold_until_ms - e.arrival_ms <= 3600000);
	assert_true(e.expires_ms == e.deliver_by_ms && e.deliver_by_ms - e.arrival_ms <= 7200000);
	assert_int_equal(r.notify, QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY);
	assert_string_equal(r.orcpt, "rfc822;first@example.org");
	assert_int_equal(r.flow.band, 0);
	assert_true(r.due_ms == e.hold_until_ms);
	close(fd);
}

static void smtputf8_is_kept_for_a_header_that_needs_it(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);

	assert_int_equal(queued(bench, fd, "<a@example.org> SMTPUTF8 BODY=8BITMIME", "<b@example.net>",
				"Subject: gr\xc3\xbc\xc3\x9f\r\n\r\ntext")
				 .flags,
			 QUEUE_SMTPUTF8);
	assert_int_equal(queued(bench, fd, "<a@example.org> SMTPUTF8 BODY=8BITMIME", "<b@example.net>",
				"Subject: x\r\n\r\ngr\xc3\xbc\xc3\x9f")
				 .flags,
			 0);
	close(fd);
}

static void a_binary_message_in_chunks_is_kept_as_it_is(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);

	say(fd,
	    "MAIL FROM:<a@example.org> BODY=BINARYMIME\r\nRCPT TO:<b@example.net>\r\nBDAT 13\r\nA: b\r\n\r\n\n.\n\r.");
	say(fd, "BDAT 3 LAST\r\n\n.\r");
	hear(bench, fd, "queued as ");
	messages(bench);
	assert_non_null(strstr(body(bench), "A: b\r\n\r\n\n.\n\r.\n.\r"));
	close(fd);
}

/* A body can be encoded for a next hop that does not take them, a header cannot. */
static void nul_in_a_header_is_refused_and_in_a_body_is_not(void **state)
{
	static const char header[] = "BDAT 9 LAST\r\nA: \0\r\n\r\nb", body_of[] = "BDAT 10 LAST\r\nA: b\r\n\r\n\0\0";
	static const char open[] = "MAIL FROM:<a@example.org> BODY=BINARYMIME\r\nRCPT TO:<b@example.net>\r\n";
	struct bench *bench = *state;
	int fd = greeted(bench);

	say(fd, open);
	assert_int_equal(write(fd, header, sizeof(header) - 1), sizeof(header) - 1);
	hear(bench, fd, "550 5.6.0 ");
	assert_int_equal(messages(bench), 0);
	say(fd, open);
	assert_int_equal(write(fd, body_of, sizeof(body_of) - 1), sizeof(body_of) - 1);
	hear(bench, fd, "queued as ");
	assert_int_equal(messages(bench), 1);
	close(fd);
}

static void a_message_id_of_ours_names_the_senders_domain(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);

	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	assert_non_null(strstr(body(bench), "@example.org>\r\n"));
	bench->config.privacy = CONFIG_PRIVACY_FULL;
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	assert_non_null(strstr(body(bench), "@agent.example.org>\r\n"));
	close(fd);
}

static void a_sender_of_others_is_refused_and_the_session_goes_on(void **state)
{
	static const char *senders[] = { "*@shop.example.com" };
	struct bench *bench = *state;
	int fd = greeted(bench);
	const char *said;

	bench->submitter.senders = (struct config_strings){ senders, 1 };
	bench->config.submitter_count = 1;
	said = talk(bench, fd, "MAIL FROM:<boss@example.org>\r\nRCPT TO:<b@example.net>\r\n");
	assert_non_null(strstr(said, "553 5.7.1 "));
	assert_non_null(strstr(said, "*@shop.example.com (submitter \"web\" at sendoff.conf:7)"));
	assert_non_null(strstr(said, "503 5.5.1 "));
	assert_string_equal(queued(bench, fd, "<x@shop.example.com>", "<b@example.net>", "").sender,
			    "x@shop.example.com");
	assert_string_equal(queued(bench, fd, "<>", "<b@example.net>", "").sender, "");
	close(fd);
}

static void a_submitters_recipients_are_limited(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);
	const char *said;

	bench->submitter.recipients = 2;
	bench->config.submitter_count = 1;
	said = talk(bench, fd,
		    "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\n"
		    "RCPT TO:<d@example.net>\r\n");
	assert_non_null(strstr(said, "452 4.5.3 one message may have 2 recipients"));
	close(fd);
}

static void a_group_of_many_recipients_lets_others_have_their_turns(void **state)
{
	struct bench *bench = *state;
	int many = greeted(bench), other = dial(bench);
	char group[32768] = "MAIL FROM:<a@example.org>\r\n", heard[65536];
	ssize_t n;

	bench->submitter.recipients = 1;
	bench->config.submitter_count = 1;
	for (int i = 0; i < 500; i++)
		snprintf(strchr(group, '\0'), 64, "RCPT TO:<b%d@example.net>\r\n", i);
	say(many, strcat(group, "NOOP\r\n"));
	hear(bench, other, "220 ");
	n = recv(many, heard, sizeof(heard) - 1, 0);
	heard[n > 0 ? n : 0] = '\0';
	assert_null(strstr(heard, "250 2.0.0 "));
	hear(bench, many, "250 2.0.0 ");
	close(many);
	close(other);
}

static void a_quota_says_when_there_is_room_again_and_outlives_a_restart(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);
	char why[256];
	const char *said;
	struct queue_rcpt none;
	uint64_t id;

	bench->submitter.quota = (struct config_rate){ 3, 86400000 };
	bench->config.submitter_count = 1;
	/* A transaction that ends without a message costs nothing. */
	for (int i = 0; i < 3; i++) {
		said = talk(bench, fd,
			    "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\n"
			    "RSET\r\n");
		assert_null(strstr(said, "451"));
	}
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	said = talk(bench, fd,
		    "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\n"
		    "RCPT TO:<d@example.net>\r\nRSET\r\n");
	assert_non_null(strstr(said, "451 4.7.1 "));
	assert_non_null(strstr(said, "more than 3 recipients a day"));
	assert_non_null(strstr(said, "try again in 8h00m"));
	/* The one that was refused is not in it. */
	say(fd,
	    "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nRCPT TO:<d@example.net>\r\n"
	    "DATA\r\n");
	hear(bench, fd, "354 ");
	say(fd, "\r\n.\r\n");
	hear(bench, fd, "queued as ");
	messages(bench);
	assert_int_equal(queue_view_previous(queue_view(bench->queue), UINT64_MAX, &id), QUEUE_OK);
	assert_int_equal(queue_view_rcpt(queue_view(bench->queue), id, 2, &none), QUEUE_NOT_FOUND);
	close(fd);
	submission_free(bench->submission);
	bench->submission = submission_new(&(struct submission_setup){ .loop = bench->loop, .config = &bench->config },
					   why, sizeof(why));
	assert_non_null(bench->submission);
	submission_start(bench->submission, bench->queue);
	fd = greeted(bench);
	said = talk(bench, fd, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n");
	assert_non_null(strstr(said, "451 4.7.1 "));
	close(fd);
}

static void a_message_that_could_not_be_written_costs_no_quota(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);

	bench->submitter.quota = (struct config_rate){ 1, 86400000 };
	bench->config.submitter_count = 1;
	say(fd, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	hear(bench, fd, "354 ");
	say(fd, "\r\ntext\r\n");
	loop_turn(bench->loop, 100);
	bench->fail_commits = true;
	say(fd, ".\r\n");
	hear(bench, fd, "\r\n");
	bench->fail_commits = false;
	assert_int_equal(messages(bench), 0);
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	close(fd);
}

static void a_submitters_rate_says_when_it_passes(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);
	const char *said;

	bench->submitter.rate = (struct config_rate){ 2, 3600000 };
	bench->config.submitter_count = 1;
	bench->config.trust.max_rate = (struct config_rate){ 1, 3600000 }; /* for those without a rate of their own */
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	said = talk(bench, fd, "MAIL FROM:<a@example.org>\r\n");
	assert_non_null(strstr(said, "451 4.7.1 "));
	assert_non_null(
		strstr(said, "more than 2 messages an hour (submitter \"web\" at sendoff.conf:7); try again in 30m"));
	close(fd);
}

static void mail_of_programs_gets_the_identity_of_the_rule(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);
	struct queue_envelope e;

	bench->identity = (struct config_identity){
		.name = "cron", .from = "alerts@example.com", .full_name = "Alerts", .to = "me@example.com"
	};
	bench->config.identity_count = 1;
	e = queued(bench, fd, "<root>", "<root>", "Subject: cron\r\n\r\ntext");
	assert_string_equal(e.sender, "alerts@example.com");
	assert_string_equal(rcpt_of(bench, e.id, 0).address, "me@example.com");
	assert_string_equal(rcpt_of(bench, e.id, 0).orcpt, "rfc822;root@agent.example.org");
	assert_non_null(strstr(body(bench), "\r\nFrom: Alerts <alerts@example.com>\r\n"));
	close(fd);
}

static void write_aliases(struct bench *bench, const char *text)
{
	FILE *file;

	snprintf(bench->aliases, sizeof(bench->aliases), "%s/aliases", bench->dir);
	file = fopen(bench->aliases, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	bench->config.aliases = bench->aliases;
}

static void an_alias_becomes_its_addresses(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);
	struct queue_envelope e;
	const char *said;

	write_aliases(bench, "root: me@example.com, ops@example.com\nlost: :include:/nowhere/at/all\n");
	e = queued(bench, fd, "<root>", "<root>", "");
	assert_string_equal(e.sender, "root@agent.example.org"); /* aliases are about recipients */
	assert_int_equal(e.rcpt_count, 2);
	assert_string_equal(rcpt_of(bench, e.id, 1).address, "ops@example.com");
	said = talk(bench, fd, "MAIL FROM:<a@example.org>\r\nRCPT TO:<lost>\r\nRCPT TO:<joe>\r\nRSET\r\n");
	assert_non_null(strstr(said, "451 4.3.0 "));
	assert_non_null(strstr(said, "250 2.1.5 "));
	close(fd);
}

static void the_trace_tells_of_a_client_only_where_it_is_asked_to(void **state)
{
	static const char header[] = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n";
	struct bench *bench = *state;
	int fd = dial_tcp(bench, 1);

	say(fd, header);
	hear(bench, fd, "220 ");
	say(fd, "EHLO laptop.lan\r\n");
	hear(bench, fd, "250 ");
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	assert_null(strstr(body(bench), "192.0.2.7"));
	assert_null(strstr(body(bench), "laptop.lan"));
	assert_non_null(strstr(body(bench), "Received: by agent.example.org"));
	bench->config.privacy = CONFIG_PRIVACY_FULL;
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	assert_non_null(strstr(body(bench), "Received: from laptop.lan ([192.0.2.7])"));
	bench->config.privacy = CONFIG_PRIVACY_NONE;
	queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	assert_null(strstr(body(bench), "Received:"));
	close(fd);
}

/* ---------------------------------------------------------------- who calls */

static void a_proxys_client_is_judged_by_its_own_address(void **state)
{
	struct bench *bench = *state;
	int fd = dial_tcp(bench, 1);
	struct queue_envelope e;

	say(fd, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\nEHLO client\r\n");
	hear(bench, fd, "250 ");
	e = queued(bench, fd, "<a@example.org>", "<b@example.net>", "");
	assert_string_equal(e.submitter, "net:192.0.2.7");
	assert_string_equal(e.origin, "balanced 192.0.2.7:4711");
	assert_int_equal(e.uid, UINT32_MAX);
	close(fd);
	fd = dial_tcp(bench, 1);
	say(fd, "PROXY TCP4 198.51.100.7 192.0.2.1 4711 25\r\nEHLO client\r\n");
	hear(bench, fd, "554 5.7.1 198.51.100.7 is not among the networks");
	close(fd);
	fd = dial_tcp(bench, 1);
	say(fd, "PROXY TCP4 127.0.0.1 192.0.2.1 4711 25\r\n");
	hear(bench, fd, "554 5.7.1 ");
	close(fd);
	/* A health check. */
	fd = dial_tcp(bench, 1);
	assert_int_equal(send(fd, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16, MSG_NOSIGNAL), 16);
	hear(bench, fd, "554 5.7.1 ");
	close(fd);
}

static void who_sends_no_header_hears_nothing(void **state)
{
	struct bench *bench = *state;
	int fd = dial_tcp(bench, 1);

	say(fd, "EHLO client\r\n");
	assert_string_equal(hear(bench, fd, ""), "");
	close(fd);
	fd = dial_tcp(bench, 2);
	say(fd, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n");
	hear(bench, fd, "\r\n500 5.5.1 "); /* not a proxy's listener */
	close(fd);
}

static void only_listed_proxies_are_believed(void **state)
{
	static const char *others[] = { "198.51.100.0/24" };
	struct bench *bench = *state;
	int fd;

	bench->listeners[1].proxy = (struct config_strings){ others, 1 };
	fd = dial_tcp(bench, 1);
	(void)!send(fd, "PROXY TCP4 192.0.2.7 192.0.2.1 1 25\r\n", 37, MSG_NOSIGNAL);
	assert_string_equal(hear(bench, fd, ""), "");
	close(fd);
	assert_int_equal(sessions(bench), 0);
}

static void a_stranger_is_greeted_where_it_may_log_in_and_can_do_nothing_else(void **state)
{
	struct bench *bench = *state;
	int fd = dial_tcp(bench, 2); /* 127.0.0.1 is not among the networks here */
	const char *said;

	hear(bench, fd, "220 ");
	said = talk(bench, fd, "EHLO client\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	assert_non_null(strstr(said, "530 5.7.0 "));
	assert_null(strstr(said, "354 "));
	close(fd);
	assert_int_equal(messages(bench), 0);
}

/* PLAIN of "joe", with a password that no file has. */
#define AUTH_JOE "AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n"

static void logins_that_cannot_be_checked_wait_for_a_better_time(void **state)
{
	struct bench *bench = *state;
	int fd = dial_tcp(bench, 2);
	const char *said;

	hear(bench, fd, "220 ");
	/* There is no users file, and no helper. */
	said = talk(bench, fd, "EHLO client\r\n" AUTH_JOE "MAIL FROM:<a@example.org>\r\n");
	assert_non_null(strstr(said, "\r\n250-AUTH "));
	assert_non_null(strstr(said, "454 4.7.0 "));
	assert_non_null(strstr(said, "530 5.7.0 "));
	close(fd);
}

static void where_nobody_has_a_name_auth_is_not_offered(void **state)
{
	struct bench *bench = *state;
	int fd = greeted(bench);

	assert_non_null(strstr(talk(bench, fd, AUTH_JOE), "50"));
	close(fd);
}

static void where_trust_does_not_count_nobody_gets_in_by_it(void **state)
{
	struct bench *bench = *state;
	const char *said;
	int fd;

	bench->config.trust.networks = (struct config_strings){ here, 1 };
	fd = dial_tcp(bench, 2);
	hear(bench, fd, "220 ");
	said = talk(bench, fd, "EHLO client\r\nMAIL FROM:<a@example.org>\r\n");
	assert_non_null(strstr(said, "250 2.1.0 "));
	close(fd);
	bench->listeners[2].trust = false;
	fd = dial_tcp(bench, 2);
	hear(bench, fd, "220 ");
	said = talk(bench, fd, "EHLO client\r\nMAIL FROM:<a@example.org>\r\n");
	assert_non_null(strstr(said, "530 5.7.0 "));
	close(fd);
}

#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static size_t heap_bytes(void)
{
	return mallinfo2().uordblks;
}

/*
 * Ten thousand clients that say nothing are to cost some twenty megabytes, of which the kernel's share is not ours. A
 * session is 2.1 kB in four objects and two small buffers, and 1.9 kB more once it has sent a message (memory kept for
 * the next one); what is beyond that has crept in. Sanitizers count nothing, and nothing is found there.
 */
static void an_idle_session_costs_little_memory(void **state)
{
	enum { SESSIONS = 100, GREETED_MAX = 2560, USED_MAX = 4608 };
	struct bench *bench = *state;
	size_t greeted = 0, used = 0;
	int fds[SESSIONS];

	bench->config.limits.connections = bench->config.limits.connections_per_client = SESSIONS;
	for (int round = 0; round < 2; round++) { /* the first warms up */
		size_t before = heap_bytes();

		for (int i = 0; i < SESSIONS; i++) {
			fds[i] = dial(bench);
			hear(bench, fds[i], "220 ");
		}
		greeted = heap_bytes() - before;
		for (int i = 0; i < SESSIONS; i++) {
			say(fds[i], "EHLO client\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
			hear(bench, fds[i], "\r\n354 ");
			say(fds[i], "Subject: hello\r\n\r\ntext\r\n.\r\n");
			hear(bench, fds[i], "queued as ");
		}
		queue_wait(bench->queue);
		used = heap_bytes() - before;
		for (int i = 0; i < SESSIONS; i++) {
			say(fds[i], "QUIT\r\n");
			hear(bench, fds[i], "");
			close(fds[i]);
		}
	}
	if (greeted > (size_t)SESSIONS * GREETED_MAX || used > (size_t)SESSIONS * USED_MAX)
		fail_msg("a session costs %zu bytes, %zu after a message", greeted / SESSIONS, used / SESSIONS);
}

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
		WITH_BENCH(what_the_client_asks_for_is_in_the_envelope),
		WITH_BENCH(smtputf8_is_kept_for_a_header_that_needs_it),
		WITH_BENCH(a_binary_message_in_chunks_is_kept_as_it_is),
		WITH_BENCH(nul_in_a_header_is_refused_and_in_a_body_is_not),
		WITH_BENCH(a_message_id_of_ours_names_the_senders_domain),
		WITH_BENCH(a_sender_of_others_is_refused_and_the_session_goes_on),
		WITH_BENCH(a_submitters_recipients_are_limited),
		WITH_BENCH(a_group_of_many_recipients_lets_others_have_their_turns),
		WITH_BENCH(a_quota_says_when_there_is_room_again_and_outlives_a_restart),
		WITH_BENCH(a_message_that_could_not_be_written_costs_no_quota),
		WITH_BENCH(a_submitters_rate_says_when_it_passes),
		WITH_BENCH(mail_of_programs_gets_the_identity_of_the_rule),
		WITH_BENCH(an_alias_becomes_its_addresses),
		WITH_BENCH(the_trace_tells_of_a_client_only_where_it_is_asked_to),
		WITH_BENCH(a_proxys_client_is_judged_by_its_own_address),
		WITH_BENCH(who_sends_no_header_hears_nothing),
		WITH_BENCH(only_listed_proxies_are_believed),
		WITH_BENCH(a_stranger_is_greeted_where_it_may_log_in_and_can_do_nothing_else),
		WITH_BENCH(logins_that_cannot_be_checked_wait_for_a_better_time),
		WITH_BENCH(where_nobody_has_a_name_auth_is_not_offered),
		WITH_BENCH(an_idle_session_costs_little_memory),
		WITH_BENCH(where_trust_does_not_count_nobody_gets_in_by_it),
		WITH_BENCH(garbage_never_ends_the_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
