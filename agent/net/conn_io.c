#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "net/conn_inside.h"

enum {
	KEEP_BYTES = 512,          /* an output buffer of this size is kept while idle */
	TLS_WRITE = 16 * 1024,     /* one record */
	THROUGH_MIN = 32 * 1024,   /* smaller pieces are better collected */
	DISCARD_READ = 64 * 1024,  /* at once */
	DISCARD_MAX = 1024 * 1024, /* what a peer may still send after conn_finish() before it is reset */
};

static void fail_errno(struct conn *conn, ssize_t negative)
{
	const char *tls_text = conn->tls ? tls_error(conn->tls) : "";

	if (tls_text[0]) {
		conn->tls_failed = true;
		conn_fail(conn, tls_text);
	} else {
		conn_fail(conn, strerror((int)-negative));
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
		conn_tell(conn, CONN_EOF);
	}
}

/* Shows `view` to the user and keeps what is left of it. */
static bool tell_input(struct conn *conn, struct span view)
{
	bool alive;

	conn->view = view;
	conn->viewing = true;
	alive = conn_tell(conn, CONN_INPUT);
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

void conn_io_receive(struct conn *conn)
{
	ssize_t last;

	if (conn->in.len == conn->config.input_max || !take(conn, &last))
		return;
	if (last < 0 && last != -EAGAIN)
		fail_errno(conn, last);
	else if (conn->phase != PHASE_ENDED)
		tell_eof(conn);
}

void conn_io_again(struct conn *conn)
{
	if (conn->in.len) {
		char *scratch = loop_scratch(conn->config.loop, conn->config.input_max);
		struct span held = buf_span(&conn->in);

		memcpy(scratch, held.data, held.len);
		tell_input(conn, span_of(scratch, held.len));
	}
	if (!conn->dead && !conn->finishing && conn->phase != PHASE_ENDED)
		tell_eof(conn);
}

/* After conn_finish(): closing with unread bytes would make the kernel send a reset, and the peer lose our last words. */
void conn_io_discard(struct conn *conn)
{
	char *scratch = loop_scratch(conn->config.loop, DISCARD_READ);
	ssize_t n = recv(conn->fd, scratch, DISCARD_READ, 0);

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

	if (conn->phase == PHASE_SECURE)
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

		if (conn->phase == PHASE_STARTING)
			s = span_first(s, conn->clear_left);
		if (s.len == 0)
			break;
		n = write_once(conn, s);
		if (n < 0 && n != -EAGAIN)
			return n;
		/* A plain write that was cut short need not be tried again to know that the kernel is full. */
		conn->blocked = n < 0 || (conn->phase != PHASE_SECURE && (size_t)n < s.len);
		if (n > 0) {
			buf_consume(&conn->out, (size_t)n);
			if (conn->phase == PHASE_STARTING)
				conn->clear_left -= (size_t)n;
		}
	}
	if (buf_is_empty(&conn->out) && conn->out.capacity > KEEP_BYTES)
		buf_release(&conn->out);
	return 0;
}

size_t conn_io_through(struct conn *conn, struct span s)
{
	size_t sent = 0;
	ssize_t n = 0;

	if (s.len < THROUGH_MIN || s.len > conn->config.output_max || conn->blocked ||
	    (conn->phase != PHASE_PLAIN && conn->phase != PHASE_SECURE) || !buf_is_empty(&conn->out))
		return 0;
	while (sent < s.len && !conn->blocked) {
		n = write_once(conn, span_from(s, sent));
		if (n < 0 && n != -EAGAIN)
			break;
		sent += n > 0 ? (size_t)n : 0;
		conn->blocked = n < 0 || (conn->phase != PHASE_SECURE && sent < s.len);
	}
	if (n < 0 && n != -EAGAIN && !conn->tls)
		conn_set_error(conn, strerror((int)-n)); /* the next try is told less */
	conn_set_interest(conn);
	return sent;
}

static void finish_sending(struct conn *conn)
{
	if (conn->phase == PHASE_SECURE)
		tls_bye(conn->tls);
	if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
		conn_free(conn);
		return;
	}
	conn->phase = PHASE_DISCARD;
	conn_set_interest(conn);
}

void conn_io_flush(struct conn *conn)
{
	ssize_t error;

	if (conn->phase != PHASE_PLAIN && conn->phase != PHASE_SECURE && conn->phase != PHASE_STARTING)
		return;
	error = push(conn);
	if (error) {
		fail_write(conn, error);
		return;
	}
	if (conn->phase == PHASE_STARTING && conn->clear_left == 0 && !conn->finishing) {
		conn->phase = PHASE_HANDSHAKE;
		conn_tls_shake(conn);
		return;
	}
	if (conn->finishing && (buf_is_empty(&conn->out) || (conn->phase == PHASE_STARTING && conn->clear_left == 0))) {
		finish_sending(conn);
		return;
	}
	if (conn->full && conn->out.len <= conn->config.output_max / 4) {
		conn->full = false;
		if (!conn_tell(conn, CONN_DRAINED))
			return;
	}
	if (conn->flush_asked && buf_is_empty(&conn->out)) {
		conn->flush_asked = false;
		conn_tell(conn, CONN_FLUSHED);
	}
}
