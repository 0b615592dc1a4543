#include <errno.h>

#include "base/buf.h"
#include "net/conn_inside.h"

void conn_tls_shake(struct conn *conn)
{
	conn->want = tls_handshake(conn->tls);
	switch (conn->want) {
	case TLS_DONE:
		conn->phase = PHASE_SECURE;
		/* The first bytes may have come with the end of the handshake and wait inside the session. */
		conn->more = true;
		loop_task_post(&conn->task); /* what was written meanwhile, and CONN_FLUSHED where it is owed */
		if (conn_tell(conn, CONN_SECURE) && conn->phase == PHASE_SECURE && conn->reading)
			conn_io_receive(conn);
		break;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE: break;
	case TLS_FAILED:
		conn->tls_failed = true;
		conn_fail(conn, tls_error(conn->tls));
		break;
	}
}

static int start_tls(struct conn *conn, struct tls_session *tls, const char *why)
{
	if (!tls) {
		conn_set_error(conn, why);
		conn->tls_failed = true;
		conn->broken = true;
	} else {
		conn->tls = tls;
		conn->clear_left = conn->out.len;
		conn->phase = PHASE_STARTING;
	}
	loop_task_post(&conn->task);
	conn_set_interest(conn);
	return 0;
}

static bool may_start_tls(const struct conn *conn)
{
	return conn->phase == PHASE_PLAIN && !conn->broken && !conn->eof && conn_input(conn).len == 0;
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
	return conn->phase == PHASE_SECURE;
}

bool conn_tls_facts(const struct conn *conn, struct tls_facts *out)
{
	if (conn->phase != PHASE_SECURE)
		return false;
	tls_facts(conn->tls, out);
	return true;
}

const struct tls_session *conn_tls(const struct conn *conn)
{
	return conn->phase == PHASE_SECURE ? conn->tls : NULL;
}

enum tls_failure conn_tls_failure(const struct conn *conn)
{
	return conn->tls ? tls_failure(conn->tls) : TLS_FAILURE_NONE;
}
