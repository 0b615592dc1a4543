/*
 * load - an SMTP load generator: C connections at once, N messages of S bytes, as fast as the server answers.
 *
 *     load --to HOST:PORT|/PATH --connections C --messages N --size S [--per-connection M] [--latency]
 *
 * Every command waits for its reply (as most submitting programs do). Prints one JSON object: messages, seconds,
 * rate, and the 50th and 99th percentile of the time from the final dot to its reply.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum stage { GREETING, HELLO, MAIL, RCPT, DATA, BODY, QUIT };

struct client {
	int fd;
	enum stage stage;
	uint32_t sent;    /* messages of this connection */
	size_t body_left; /* of the message that is being written */
	int64_t dot_ns;
	char reply[2048];
	size_t reply_len;
};

static struct {
	struct sockaddr_storage address;
	socklen_t address_len;
	uint32_t connections, per_connection;
	uint64_t messages, started, done, refused;
	char *body; /* with the final dot */
	size_t body_len;
	uint32_t *latency_us;
	int epoll;
} load = { .connections = 1, .messages = 1000, .per_connection = UINT32_MAX };

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void parse_target(const char *target)
{
	const char *colon = strrchr(target, ':');

	if (target[0] == '/') {
		struct sockaddr_un *un = (struct sockaddr_un *)&load.address;

		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", target);
		load.address_len = sizeof(*un);
	} else {
		struct sockaddr_in *in = (struct sockaddr_in *)&load.address;
		char host[64];

		if (!colon) {
			errno = EINVAL;
			die(target);
		}
		snprintf(host, sizeof(host), "%.*s", (int)(colon - target), target);
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(colon + 1));
		if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
			die(target);
		load.address_len = sizeof(*in);
	}
}

static void make_body(size_t size)
{
	static const char head[] = "From: <load@example.org>\r\nTo: <sink@example.net>\r\nSubject: load\r\n"
				   "Date: Tue, 24 Nov 2026 05:30:00 +0000\r\nMessage-ID: <load@example.org>\r\n\r\n";
	static const char line[] = "The quick brown fox jumps over the lazy dog, and goes on to the next one.\r\n";
	size_t len = sizeof(head) - 1;

	load.body = mem_alloc(size + sizeof(head) + sizeof(line) + 8);
	memcpy(load.body, head, len);
	while (len < size) {
		memcpy(load.body + len, line, sizeof(line) - 1);
		len += sizeof(line) - 1;
	}
	memcpy(load.body + len, ".\r\n", 3);
	load.body_len = len + 3;
}

static void watch(struct client *c, uint32_t events, int how)
{
	struct epoll_event event = { .events = events, .data.ptr = c };

	if (epoll_ctl(load.epoll, how, c->fd, &event) != 0)
		die("epoll_ctl");
}

static void open_client(struct client *c)
{
	int one = 1;

	c->fd = socket(load.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&load.address, load.address_len) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	c->stage = GREETING;
	c->sent = 0;
	c->reply_len = 0;
	watch(c, EPOLLIN, EPOLL_CTL_ADD);
}

static void say(struct client *c, const char *text, enum stage stage)
{
	size_t len = strlen(text);

	c->stage = stage;
	if (send(c->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send");
}

static void push_body(struct client *c)
{
	while (c->body_left) {
		ssize_t n = send(c->fd, load.body + load.body_len - c->body_left, c->body_left, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		if (n < 0)
			die("send");
		c->body_left -= (size_t)n;
	}
	c->dot_ns = now_ns();
	if (load.body_len > 65536)
		watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void next_message(struct client *c)
{
	if (load.started >= load.messages || c->sent >= load.per_connection) {
		say(c, "QUIT\r\n", QUIT);
		return;
	}
	load.started++;
	c->sent++;
	say(c, "MAIL FROM:<load@example.org>\r\n", MAIL);
}

static void on_reply(struct client *c, int code)
{
	switch (c->stage) {
	case GREETING: say(c, "EHLO load.example.org\r\n", HELLO); return;
	case HELLO: next_message(c); return;
	case MAIL:
	case RCPT:
		if (code / 100 != 2)
			break;
		say(c, c->stage == MAIL ? "RCPT TO:<sink@example.net>\r\n" : "DATA\r\n",
		    c->stage == MAIL ? RCPT : DATA);
		return;
	case DATA:
		if (code != 354)
			break;
		c->stage = BODY;
		c->body_left = load.body_len;
		push_body(c);
		return;
	case BODY:
		if (code / 100 != 2)
			break;
		load.latency_us[load.done++] = (uint32_t)((now_ns() - c->dot_ns) / 1000);
		next_message(c);
		return;
	case QUIT:
		close(c->fd);
		c->fd = -1;
		if (load.started < load.messages)
			open_client(c);
		return;
	}
	load.refused++;
	fprintf(stderr, "load: refused: %.*s", (int)c->reply_len, c->reply);
	exit(1);
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

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void parse_args(int argc, char **argv)
{
	size_t size = 1024;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--to") == 0)
			parse_target(argv[i + 1]);
		else if (strcmp(argv[i], "--connections") == 0)
			load.connections = (uint32_t)atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--messages") == 0)
			load.messages = (uint64_t)atoll(argv[i + 1]);
		else if (strcmp(argv[i], "--size") == 0)
			size = (size_t)atoll(argv[i + 1]);
		else if (strcmp(argv[i], "--per-connection") == 0)
			load.per_connection = (uint32_t)atoi(argv[i + 1]);
		else {
			fprintf(stderr, "load: unknown option %s\n", argv[i]);
			exit(64);
		}
	}
	if (!load.address_len) {
		fprintf(stderr, "usage: load --to HOST:PORT|/PATH [--connections C] [--messages N] [--size S] "
				"[--per-connection M]\n");
		exit(64);
	}
	make_body(size);
}

int main(int argc, char **argv)
{
	struct client *clients;
	int64_t start, took;

	parse_args(argc, argv);
	load.latency_us = mem_calloc(load.messages, sizeof(*load.latency_us));
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	clients = mem_calloc(load.connections, sizeof(*clients));
	start = now_ns();
	for (uint32_t i = 0; i < load.connections; i++)
		open_client(&clients[i]);
	while (load.done < load.messages) {
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
	took = now_ns() - start;
	qsort(load.latency_us, load.done, sizeof(*load.latency_us), by_size);
	printf("{\"messages\": %" PRIu64 ", \"seconds\": %.4f, \"rate\": %.1f, \"p50_us\": %u, \"p99_us\": %u}\n",
	       load.done, (double)took / 1e9, (double)load.done * 1e9 / (double)took, load.latency_us[load.done / 2],
	       load.latency_us[load.done * 99 / 100]);
	return 0;
}
