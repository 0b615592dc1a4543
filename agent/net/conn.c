#include "net/conn.h"

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
#include "net/peer.h"

enum {
	INPUT_MAX = 64 * 1024,
	OUTPUT_MAX = 256 * 1024,
	KEEP_BYTES = 512,          /* an output buffer of this size is kept while idle */
	TLS_WRITE = 16 * 1024,     /* one record */
	DISCARD_MAX = 1024 * 1024, /* what a peer may still send after conn_finish() before it is reset */
};

enum phase {
	PLAIN,
	STARTING, /* TLS was asked for; what was written before is flushed in clear first */
	HANDSHAKE,
	SECURE,
	DISCARD, /* finished: all is sent; reads and forgets until the peer closes, lest a reset eat our last words */
	ENDED,
};

struct conn {
	struct conn_config config;
	struct loop_io io;
	struct loop_timer timer;
	struct loop_task task;
	struct buf in, out;
	struct span view; /* while CONN_INPUT runs: held bytes and new ones, in the loop's scratch memory */
	struct tls_session *tls;
	char *error;
	size_t clear_left; /* STARTING: bytes of `out` that still go in clear */
	size_t discarded;
	int fd;
	enum phase phase;
	enum tls_result want; /* HANDSHAKE: what it waits for */
	bool viewing : 1;
	bool reading : 1; /* the user wants input */
	bool more : 1;    /* the TLS session may hold more than the input buffer had room for */
	bool again : 1;   /* reading was turned on: hand out what is held */
	bool eof : 1, eof_told : 1;
	bool blocked : 1; /* the kernel takes no more */
	bool full : 1;    /* CONN_DRAINED is owed */
	bool flush_asked : 1;
	bool finishing : 1;
	bool broken : 1; /* failed inside a call; CONN_FAILED is owed */
	bool tls_failed : 1;
	bool busy : 1; /* one of our callbacks runs: the memory must outlive it */
	bool dead : 1;
	bool is_unix : 1, loopback : 1;
	char peer[ADDR_TEXT_SIZE];
	char peer_host[ADDR_TEXT_SIZE];
	char local[ADDR_TEXT_SIZE];
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

	if (getpeername(conn->fd, (struct sockaddr *)&addr, &len) == 0) {
		conn->is_unix = addr.ss_family == AF_UNIX;
		conn->loopback = addr_is_loopback(&addr);
		addr_text(&addr, conn->peer);
		addr_host(&addr, conn->peer_host);
	} else {
		snprintf(conn->peer, sizeof(conn->peer), "unknown");
	}
	len = sizeof(addr);
	if (getsockname(conn->fd, (struct sockaddr *)&addr, &len) == 0)
		addr_text(&addr, conn->local);
	else
		snprintf(conn->local, sizeof(conn->local), "unknown");
}

static void set_interest(struct conn *conn)
{
	int events = 0;

	switch (conn->phase) {
	case HANDSHAKE: events = conn->want == TLS_WANT_WRITE ? LOOP_WRITE : LOOP_READ; break;
	case PLAIN:
	case SECURE:
		if (conn->reading && !conn->eof && conn->in.len < conn->config.input_max)
			events |= LOOP_READ;
		if (conn->blocked)
			events |= LOOP_WRITE;
		break;
	case STARTING:
		if (conn->blocked)
			events = LOOP_WRITE;
		break;
	case DISCARD: events = LOOP_READ; break;
	case ENDED: break;
	}
	/* While CONN_INPUT runs the buffers are in flux; it is done once after that. */
	if (conn->viewing || conn->dead)
		return;
	loop_io_set(&conn->io, events);
	if (conn->more && conn->phase == SECURE && events & LOOP_READ)
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
	set_interest(conn);
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
	conn->phase = ENDED;
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

/* False when nothing more may be told: the user has freed or finished the connection. */
static bool tell(struct conn *conn, enum conn_event event)
{
	if (conn->dead || conn->finishing)
		return false;
	conn->config.event(conn->config.arg, event);
	return !conn->dead && !conn->finishing;
}

/* ---------------------------------------------------------------- failure */

static void set_error(struct conn *conn, const char *text)
{
	if (!conn->error)
		conn->error = mem_strdup(text);
}

/* From one of our callbacks. */
static void fail(struct conn *conn, const char *text)
{
	if (conn->dead || conn->phase == ENDED)
		return;
	set_error(conn, text);
	conn->phase = ENDED;
	loop_io_stop(&conn->io);
	loop_timer_stop(&conn->timer);
	buf_release(&conn->out);
	if (conn->finishing)
		conn_free(conn);
	else
		tell(conn, CONN_FAILED);
}

static void fail_errno(struct conn *conn, ssize_t negative)
{
	const char *tls_text = conn->tls ? tls_error(conn->tls) : "";

	if (tls_text[0]) {
		conn->tls_failed = true;
		fail(conn, tls_text);
	} else {
		fail(conn, strerror((int)-negative));
	}
}

/* ---------------------------------------------------------------- input */

/* Bytes, 0 at the end, -EAGAIN, -errno. */
static ssize_t read_once(struct conn *conn, char *room, size_t len)
{
	ssize_t n;
	bool clean;

	if (conn->tls)
		return tls_read(conn->tls, room, len, &clean);
	do {
		n = recv(conn->fd, room, len, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* One read of plain bytes; of TLS all records that are there, for what is decrypted no poll announces. */
static size_t read_some(struct conn *conn, char *room, size_t len, ssize_t *out_last)
{
	size_t got = 0;

	do {
		*out_last = read_once(conn, room + got, len - got);
		if (*out_last > 0)
			got += (size_t)*out_last;
	} while (conn->tls && *out_last > 0 && got < len);
	return got;
}

static void tell_eof(struct conn *conn)
{
	if (conn->eof && !conn->eof_told && conn->reading) {
		conn->eof_told = true;
		tell(conn, CONN_EOF);
	}
}

/* Shows `view` to the user and keeps what is left of it. */
static bool tell_input(struct conn *conn, struct span view)
{
	bool alive;

	conn->view = view;
	conn->viewing = true;
	alive = tell(conn, CONN_INPUT);
	conn->viewing = false;
	if (conn->dead)
		return false;
	buf_release(&conn->in);
	if (!conn->finishing)
		buf_append_span(&conn->in, conn->view);
	return alive;
}

/*
 * New bytes are read into memory that all connections share and shown from there, behind what this one still held: an
 * idle connection owns no input buffer, and a busy one copies only what its user leaves over.
 */
static bool take(struct conn *conn, ssize_t *out_last)
{
	size_t held = conn->in.len, room = conn->config.input_max - held, got;
	char *scratch = loop_scratch(conn->config.loop, conn->config.input_max);

	if (held)
		memcpy(scratch, buf_span(&conn->in).data, held);
	got = read_some(conn, scratch + held, room, out_last);
	if (*out_last == 0)
		conn->eof = true;
	conn->more = conn->tls && *out_last > 0;
	return got == 0 || tell_input(conn, span_of(scratch, held + got));
}

static void receive(struct conn *conn)
{
	ssize_t last;

	if (conn->in.len == conn->config.input_max || !take(conn, &last))
		return;
	if (last < 0 && last != -EAGAIN)
		fail_errno(conn, last);
	else if (conn->phase != ENDED)
		tell_eof(conn);
}

/* After conn_finish(): closing with unread bytes would make the kernel send a reset, and the peer lose our last words. */
static void discard(struct conn *conn)
{
	char *scratch = loop_scratch(conn->config.loop, INPUT_MAX);
	ssize_t n = recv(conn->fd, scratch, INPUT_MAX, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		conn->discarded += (size_t)n;
	if (n <= 0 || conn->discarded > DISCARD_MAX)
		conn_free(conn);
}

/* ---------------------------------------------------------------- output */

static ssize_t write_once(struct conn *conn, struct span s)
{
	ssize_t n;

	if (conn->phase == SECURE)
		return tls_write(conn->tls, s.data, s.len < TLS_WRITE ? s.len : TLS_WRITE);
	do {
		n = send(conn->fd, s.data, s.len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* The peer is gone for writing, but may have said why before it went. */
static void fail_write(struct conn *conn, ssize_t error)
{
	ssize_t last;

	buf_release(&conn->out);
	if (conn->reading && !conn->finishing && !conn->eof && conn->in.len < conn->config.input_max &&
	    !take(conn, &last))
		return;
	fail_errno(conn, error);
}

/* 0, or the error that ended writing. */
static ssize_t push(struct conn *conn)
{
	conn->blocked = false;
	while (!buf_is_empty(&conn->out) && !conn->blocked) {
		struct span s = buf_span(&conn->out);
		ssize_t n;

		if (conn->phase == STARTING)
			s = span_first(s, conn->clear_left);
		if (s.len == 0)
			break;
		n = write_once(conn, s);
		if (n < 0 && n != -EAGAIN)
			return n;
		/* A plain write that was cut short need not be tried again to know that the kernel is full. */
		conn->blocked = n < 0 || (conn->phase != SECURE && (size_t)n < s.len);
		if (n > 0) {
			buf_consume(&conn->out, (size_t)n);
			if (conn->phase == STARTING)
				conn->clear_left -= (size_t)n;
		}
	}
	if (buf_is_empty(&conn->out) && conn->out.capacity > KEEP_BYTES)
		buf_release(&conn->out);
	return 0;
}

static void finish_sending(struct conn *conn)
{
	if (conn->phase == SECURE)
		tls_bye(conn->tls);
	if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
		conn_free(conn);
		return;
	}
	conn->phase = DISCARD;
	set_interest(conn);
}

static void shake(struct conn *conn);

static void flush(struct conn *conn)
{
	ssize_t error;

	if (conn->phase != PLAIN && conn->phase != SECURE && conn->phase != STARTING)
		return;
	error = push(conn);
	if (error) {
		fail_write(conn, error);
		return;
	}
	if (conn->phase == STARTING && conn->clear_left == 0 && !conn->finishing) {
		conn->phase = HANDSHAKE;
		shake(conn);
		return;
	}
	if (conn->finishing && (buf_is_empty(&conn->out) || (conn->phase == STARTING && conn->clear_left == 0))) {
		finish_sending(conn);
		return;
	}
	if (conn->full && conn->out.len <= conn->config.output_max / 4) {
		conn->full = false;
		if (!tell(conn, CONN_DRAINED))
			return;
	}
	if (conn->flush_asked && buf_is_empty(&conn->out)) {
		conn->flush_asked = false;
		tell(conn, CONN_FLUSHED);
	}
}

/* ---------------------------------------------------------------- TLS */

static void shake(struct conn *conn)
{
	conn->want = tls_handshake(conn->tls);
	switch (conn->want) {
	case TLS_DONE:
		conn->phase = SECURE;
		/* The first bytes may have come with the end of the handshake and wait inside the session. */
		conn->more = true;
		loop_task_post(&conn->task); /* what was written meanwhile, and CONN_FLUSHED where it is owed */
		if (tell(conn, CONN_SECURE) && conn->phase == SECURE && conn->reading)
			receive(conn);
		break;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE: break;
	case TLS_FAILED:
		conn->tls_failed = true;
		fail(conn, tls_error(conn->tls));
		break;
	}
}

static int start_tls(struct conn *conn, struct tls_session *tls, const char *why)
{
	if (!tls) {
		set_error(conn, why);
		conn->tls_failed = true;
		conn->broken = true;
	} else {
		conn->tls = tls;
		conn->clear_left = conn->out.len;
		conn->phase = STARTING;
	}
	loop_task_post(&conn->task);
	set_interest(conn);
	return 0;
}

static bool may_start_tls(const struct conn *conn)
{
	return conn->phase == PLAIN && !conn->broken && !conn->eof && conn_input(conn).len == 0;
}

int conn_tls_accept(struct conn *conn, struct tls_server *server)
{
	char why[256] = "";

	if (!may_start_tls(conn))
		return -EPROTO;
	return start_tls(conn, tls_accept(server, conn->fd, why, sizeof(why)), why);
}

int conn_tls_connect(struct conn *conn, struct tls_client *client, const struct tls_demand *demand)
{
	char why[256] = "";

	if (!may_start_tls(conn))
		return -EPROTO;
	return start_tls(conn, tls_connect(client, conn->fd, demand, why, sizeof(why)), why);
}

bool conn_is_tls(const struct conn *conn)
{
	return conn->phase == SECURE;
}

bool conn_tls_facts(const struct conn *conn, struct tls_facts *out)
{
	if (conn->phase != SECURE)
		return false;
	tls_facts(conn->tls, out);
	return true;
}

const struct tls_session *conn_tls(const struct conn *conn)
{
	return conn->phase == SECURE ? conn->tls : NULL;
}

/* ---------------------------------------------------------------- what the loop calls */

static void on_ready(struct loop_io *io, int events)
{
	struct conn *conn = LIST_ENTRY(io, struct conn, io);

	conn->busy = true;
	switch (conn->phase) {
	case HANDSHAKE: shake(conn); break;
	case PLAIN:
	case SECURE:
		if (events & LOOP_READ && conn->reading && !conn->finishing)
			receive(conn);
		if (events & LOOP_WRITE && !conn->dead)
			flush(conn);
		break;
	case STARTING: flush(conn); break;
	case DISCARD: discard(conn); break;
	case ENDED: break;
	}
	set_interest(conn);
	leave(conn);
}

static void on_deadline(struct loop_timer *timer)
{
	struct conn *conn = LIST_ENTRY(timer, struct conn, timer);

	conn->busy = true;
	if (conn->finishing)
		conn_free(conn);
	else
		tell(conn, CONN_DEADLINE);
	leave(conn);
}

static void on_task(struct loop_task *task)
{
	struct conn *conn = LIST_ENTRY(task, struct conn, task);

	conn->busy = true;
	if (conn->broken) {
		conn->broken = false;
		fail(conn, "");
	} else if (conn->again && conn->reading && (conn->phase == PLAIN || conn->phase == SECURE)) {
		conn->again = false;
		if (conn->in.len) {
			char *scratch = loop_scratch(conn->config.loop, conn->config.input_max);
			struct span held = buf_span(&conn->in);

			memcpy(scratch, held.data, held.len);
			tell_input(conn, span_of(scratch, held.len));
		}
		if (!conn->dead && !conn->finishing && conn->phase != ENDED)
			tell_eof(conn);
	}
	if (conn->more && conn->phase == SECURE && conn->reading && !conn->eof && !conn->finishing) {
		conn->more = false;
		receive(conn);
	}
	if (!conn->dead)
		flush(conn);
	set_interest(conn);
	leave(conn);
}

/* ---------------------------------------------------------------- what the user calls */

void conn_finish(struct conn *conn, int64_t linger_ms)
{
	if (conn->finishing || conn->dead)
		return;
	conn->finishing = true;
	conn->reading = false;
	if (conn->phase == ENDED || conn->phase == HANDSHAKE || conn->broken) {
		conn_free(conn);
		return;
	}
	loop_timer_in(&conn->timer, linger_ms);
	loop_task_post(&conn->task);
	set_interest(conn);
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
	set_interest(conn);
}

void conn_read(struct conn *conn, bool on)
{
	conn->reading = on && !conn->finishing;
	if (conn->reading && (conn_input(conn).len || (conn->eof && !conn->eof_told))) {
		conn->again = true;
		loop_task_post(&conn->task);
	}
	set_interest(conn);
}

bool conn_write(struct conn *conn, const void *data, size_t len)
{
	if (conn->phase == ENDED || conn->finishing || conn->broken)
		return true; /* nobody will miss it: CONN_FAILED has been told or is owed */
	if (!buf_append(&conn->out, data, len)) {
		conn->full = true;
		return false;
	}
	if (conn_is_full(conn))
		conn->full = true;
	if (!conn->blocked)
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
	if (!conn->finishing && conn->phase != ENDED)
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

bool conn_peer_user(const struct conn *conn, uid_t *out_uid, gid_t *out_gid)
{
	struct sockaddr_storage peer = { 0 }, local = { 0 };
	socklen_t peer_len = sizeof(peer), local_len = sizeof(local);

	if (conn->is_unix)
		return peer_of_unix(conn->fd, out_uid, out_gid);
	if (!conn->loopback || getpeername(conn->fd, (struct sockaddr *)&peer, &peer_len) != 0 ||
	    getsockname(conn->fd, (struct sockaddr *)&local, &local_len) != 0 || !peer_of_tcp(&peer, &local, out_uid))
		return false;
	*out_gid = (gid_t)-1; /* a TCP socket has no group */
	return true;
}

int conn_fd(const struct conn *conn)
{
	return conn->fd;
}
