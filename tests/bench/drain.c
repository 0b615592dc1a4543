/*
 * drain - a counting smart host: takes every message, keeps none, and does next to nothing else.
 *
 *     drain --listen HOST:PORT --port-file FILE --status FILE [--defer DOMAIN]
 *
 * So little that it is not what is measured. FILE is mapped and always current: struct status, then up to LATENCIES times in
 * microseconds from the stamp of a message (support/letter.h) to its final dot. Recipients in DOMAIN hear 451. It offers
 * PIPELINING, SIZE and 8BITMIME, and is ended by SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/bench/support/letter.h"

enum { INPUT_MAX = 64 * 1024, OUTPUT_MAX = 32 * 1024, LATENCIES = 65536, HEADER_SEEN = 4096 };

/* As the file has it; read by sinks.py. */
struct status {
	uint64_t messages, bytes, connections, deferred;
	int64_t first_ns, last_ns; /* CLOCK_MONOTONIC */
	uint64_t latencies;        /* how many of those behind are set */
	uint32_t latency_us[LATENCIES];
};

struct peer {
	int fd;
	bool is_data, has_rcpt;
	size_t in_len, out_len;
	int64_t stamp_ns;
	uint64_t body; /* bytes of the message so far */
	char in[INPUT_MAX], out[OUTPUT_MAX];
};

static struct {
	struct sockaddr_in address;
	const char *port_file, *status_file, *defer;
	struct status *status;
	int epoll, listener;
} drain;

static void die(const char *what)
{
	fprintf(stderr, "drain: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void answer(struct peer *p, const char *text)
{
	size_t len = strlen(text);

	if (p->out_len + len > OUTPUT_MAX)
		die("too many commands without a look at the answers");
	memcpy(p->out + p->out_len, text, len);
	p->out_len += len;
}

/* ---------------------------------------------------------------- a message */

static void count(struct peer *p)
{
	struct status *s = drain.status;
	int64_t now_ns = letter_now_ns();

	if (s->messages == 0)
		s->first_ns = now_ns;
	s->last_ns = now_ns;
	s->bytes += p->body;
	if (p->stamp_ns && s->latencies < LATENCIES)
		s->latency_us[s->latencies++] = (uint32_t)((now_ns - p->stamp_ns) / 1000);
	__atomic_store_n(&s->messages, s->messages + 1, __ATOMIC_RELEASE);
}

/* How many bytes of the input are eaten; what may be the start of the end is left. */
static size_t take_body(struct peer *p, const char *in, size_t len)
{
	static const char end[] = "\r\n.\r\n";
	const char *at;
	size_t part;

	if (p->body == 0 && len >= 3 && memcmp(in, ".\r\n", 3) == 0)
		at = in - 2;
	else
		at = memmem(in, len, end, sizeof end - 1);
	if (p->stamp_ns == 0 && p->body < HEADER_SEEN)
		p->stamp_ns = letter_find(in, len);
	if (!at) {
		part = len < sizeof end - 2 ? 0 : len - (sizeof end - 2);
		p->body += part;
		return part;
	}
	part = (size_t)(at + sizeof end - 1 - in);
	p->body += part;
	p->is_data = false;
	count(p);
	answer(p, "250 2.0.0 counted\r\n");
	return part;
}

/* ---------------------------------------------------------------- commands */

static bool is_deferred(const char *line, size_t len)
{
	const char *at = memchr(line, '@', len);

	return drain.defer && at && (size_t)(line + len - at - 1) >= strlen(drain.defer) &&
	       strncasecmp(at + 1, drain.defer, strlen(drain.defer)) == 0;
}

static void on_rcpt(struct peer *p, const char *line, size_t len)
{
	if (is_deferred(line, len)) {
		drain.status->deferred++;
		answer(p, "451 4.3.0 not now\r\n");
	} else {
		p->has_rcpt = true;
		answer(p, "250 2.1.5 ok\r\n");
	}
}

/* False: the connection ends. */
static bool on_line(struct peer *p, const char *line, size_t len)
{
	if (len >= 4 && strncasecmp(line, "MAIL", 4) == 0) {
		p->has_rcpt = false;
		answer(p, "250 2.1.0 ok\r\n");
	} else if (len >= 4 && strncasecmp(line, "RCPT", 4) == 0)
		on_rcpt(p, line, len);
	else if (len >= 4 && strncasecmp(line, "DATA", 4) == 0 && p->has_rcpt) {
		p->is_data = true;
		p->body = 0;
		p->stamp_ns = 0;
		answer(p, "354 go on\r\n");
	} else if (len >= 4 && strncasecmp(line, "DATA", 4) == 0)
		answer(p, "503 5.5.1 no recipient\r\n");
	else if (len >= 4 && strncasecmp(line, "EHLO", 4) == 0)
		answer(p, "250-drain\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n"
			  "250 ENHANCEDSTATUSCODES\r\n");
	else if (len >= 4 && strncasecmp(line, "QUIT", 4) == 0) {
		answer(p, "221 2.0.0 bye\r\n");
		return false;
	} else if (len >= 4 && (strncasecmp(line, "HELO", 4) == 0 || strncasecmp(line, "RSET", 4) == 0 ||
				strncasecmp(line, "NOOP", 4) == 0)) {
		p->has_rcpt = false;
		answer(p, "250 2.0.0 ok\r\n");
	} else
		answer(p, "502 5.5.1 not here\r\n");
	return true;
}

/* ---------------------------------------------------------------- connections */

static void drop(struct peer *p)
{
	close(p->fd);
	mem_free(p);
}

static bool is_flushed(struct peer *p)
{
	size_t done = 0;

	/* Answers are short: a peer that lets them pile up is not one of ours. */
	while (done < p->out_len) {
		ssize_t n = send(p->fd, p->out + done, p->out_len - done, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		done += (size_t)n;
	}
	p->out_len = 0;
	return true;
}

static void on_peer(struct peer *p)
{
	ssize_t n = recv(p->fd, p->in + p->in_len, INPUT_MAX - p->in_len, 0);
	size_t at = 0;
	bool goes_on = n > 0;

	if (n < 0 && errno == EAGAIN)
		return;
	p->in_len += n > 0 ? (size_t)n : 0;
	while (goes_on && at < p->in_len) {
		const char *in = p->in + at, *end;
		size_t len = p->in_len - at, eaten;

		if (p->is_data) {
			eaten = take_body(p, in, len);
			if (eaten == 0)
				break;
			at += eaten;
			continue;
		}
		end = memchr(in, '\n', len);
		if (!end)
			break;
		goes_on = on_line(p, in, (size_t)(end - in) + 1);
		at += (size_t)(end - in) + 1;
	}
	p->in_len -= at;
	memmove(p->in, p->in + at, p->in_len);
	if (!is_flushed(p) || !goes_on || p->in_len == INPUT_MAX)
		drop(p);
}

static void on_listener(void)
{
	int fd, one = 1;

	while ((fd = accept4(drain.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct peer *p = mem_alloc(sizeof *p);
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };

		p->fd = fd;
		p->is_data = p->has_rcpt = false;
		p->in_len = p->out_len = 0;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (epoll_ctl(drain.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
			die("epoll_ctl");
		drain.status->connections++;
		answer(p, "220 drain ESMTP\r\n");
		if (!is_flushed(p))
			drop(p);
	}
}

/* ---------------------------------------------------------------- start */

static void set(const char *name, const char *value)
{
	const char *colon = strrchr(value, ':');
	char host[64];

	if (strcmp(name, "--listen") == 0 && colon) {
		snprintf(host, sizeof host, "%.*s", (int)(colon - value), value);
		drain.address.sin_family = AF_INET;
		drain.address.sin_port = htons((uint16_t)atoi(colon + 1));
		errno = EINVAL;
		if (inet_pton(AF_INET, host, &drain.address.sin_addr) != 1)
			die(value);
	} else if (strcmp(name, "--port-file") == 0)
		drain.port_file = value;
	else if (strcmp(name, "--status") == 0)
		drain.status_file = value;
	else if (strcmp(name, "--defer") == 0)
		drain.defer = value;
	else {
		fprintf(stderr, "drain: unknown option %s\n", name);
		exit(64);
	}
}

static void open_status(void)
{
	int fd = open(drain.status_file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, sizeof(struct status)) != 0)
		die(drain.status_file);
	drain.status = mmap(NULL, sizeof(struct status), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (drain.status == MAP_FAILED)
		die(drain.status_file);
	close(fd);
}

static void start_listening(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	socklen_t len = sizeof drain.address;
	int one = 1;

	drain.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(drain.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(drain.listener, (struct sockaddr *)&drain.address, sizeof drain.address) != 0 ||
	    listen(drain.listener, 4096) != 0 ||
	    getsockname(drain.listener, (struct sockaddr *)&drain.address, &len) != 0)
		die("listen");
	drain.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(drain.epoll, EPOLL_CTL_ADD, drain.listener, &event) != 0)
		die("epoll_ctl");
}

static void write_port(void)
{
	char *part = mem_printf("%s.part", drain.port_file);
	FILE *out = fopen(part, "w");

	if (!out || fprintf(out, "%d\n", ntohs(drain.address.sin_port)) < 0 || fclose(out) != 0 ||
	    rename(part, drain.port_file) != 0)
		die(drain.port_file);
	mem_free(part);
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	for (int i = 1; i + 1 < argc; i += 2)
		set(argv[i], argv[i + 1]);
	if (!drain.address.sin_family || !drain.port_file || !drain.status_file) {
		fprintf(stderr, "usage: drain --listen HOST:PORT --port-file FILE --status FILE [--defer DOMAIN]\n");
		return 64;
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	open_status();
	start_listening();
	write_port();
	for (;;) {
		struct epoll_event events[64];
		int n = epoll_wait(drain.epoll, events, 64, -1);

		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				on_peer(events[i].data.ptr);
			else
				on_listener();
	}
}
