#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "net/conn_inside.h"
#include "net/proxy.h"

void conn_expect_proxy(struct conn *conn)
{
	assert(conn->phase == PHASE_PLAIN && !conn->is_unix);
	conn->phase = PHASE_PROXY;
	conn->proxied = true;
	conn->loopback = conn->is_own = false;
	conn_set_interest(conn);
}

bool conn_is_proxied(const struct conn *conn)
{
	return conn->proxied;
}

bool conn_is_unnamed(const struct conn *conn)
{
	return conn->unnamed;
}

static void take_addresses(struct conn *conn, const struct proxy_header *header)
{
	conn->unnamed = header->is_local;
	if (header->is_local)
		return;
	addr_text(&header->peer, conn->peer);
	addr_host(&header->peer, conn->peer_host);
	addr_text(&header->local, conn->local);
}

/* Bytes that were looked at are read for good: they are there. */
static bool take_bytes(struct conn *conn, char *scratch, size_t len)
{
	return len == 0 || recv(conn->fd, scratch, len, 0) == (ssize_t)len;
}

/* What stands behind the header is left with the kernel: it may be a TLS handshake, which reads for itself. */
void conn_proxy_receive(struct conn *conn)
{
	char *scratch = loop_scratch(conn->config.loop, PROXY_MAX);
	size_t held = conn->in.len, taken = 0;
	ssize_t n = recv(conn->fd, scratch, PROXY_MAX - held, MSG_PEEK);
	struct proxy_header header;
	const char *why = "the connection ended before its PROXY header";
	enum proxy_verdict verdict;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_fail(conn, n < 0 ? strerror(errno) : why);
		return;
	}
	buf_append(&conn->in, scratch, (size_t)n);
	verdict = proxy_parse(buf_span(&conn->in), &header, &taken, &why);
	if (verdict == PROXY_MORE)
		taken = held + (size_t)n;
	if (verdict != PROXY_BAD && !take_bytes(conn, scratch, taken - held)) {
		verdict = PROXY_BAD;
		why = "the PROXY header cannot be read";
	}
	switch (verdict) {
	case PROXY_MORE: return;
	case PROXY_BAD: conn_fail(conn, why); return;
	case PROXY_DONE: break;
	}
	buf_release(&conn->in);
	take_addresses(conn, &header);
	conn->phase = PHASE_PLAIN;
	loop_task_post(&conn->task); /* what was written meanwhile */
	conn_tell(conn, CONN_PROXIED);
}
