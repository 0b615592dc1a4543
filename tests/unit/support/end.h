/* end - one end of a connection that notes what it is told, for tests. */
#ifndef END_H
#define END_H

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/conn.h"
#include "tests/unit/support/pump.h"

struct end {
	struct conn *conn;
	struct buf got;
	char story
		[256]; /* a letter for each event: I Drained Secure Eof T(ime) Failed fLushed Proxied; runs of I are one */
	size_t told;
	bool leave; /* do not consume */
	bool free_at_input;
	bool free_at_eof;
	void (*also)(struct end *end, enum conn_event event);
	size_t count; /* for `also` */
};

static inline void end_event(void *arg, enum conn_event event)
{
	static const char letters[] = {
		[CONN_INPUT] = 'I',    [CONN_DRAINED] = 'D', [CONN_SECURE] = 'S',  [CONN_EOF] = 'E',
		[CONN_DEADLINE] = 'T', [CONN_FAILED] = 'F',  [CONN_FLUSHED] = 'L', [CONN_PROXIED] = 'P',
	};
	struct end *end = arg;
	char c = letters[event];

	if (end->told < sizeof(end->story) - 1 && !(c == 'I' && end->told && end->story[end->told - 1] == 'I'))
		end->story[end->told++] = c;
	if (event == CONN_INPUT && !end->leave) {
		struct span s = conn_input(end->conn);

		assert_true(buf_append_span(&end->got, s));
		conn_consume(end->conn, s.len);
	}
	if (end->also)
		end->also(end, event);
	if ((event == CONN_INPUT && end->free_at_input) || (event == CONN_EOF && end->free_at_eof)) {
		conn_free(end->conn);
		end->conn = NULL;
	}
}

static inline void end_init(struct end *end, struct loop *loop, int fd, size_t input_max, size_t output_max)
{
	struct conn_config config = {
		.loop = loop, .input_max = input_max, .output_max = output_max, .event = end_event, .arg = end
	};

	*end = (struct end){ .told = 0 };
	buf_init(&end->got, (size_t)1 << 30);
	end->conn = conn_new(&config, fd);
}

static inline void end_fini(struct end *end)
{
	conn_free(end->conn);
	end->conn = NULL;
	buf_fini(&end->got);
}

static inline bool end_has(const struct end *end, char c)
{
	return strchr(end->story, c) != NULL;
}

static inline void end_say(struct end *end, const char *text)
{
	assert_true(conn_write(end->conn, text, strlen(text)));
}

/* Both ends of a TCP connection on loopback: [0] called, [1] was accepted. */
static inline void end_tcp_pair(int fds[2], int family)
{
	struct sockaddr_storage addr = { .ss_family = (sa_family_t)family };
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (family == AF_INET)
		((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	fds[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&addr, len), 0);
	fds[1] = accept(listener, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(listener);
}

#endif
