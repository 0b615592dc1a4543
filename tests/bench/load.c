/*
 * load - an SMTP load generator: C connections at once, messages of B bytes, as fast as the server answers.
 *
 *     load --to HOST:PORT|/PATH [--connections C] [--messages N] [--seconds S] [--size B] [--per-connection M]
 *          [--from ADDRESS] [--rcpt ADDRESS] [--every K] [--pause MS]
 *     load --to HOST:PORT|/PATH --idle --connections C
 *
 * Every command waits for its reply (as most submitting programs do). No message is begun after N messages or S seconds;
 * those under way are ended. Prints one JSON object: messages, seconds, rate, and the 50th and 99th percentile of the time
 * from the final dot to its reply; with --every a curve, too: [messages, seconds] after each K messages. With --pause one
 * connection waits so long between two messages: the server is idle when the next one comes.
 *
 * --idle opens the connections, hears their greetings, prints "idle C", and holds them until its standard input ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/bench/support/letter.h"
#include "tests/bench/support/place.h"
#include "tests/bench/support/tally.h"

enum stage { GREETING, HELLO, MAIL, RCPT, DATA, BODY, QUIT, CLOSED };

static const char end_of_data[] = ".\r\n";

struct client {
	int fd;
	enum stage stage;
	uint32_t sent;    /* messages of this connection */
	size_t body_done; /* bytes of the message that is being written */
	bool is_blocked;
	int64_t dot_ns;
	char head[LETTER_HEAD];
	char reply[2048];
	size_t reply_len;
};

static struct {
	struct place to;
	uint32_t connections, per_connection, pause_ms;
	uint64_t messages, started, every;
	int64_t start_ns, stop_ns;
	const char *from, *rcpt;
	size_t size;
	bool is_idle;
	struct letter letter;
	struct tally tally;
	double *curve; /* seconds at each `every` */
	size_t curve_len;
	int epoll;
	uint32_t open;
} load = { .connections = 1,
	   .messages = UINT64_MAX,
	   .per_connection = UINT32_MAX,
	   .stop_ns = INT64_MAX,
	   .size = 1024,
	   .from = "load@example.org",
	   .rcpt = "sink@example.net" };

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---------------------------------------------------------------- connections */

static void watch(struct client *c, uint32_t events, int how)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	if (epoll_ctl(load.epoll, how, c->fd, &event) != 0)
		die("epoll_ctl");
}

static void open_client(struct client *c)
{
	int one = 1;

	c->fd = socket(load.to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&load.to.address, load.to.len) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	c->stage = GREETING;
	c->sent = 0;
	c->reply_len = 0;
	load.open++;
	watch(c, EPOLLIN, EPOLL_CTL_ADD);
}

static void close_client(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	c->stage = CLOSED;
	load.open--;
}

/* ---------------------------------------------------------------- the dialogue */

static void say(struct client *c, enum stage stage, const char *text, const char *address)
{
	char line[1100];
	int len = address ? snprintf(line, sizeof line, "%s<%s>\r\n", text, address)
			  : snprintf(line, sizeof line, "%s\r\n", text);

	c->stage = stage;
	if (send(c->fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		die("send");
}

/* What is left of stamp, text and final dot. */
static ssize_t write_some(const struct client *c)
{
	const struct iovec whole[] = {
		{ (void *)c->head, LETTER_HEAD },
		{ load.letter.bytes + LETTER_HEAD, load.letter.len - LETTER_HEAD },
		{ (void *)end_of_data, sizeof end_of_data - 1 },
	};
	struct iovec parts[3];
	struct msghdr message = { .msg_iov = parts };
	size_t skip = c->body_done;

	for (size_t i = 0; i < 3; i++) {
		if (skip >= whole[i].iov_len) {
			skip -= whole[i].iov_len;
			continue;
		}
		parts[message.msg_iovlen++] =
			(struct iovec){ (char *)whole[i].iov_base + skip, whole[i].iov_len - skip };
		skip = 0;
	}
	return sendmsg(c->fd, &message, MSG_NOSIGNAL);
}

static void push_body(struct client *c)
{
	size_t total = load.letter.len + sizeof end_of_data - 1;

	while (c->body_done < total) {
		ssize_t n;

		c->dot_ns = letter_now_ns();
		n = write_some(c);
		if (n < 0 && errno == EAGAIN) {
			if (!c->is_blocked)
				watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			c->is_blocked = true;
			return;
		}
		if (n < 0)
			die("send");
		c->body_done += (size_t)n;
	}
	if (c->is_blocked)
		watch(c, EPOLLIN, EPOLL_CTL_MOD);
	c->is_blocked = false;
}

static void next_message(struct client *c)
{
	if (load.started >= load.messages || c->sent >= load.per_connection || letter_now_ns() >= load.stop_ns) {
		say(c, QUIT, "QUIT", NULL);
		return;
	}
	if (load.pause_ms && c->sent)
		usleep(load.pause_ms * 1000);
	load.started++;
	c->sent++;
	say(c, MAIL, "MAIL FROM:", load.from);
}

static void count(const struct client *c)
{
	int64_t now_ns = letter_now_ns();

	tally_add(&load.tally, now_ns - c->dot_ns);
	if (load.every && load.tally.count % load.every == 0) {
		load.curve = mem_realloc(load.curve, load.curve_len + 1, sizeof *load.curve);
		load.curve[load.curve_len++] = (double)(now_ns - load.start_ns) / 1e9;
	}
}

static void on_reply(struct client *c, int code)
{
	if (c->stage != QUIT && code / 100 != (c->stage == DATA ? 3 : 2)) {
		fprintf(stderr, "load: refused after %zu messages: %.*s", load.tally.count, (int)c->reply_len,
			c->reply);
		exit(1);
	}
	switch (c->stage) {
	case GREETING: say(c, HELLO, "EHLO load.example.org", NULL); return;
	case HELLO: next_message(c); return;
	case MAIL: say(c, RCPT, "RCPT TO:", load.rcpt); return;
	case RCPT: say(c, DATA, "DATA", NULL); return;
	case DATA:
		c->stage = BODY;
		c->body_done = 0;
		/* In the clock of the sink a small message is on its way from here on. */
		letter_stamp(c->head, letter_now_ns());
		push_body(c);
		return;
	case BODY:
		count(c);
		next_message(c);
		return;
	case QUIT:
		close_client(c);
		if (load.started < load.messages && letter_now_ns() < load.stop_ns)
			open_client(c);
		return;
	case CLOSED: return;
	}
}

/* Single and multi-line replies; only the last line counts. */
static void on_input(struct client *c)
{
	ssize_t n = recv(c->fd, c->reply + c->reply_len, sizeof(c->reply) - 1 - c->reply_len, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (c->stage != QUIT)
			die("the server closed the connection");
		on_reply(c, 221);
		return;
	}
	c->reply_len += (size_t)n;
	for (;;) {
		char *end = memchr(c->reply, '\n', c->reply_len);
		size_t line;

		if (!end)
			return;
		line = (size_t)(end - c->reply) + 1;
		if (line > 4 && c->reply[3] != '-') {
			int fd = c->fd;

			on_reply(c, atoi(c->reply));
			if (c->fd != fd || c->stage == GREETING)
				return;
		}
		c->reply_len -= line;
		memmove(c->reply, end + 1, c->reply_len);
	}
}

static void serve(struct client *clients)
{
	for (uint32_t i = 0; i < load.connections; i++)
		open_client(&clients[i]);
	while (load.open) {
		struct epoll_event events[64];
		int n = epoll_wait(load.epoll, events, 64, 60000);

		if (n <= 0)
			die("no answer in 60 s");
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (c->fd >= 0 && events[i].events & EPOLLOUT && c->stage == BODY)
				push_body(c);
			if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				on_input(c);
		}
	}
}

/* ---------------------------------------------------------------- idle */

static void hold(void)
{
	char byte;
	struct timeval patience = { .tv_sec = 60 };

	for (uint32_t i = 0; i < load.connections; i++) {
		struct client c;
		ssize_t n;

		open_client(&c);
		fcntl(c.fd, F_SETFL, 0);
		setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		n = recv(c.fd, c.reply, sizeof c.reply - 1, 0);
		if (n < 4 || memcmp(c.reply, "220", 3) != 0) {
			fprintf(stderr, "load: connection %u was not greeted: %.*s\n", i + 1, n > 0 ? (int)n : 0,
				c.reply);
			exit(1);
		}
	}
	printf("idle %u\n", load.connections);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
}

/* ---------------------------------------------------------------- start and end */

static void usage(const char *what)
{
	fprintf(stderr,
		"load: %s\nusage: load --to HOST:PORT|/PATH [--connections C] [--messages N] [--seconds S] "
		"[--size B] [--per-connection M] [--from A] [--rcpt A] [--every K] [--pause MS] [--idle]\n",
		what);
	exit(64);
}

static void set_target(const char *text)
{
	if (!place_parse(text, &load.to))
		die(text);
}

static void set(const char *name, const char *value)
{
	if (strcmp(name, "--to") == 0)
		set_target(value);
	else if (strcmp(name, "--connections") == 0)
		load.connections = (uint32_t)atoi(value);
	else if (strcmp(name, "--messages") == 0)
		load.messages = (uint64_t)atoll(value);
	else if (strcmp(name, "--seconds") == 0)
		load.stop_ns = (int64_t)(atof(value) * 1e9);
	else if (strcmp(name, "--size") == 0)
		load.size = (size_t)atoll(value);
	else if (strcmp(name, "--per-connection") == 0)
		load.per_connection = (uint32_t)atoi(value);
	else if (strcmp(name, "--from") == 0)
		load.from = value;
	else if (strcmp(name, "--rcpt") == 0)
		load.rcpt = value;
	else if (strcmp(name, "--every") == 0)
		load.every = (uint64_t)atoll(value);
	else if (strcmp(name, "--pause") == 0)
		load.pause_ms = (uint32_t)atoi(value);
	else
		usage(name);
}

static void parse_args(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--idle") == 0)
			load.is_idle = true;
		else if (i + 1 < argc) {
			set(argv[i], argv[i + 1]);
			i++;
		} else
			usage(argv[i]);
	if (!load.to.len)
		usage("--to is missing");
	if (load.messages == UINT64_MAX && load.stop_ns == INT64_MAX)
		load.messages = 1000;
}

static void allow_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void print(int64_t took_ns)
{
	printf("{");
	tally_print(&load.tally, took_ns);
	if (load.every) {
		printf(",\"curve\":[");
		for (size_t i = 0; i < load.curve_len; i++)
			printf("%s[%" PRIu64 ",%.4f]", i ? "," : "", (i + 1) * load.every, load.curve[i]);
		printf("]");
	}
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct client *clients;

	parse_args(argc, argv);
	allow_descriptors();
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.is_idle) {
		hold();
		return 0;
	}
	letter_init(&load.letter, load.size, load.from, load.rcpt, "\r\n");
	clients = mem_calloc(load.connections, sizeof(*clients));
	load.start_ns = letter_now_ns();
	if (load.stop_ns != INT64_MAX)
		load.stop_ns += load.start_ns;
	serve(clients);
	print(letter_now_ns() - load.start_ns);
	tally_fini(&load.tally);
	letter_fini(&load.letter);
	mem_free(load.curve);
	mem_free(clients);
	return 0;
}
