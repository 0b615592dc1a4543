#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/addr.h"
#include "net/conn_inside.h"
#include "net/peer.h"

enum {
	INPUT_MAX = 64 * 1024,
	OUTPUT_MAX = 256 * 1024,
};

static void on_ready(struct loop_io *io, int events);
static void on_deadline(struct loop_timer *timer);
static void on_task(struct loop_task *task);

/* ---------------------------------------------------------------- life */

static void prepare_fd(struct conn *conn)
{
	int flags = fcntl(conn->fd, F_GETFL), one = 1;
	int fd_flags = fcntl(conn->fd, F_GETFD);

	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(conn->fd, F_SETFL, flags | O_NONBLOCK);
	if (fd_flags >= 0 && !(fd_flags & FD_CLOEXEC))
		fcntl(conn->fd, F_SETFD, fd_flags | FD_CLOEXEC);
	if (!conn->is_unix)
		setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void name_ends(struct conn *conn)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	char host[ADDR_TEXT_SIZE];

	if (getpeername(conn->fd, (struct sockaddr *)&addr, &len) == 0) {
		conn->is_unix = addr.ss_family == AF_UNIX;
		conn->loopback = addr_is_loopback(&addr);
		addr_text(&addr, conn->peer);
		addr_host(&addr, conn->peer_host);
	} else {
		snprintf(conn->peer, sizeof(conn->peer), "unknown");
	}
	len = sizeof(addr);
	if (getsockname(conn->fd, (struct sockaddr *)&addr, &len) == 0) {
		addr_text(&addr, conn->local);
		conn->is_own = conn->peer_host[0] && strcmp(addr_host(&addr, host), conn->peer_host) == 0;
	} else {
		snprintf(conn->local, sizeof(conn->local), "unknown");
	}
}

void conn_set_interest(struct conn *conn)
{
	int events = 0;

	switch (conn->phase) {
	case PHASE_PROXY: events = LOOP_READ; break;
	case PHASE_HANDSHAKE: events = conn->want == TLS_WANT_WRITE ? LOOP_WRITE : LOOP_READ; break;
	case PHASE_PLAIN:
	case PHASE_SECURE:
		if (conn->reading && !conn->eof && conn->in.len < conn->config.input_max)
			events |= LOOP_READ;
		if (conn->blocked)
			events |= LOOP_WRITE;
		break;
	case PHASE_STARTING:
		if (conn->blocked)
			events = LOOP_WRITE;
		break;
	case PHASE_DISCARD: events = LOOP_READ; break;
	case PHASE_ENDED: break;
	}
	/* While CONN_INPUT runs the buffers are in flux; it is done once after that. */
	if (conn->viewing || conn->dead)
		return;
	loop_io_set(&conn->io, events);
	if (conn->more && conn->phase == PHASE_SECURE && events & LOOP_READ)
		loop_task_post(&conn->task);
}

struct conn *conn_new(const struct conn_config *config, int fd)
{
	struct conn *conn = MEM_NEW(struct conn);

	conn->config = *config;
	if (conn->config.input_max == 0)
		conn->config.input_max = INPUT_MAX;
	if (conn->config.output_max == 0)
		conn->config.output_max = OUTPUT_MAX;
	buf_init(&conn->in, conn->config.input_max);
	buf_init(&conn->out, conn->config.output_max);
	conn->fd = fd;
	conn->reading = true;
	name_ends(conn);
	prepare_fd(conn);
	loop_io_init(&conn->io, config->loop, fd, on_ready);
	loop_timer_init(&conn->timer, config->loop, on_deadline);
	loop_task_init(&conn->task, config->loop, on_task);
	conn_set_interest(conn);
	return conn;
}

/* Everything but the object's own memory. */
static void close_all(struct conn *conn)
{
	loop_io_stop(&conn->io);
	loop_timer_stop(&conn->timer);
	loop_task_stop(&conn->task);
	tls_free(conn->tls);
	conn->tls = NULL;
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	buf_fini(&conn->in);
	buf_fini(&conn->out);
	mem_free(conn->error);
	conn->error = NULL;
	conn->phase = PHASE_ENDED;
}

void conn_free(struct conn *conn)
{
	if (!conn || conn->dead)
		return;
	close_all(conn);
	conn->dead = true;
	if (!conn->busy)
		mem_free(conn);
}

static void leave(struct conn *conn)
{
	conn->busy = false;
	if (conn->dead)
		mem_free(conn);
}

bool conn_tell(struct conn *conn, enum conn_event event)
{
	if (conn->dead || conn->finishing)
		return false;
	conn->config.event(conn->config.arg, event);
	return !conn->dead && !conn->finishing;
}

/* ---------------------------------------------------------------- failure */

void conn_set_error(struct conn *conn, const char *text)
{
	if (!conn->error)
		conn->error = mem_strdup(text);
}

void conn_fail(struct conn *conn, const char *text)
{
	if (conn->dead || conn->phase == PHASE_ENDED)
		return;
	conn_set_error(conn, text);
	conn->phase = PHASE_ENDED;
	loop_io_stop(&conn->io);
	loop_timer_stop(&conn->timer);
	buf_release(&conn->out);
	if (conn->finishing)
		conn_free(conn);
	else
		conn_tell(conn, CONN_FAILED);
}

/* ---------------------------------------------------------------- what the loop calls */

static void on_ready(struct loop_io *io, int events)
{
	struct conn *conn = LIST_ENTRY(io, struct conn, io);

	conn->busy = true;
	switch (conn->phase) {
	case PHASE_PROXY: conn_proxy_receive(conn); break;
	case PHASE_HANDSHAKE: conn_tls_shake(conn); break;
	case PHASE_PLAIN:
	case PHASE_SECURE:
		if (events & LOOP_READ && conn->reading && !conn->finishing)
			conn_io_receive(conn);
		if (events & LOOP_WRITE && !conn->dead)
			conn_io_flush(conn);
		break;
	case PHASE_STARTING: conn_io_flush(conn); break;
	case PHASE_DISCARD: conn_io_discard(conn); break;
	case PHASE_ENDED: break;
	}
	conn_set_interest(conn);
	leave(conn);
}

static void on_deadline(struct loop_timer *timer)
{
	struct conn *conn = LIST_ENTRY(timer, struct conn, timer);

	conn->busy = true;
	if (conn->finishing)
		conn_free(conn);
	else
		conn_tell(conn, CONN_DEADLINE);
	leave(conn);
}

static void on_task(struct loop_task *task)
{
	struct conn *conn = LIST_ENTRY(task, struct conn, task);

	conn->busy = true;
	if (conn->broken) {
		conn->broken = false;
		conn_fail(conn, "");
	} else if (conn->again && conn->reading && (conn->phase == PHASE_PLAIN || conn->phase == PHASE_SECURE)) {
		conn->again = false;
		conn_io_again(conn);
	}
	if (conn->more && conn->phase == PHASE_SECURE && conn->reading && !conn->eof && !conn->finishing) {
		conn->more = false;
		conn_io_receive(conn);
	}
	if (!conn->dead)
		conn_io_flush(conn);
	conn_set_interest(conn);
	leave(conn);
}

/* ---------------------------------------------------------------- what the user calls */

void conn_finish(struct conn *conn, int64_t linger_ms)
{
	if (conn->finishing || conn->dead)
		return;
	conn->finishing = true;
	conn->reading = false;
	if (conn->phase == PHASE_ENDED || conn->phase == PHASE_HANDSHAKE || conn->phase == PHASE_PROXY ||
	    conn->broken) {
		conn_free(conn);
		return;
	}
	loop_timer_in(&conn->timer, linger_ms);
	loop_task_post(&conn->task);
	conn_set_interest(conn);
}

struct span conn_input(const struct conn *conn)
{
	return conn->viewing ? conn->view : buf_span(&conn->in);
}

void conn_consume(struct conn *conn, size_t len)
{
	if (conn->viewing) {
		conn->view = span_from(conn->view, len);
		return;
	}
	buf_consume(&conn->in, len);
	if (buf_is_empty(&conn->in))
		buf_release(&conn->in);
	conn_set_interest(conn);
}

void conn_read(struct conn *conn, bool on)
{
	conn->reading = on && !conn->finishing;
	if (conn->reading && (conn_input(conn).len || (conn->eof && !conn->eof_told))) {
		conn->again = true;
		loop_task_post(&conn->task);
	}
	conn_set_interest(conn);
}

bool conn_write(struct conn *conn, const void *data, size_t len)
{
	struct span rest;

	if (conn->phase == PHASE_ENDED || conn->finishing || conn->broken)
		return true; /* nobody will miss it: CONN_FAILED has been told or is owed */
	rest = span_from(span_of(data, len), conn_io_through(conn, span_of(data, len)));
	if (!buf_append_span(&conn->out, rest)) {
		conn->full = true;
		return false;
	}
	if (conn_is_full(conn))
		conn->full = true;
	if (rest.len && !conn->blocked)
		loop_task_post(&conn->task);
	return true;
}

bool conn_is_full(const struct conn *conn)
{
	return conn->out.len > conn->config.output_max / 2;
}

size_t conn_unsent(const struct conn *conn)
{
	return conn->out.len;
}

void conn_on_flush(struct conn *conn)
{
	conn->flush_asked = true;
	loop_task_post(&conn->task);
}

void conn_deadline(struct conn *conn, int64_t boot_ms)
{
	if (!conn->finishing && conn->phase != PHASE_ENDED)
		loop_timer_at(&conn->timer, boot_ms);
}

const char *conn_error(const struct conn *conn)
{
	return conn->error ? conn->error : "";
}

bool conn_failed_in_tls(const struct conn *conn)
{
	return conn->tls_failed;
}

bool conn_failed_by_certificate(const struct conn *conn)
{
	return conn->tls_failed && conn->tls && tls_is_certificate_error(conn->tls);
}

const char *conn_peer(const struct conn *conn)
{
	return conn->peer;
}

const char *conn_local(const struct conn *conn)
{
	return conn->local;
}

const char *conn_peer_host(const struct conn *conn)
{
	return conn->peer_host;
}

bool conn_is_loopback(const struct conn *conn)
{
	return conn->loopback;
}

bool conn_is_own(const struct conn *conn)
{
	return conn->is_own;
}

bool conn_peer_user(const struct conn *conn, uid_t *out_uid, gid_t *out_gid)
{
	struct sockaddr_storage peer = { 0 }, local = { 0 };
	socklen_t peer_len = sizeof(peer), local_len = sizeof(local);

	if (conn->proxied)
		return false;
	if (conn->is_unix)
		return peer_of_unix(conn->fd, out_uid, out_gid);
	if ((!conn->loopback && !conn->is_own) || getpeername(conn->fd, (struct sockaddr *)&peer, &peer_len) != 0 ||
	    getsockname(conn->fd, (struct sockaddr *)&local, &local_len) != 0 || !peer_of_tcp(&peer, &local, out_uid))
		return false;
	*out_gid = (gid_t)-1; /* a TCP socket has no group */
	return true;
}

int conn_fd(const struct conn *conn)
{
	return conn->fd;
}
