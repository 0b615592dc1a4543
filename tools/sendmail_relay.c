#include "tools/sendmail_relay.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* One direction. */
struct pump {
	int from, to;
	bool to_socket;
	bool ended;  /* `from` gives nothing any more */
	bool closed; /* and all of it has been passed on */
	size_t start, len;
	char data[16384];
};

static bool is_retry(ssize_t n)
{
	return n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK);
}

/* 0, or -errno when the other end is gone. */
static int fill(struct pump *p)
{
	ssize_t n = read(p->from, p->data, sizeof(p->data));

	if (is_retry(n))
		return 0;
	if (n < 0)
		return -errno;
	p->ended = n == 0;
	p->start = 0;
	p->len = (size_t)n;
	return 0;
}

static int drain(struct pump *p)
{
	/* A pipe that is writable takes PIPE_BUF bytes without blocking; neither direction may wait for the other. */
	size_t piece = p->len < PIPE_BUF ? p->len : PIPE_BUF;
	ssize_t n = p->to_socket ? send(p->to, p->data + p->start, p->len, MSG_NOSIGNAL | MSG_DONTWAIT)
				 : write(p->to, p->data + p->start, piece);

	if (is_retry(n))
		return 0;
	if (n < 0)
		return -errno;
	p->start += (size_t)n;
	p->len -= (size_t)n;
	return 0;
}

static struct pollfd wanted(const struct pump *p)
{
	if (p->len)
		return (struct pollfd){ .fd = p->to, .events = POLLOUT };
	return (struct pollfd){ .fd = p->ended ? -1 : p->from, .events = POLLIN };
}

static int work(struct pump *p, short happened)
{
	int error = 0;

	if (happened)
		error = p->len ? drain(p) : fill(p);
	if (error == 0 && p->ended && p->len == 0 && !p->closed) {
		p->closed = true;
		if (p->to_socket)
			shutdown(p->to, SHUT_WR);
	}
	return error;
}

int sendmail_relay(int socket, int input, int output)
{
	static struct pump in, out;

	in = (struct pump){ .from = input, .to = socket, .to_socket = true };
	out = (struct pump){ .from = socket, .to = output };
	while (!out.closed) {
		struct pollfd fds[2] = { wanted(&in), wanted(&out) };

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return EX_OSERR;
		if (work(&out, fds[1].revents) != 0)
			return EX_IOERR;
		/* When the agent takes nothing any more, its last words are still to come. */
		if (work(&in, fds[0].revents) != 0) {
			in.len = 0;
			in.ended = in.closed = true;
		}
	}
	return EX_OK;
}
