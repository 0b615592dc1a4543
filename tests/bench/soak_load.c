/*
 * soak_load - submits numbered messages at a steady rate to an agent that comes and goes, and keeps a ledger of them.
 *
 *     soak_load --to HOST:PORT|/PATH --ledger FILE --name LETTER [--first N] [--count N] [--rate R] [--connections C]
 *               [--size S] [--domains NAME=SHARE,...]
 *
 * Message N comes from LETTER N @sender.example and goes to the domain whose share of a thousand N * 617 % 1000 falls
 * into. Byte N of the ledger (shared memory) says what became of it: ASKED once its final dot is on the way, ACCEPTED
 * or REFUSED when the reply came. A lost connection is made again, and the next message takes the next number.
 * SIGUSR1: no new message; SIGUSR2: go on; SIGTERM: end what is open, and print one JSON object of counts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/bench/support/place.h"

enum { ASKED = 1, ACCEPTED = 2, REFUSED = 3 };
enum { DOMAINS = 32, PER_CONNECTION = 200, PAUSE_MS = 50, END_MS = 10000, TURN_MS = 5 };
enum stage { CLOSED, GREETING, HELLO, IDLE, ENVELOPE, BODY };

struct client {
	int fd;
	enum stage stage;
	unsigned replies; /* that are still to come */
	bool is_refused;
	uint64_t number;
	uint32_t sent;
	size_t body_left;
	int64_t again_ms; /* CLOSED: when it is tried anew */
	char reply[2048];
	size_t reply_len;
};

static struct {
	struct place to;
	const char *ledger_name, *name, *domain[DOMAINS];
	unsigned share[DOMAINS], domains, connections;
	uint64_t first, count, next, accepted, refused, lost;
	double rate;
	size_t size, body_len;
	char *body;
	uint8_t *ledger;
	uint64_t ledger_len;
	int epoll;
} load = { .name = "a", .connections = 20, .count = UINT64_MAX, .size = 1024 };

static volatile sig_atomic_t is_paused, is_over;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void die(const char *what)
{
	fprintf(stderr, "soak_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void on_signal(int number)
{
	if (number == SIGTERM)
		is_over = 1;
	else
		is_paused = number == SIGUSR1;
}

/* ---------------------------------------------------------------- arguments */

static void parse_domains(char *text)
{
	for (char *word = strtok(text, ","); word && load.domains < DOMAINS; word = strtok(NULL, ",")) {
		char *equals = strchr(word, '=');

		if (!equals)
			die(word);
		*equals = '\0';
		load.domain[load.domains] = word;
		load.share[load.domains++] = (unsigned)atoi(equals + 1);
	}
}

static void set_target(const char *text)
{
	if (!place_parse(text, &load.to))
		die(text);
}

static void parse_args(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *option = argv[i];
		char *value = argv[i + 1];

		if (strcmp(option, "--to") == 0)
			set_target(value);
		else if (strcmp(option, "--ledger") == 0)
			load.ledger_name = value;
		else if (strcmp(option, "--name") == 0)
			load.name = value;
		else if (strcmp(option, "--first") == 0)
			load.first = strtoull(value, NULL, 10);
		else if (strcmp(option, "--count") == 0)
			load.count = strtoull(value, NULL, 10);
		else if (strcmp(option, "--rate") == 0)
			load.rate = atof(value);
		else if (strcmp(option, "--connections") == 0)
			load.connections = (unsigned)atoi(value);
		else if (strcmp(option, "--size") == 0)
			load.size = strtoull(value, NULL, 10);
		else if (strcmp(option, "--domains") == 0)
			parse_domains(value);
	}
	if (!load.to.len || !load.ledger_name || !load.domains) {
		fprintf(stderr, "usage: soak_load --to HOST:PORT|/PATH --ledger FILE --domains NAME=SHARE,...\n");
		exit(64);
	}
}

static void map_ledger(void)
{
	int fd = open(load.ledger_name, O_RDWR | O_CLOEXEC);
	struct stat facts;

	if (fd < 0 || fstat(fd, &facts) != 0)
		die(load.ledger_name);
	load.ledger_len = (uint64_t)facts.st_size;
	load.ledger = mmap(NULL, load.ledger_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (load.ledger == MAP_FAILED)
		die(load.ledger_name);
	close(fd);
	if (load.count > load.ledger_len - load.first)
		load.count = load.ledger_len - load.first;
	load.next = load.first;
}

static void make_body(void)
{
	static const char head[] = "From: <soak@sender.example>\r\nTo: <soak@main.example>\r\nSubject: soak\r\n\r\n";
	static const char line[] = "The quick brown fox jumps over the lazy dog, and goes on to the next one.\r\n";
	size_t len = sizeof(head) - 1;

	load.body = mem_alloc(load.size + sizeof(head) + sizeof(line) + 8);
	memcpy(load.body, head, len);
	for (; len < load.size; len += sizeof(line) - 1)
		memcpy(load.body + len, line, sizeof(line) - 1);
	memcpy(load.body + len, ".\r\n", 3);
	load.body_len = len + 3;
}

static const char *domain_of(uint64_t number)
{
	unsigned at = (unsigned)(number * 617 % 1000), sum = 0;

	for (unsigned i = 0; i + 1 < load.domains; i++) {
		sum += load.share[i];
		if (at < sum)
			return load.domain[i];
	}
	return load.domain[load.domains - 1];
}

/* ---------------------------------------------------------------- one connection */

static void hang_up(struct client *c)
{
	load.lost += c->stage == BODY;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->stage = CLOSED;
	c->again_ms = now_ms() + PAUSE_MS;
}

static void dial(struct client *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(load.to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	if (connect(c->fd, (struct sockaddr *)&load.to.address, load.to.len) != 0) {
		hang_up(c);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
		die("epoll_ctl");
	c->stage = GREETING;
	c->replies = 1;
	c->sent = 0;
	c->reply_len = 0;
}

static bool say(struct client *c, const char *text, enum stage stage, unsigned replies)
{
	size_t len = strlen(text);

	c->stage = stage;
	c->replies = replies;
	if (send(c->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len)
		return true;
	hang_up(c);
	return false;
}

static void push_body(struct client *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

	while (c->body_left) {
		size_t at = load.body_len - c->body_left;
		ssize_t n;

		if (c->body_left <= 3)
			load.ledger[c->number] = ASKED;
		/* All but the dot first: until it is under way the message is surely not taken. */
		n = send(c->fd, load.body + at,
			 c->body_left > 3 && load.body_len > 65536 ? c->body_left - 3 : c->body_left, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			event.events |= EPOLLOUT;
			epoll_ctl(load.epoll, EPOLL_CTL_MOD, c->fd, &event);
			return;
		}
		if (n < 0) {
			hang_up(c);
			return;
		}
		c->body_left -= (size_t)n;
	}
	epoll_ctl(load.epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void start_message(struct client *c)
{
	char text[512];

	c->number = load.next++;
	c->sent++;
	c->is_refused = false;
	snprintf(text, sizeof(text),
		 "MAIL FROM:<%s%" PRIu64 "@sender.example>\r\nRCPT TO:<%s%" PRIu64 "@%s>\r\nDATA\r\n", load.name,
		 c->number, load.name, c->number, domain_of(c->number));
	say(c, text, ENVELOPE, 3);
}

static void start_body(struct client *c)
{
	c->stage = BODY;
	c->replies = 1;
	c->body_left = load.body_len;
	if (load.body_len <= 65536)
		load.ledger[c->number] = ASKED;
	push_body(c);
}

static void on_reply(struct client *c, int code)
{
	c->replies--;
	switch (c->stage) {
	case GREETING:
		if (code == 220)
			say(c, "EHLO load.example.org\r\n", HELLO, 1);
		else
			hang_up(c);
		return;
	case HELLO: c->stage = IDLE; return;
	case ENVELOPE:
		c->is_refused = c->is_refused || code >= 400;
		if (c->replies)
			return;
		if (code == 354 && !c->is_refused) {
			start_body(c);
			return;
		}
		load.ledger[c->number] = REFUSED;
		load.refused++;
		hang_up(c);
		return;
	case BODY:
		load.ledger[c->number] = code == 250 ? ACCEPTED : REFUSED;
		*(code == 250 ? &load.accepted : &load.refused) += 1;
		c->stage = IDLE;
		if (code == 421 || c->sent >= PER_CONNECTION)
			hang_up(c);
		return;
	case IDLE:
	case CLOSED: hang_up(c); return;
	}
}

static void on_input(struct client *c)
{
	ssize_t n = recv(c->fd, c->reply + c->reply_len, sizeof(c->reply) - c->reply_len, 0);
	char *end;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		hang_up(c);
		return;
	}
	c->reply_len += (size_t)n;
	while (c->stage != CLOSED && (end = memchr(c->reply, '\n', c->reply_len))) {
		size_t line = (size_t)(end - c->reply) + 1;
		bool is_last = line > 4 && c->reply[3] != '-';
		int code = atoi(c->reply);

		c->reply_len -= line;
		memmove(c->reply, end + 1, c->reply_len);
		if (is_last)
			on_reply(c, code);
	}
}

/* ---------------------------------------------------------------- all of them */

static bool is_finished(void)
{
	return is_over || load.next >= load.first + load.count;
}

/* How many messages may begin now. What an outage of the agent held up is not made up for in one burst. */
static double allow(double credit, int64_t took_ms)
{
	if (load.rate <= 0)
		return load.connections;
	credit += load.rate * (double)took_ms / 1000;
	return credit > load.connections ? load.connections : credit;
}

static void begin_what_may(struct client *clients, double *credit)
{
	static unsigned at;

	for (unsigned i = 0; i < load.connections; i++) {
		struct client *c = &clients[(at + i) % load.connections];

		if (c->stage == CLOSED && now_ms() >= c->again_ms && !is_finished())
			dial(c);
		if (c->stage == IDLE && *credit >= 1 && !is_paused && !is_finished()) {
			*credit -= 1;
			start_message(c);
		}
	}
	at++;
}

static bool is_open(const struct client *clients)
{
	for (unsigned i = 0; i < load.connections; i++)
		if (clients[i].stage == ENVELOPE || clients[i].stage == BODY)
			return true;
	return false;
}

static void run(struct client *clients)
{
	int64_t last_ms = now_ms(), end_ms = INT64_MAX;
	double credit = 0;

	while (!is_finished() || (is_open(clients) && now_ms() < end_ms)) {
		struct epoll_event events[64];
		int n = epoll_wait(load.epoll, events, 64, TURN_MS);
		int64_t now = now_ms();

		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (c->stage == BODY && events[i].events & EPOLLOUT)
				push_body(c);
			if (c->stage != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				on_input(c);
		}
		credit = allow(credit, now - last_ms);
		last_ms = now;
		begin_what_may(clients, &credit);
		if (is_finished() && end_ms == INT64_MAX)
			end_ms = now + END_MS;
	}
}

int main(int argc, char **argv)
{
	struct client *clients;

	parse_args(argc, argv);
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	signal(SIGTERM, on_signal);
	map_ledger();
	make_body();
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	clients = mem_calloc(load.connections, sizeof(*clients));
	for (unsigned i = 0; i < load.connections; i++)
		clients[i].fd = -1;
	run(clients);
	printf("{\"first\": %" PRIu64 ", \"next\": %" PRIu64 ", \"accepted\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"unanswered\": %" PRIu64 "}\n",
	       load.first, load.next, load.accepted, load.refused, load.lost);
	mem_free(clients);
	mem_free(load.body);
	return 0;
}
