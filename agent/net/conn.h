/*
 * conn - one connected stream, TCP or Unix, plain or TLS, with bounded buffers and a deadline.
 *
 * Owns:    the descriptor, the TLS session, one input and one output buffer.
 * Promise: output collects during a turn of the loop and leaves in one write at its end; a big piece leaves at once,
 *          uncopied, as far as the kernel takes it. The input buffer has a cap, and while it is full (or reading is off)
 *          the peer waits. The end of TLS is the end of the connection. Callbacks never come from inside conn_* calls. A
 *          callback may free its connection.
 * Threads: the loop's.
 */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

enum conn_event {
	CONN_INPUT,   /* new bytes in conn_input(), or reading was turned on again with bytes left over */
	CONN_DRAINED, /* the output buffer fell below its low mark after conn_write() had said it is full */
	CONN_SECURE,  /* the TLS handshake is done and, for clients, the peer is proven as demanded */
	CONN_EOF, /* the peer will send no more; conn_input() may hold a rest. Output still works where the peer reads */
	CONN_DEADLINE, /* the deadline passed; it is off now */
	CONN_FAILED,   /* reset, TLS failure …: conn_error() says what; only conn_free() is left */
	CONN_FLUSHED,  /* asked for by conn_on_flush(): all output is with the kernel */
	CONN_PROXIED,  /* asked for by conn_expect_proxy(): the header has been read, the peer is known */
};

struct conn_config {
	struct loop *loop;
	size_t input_max;  /* bytes; 0: 64 KiB */
	size_t output_max; /* bytes; 0: 256 KiB */
	void (*event)(void *arg, enum conn_event event);
	void *arg;
};

/* Takes the descriptor (made non-blocking, CLOEXEC, TCP_NODELAY). Reading is on. Never NULL. */
struct conn *conn_new(const struct conn_config *config, int fd);
/* Closes at once, without flushing; NULL is fine. */
void conn_free(struct conn *conn);
/* No more input, flushes what is written (with TLS: close_notify) for at most `linger_ms`, then frees itself. No
 * event comes any more. */
void conn_finish(struct conn *conn, int64_t linger_ms);

/* Valid until conn_consume() and, inside a callback, until it returns: what is not consumed then moves. Writing does
 * not disturb it. */
struct span conn_input(const struct conn *conn);
void conn_consume(struct conn *conn, size_t len);
void conn_read(struct conn *conn, bool on);

/* Right after conn_new(), on TCP: the connection begins with a PROXY header, and the peer that it names takes the place
 * of the one that called. Nobody here owns such a connection and it is no loopback, whatever the header says. No byte
 * behind it is read before CONN_PROXIED; CONN_FAILED: there is no right one. */
void conn_expect_proxy(struct conn *conn);
bool conn_is_proxied(const struct conn *conn);
/* The header named nobody (a health check of the proxy's): the address is the proxy's own. */
bool conn_is_unnamed(const struct conn *conn);

/* All of it is taken or none: false when more than output_max bytes would wait (an empty buffer takes any size up to
 * it). When conn_is_full() wait for CONN_DRAINED before writing more. */
bool conn_write(struct conn *conn, const void *data, size_t len);
bool conn_is_full(const struct conn *conn); /* more than half of output_max waits */
size_t conn_unsent(const struct conn *conn);
void conn_on_flush(struct conn *conn);

/* Boot time; INT64_MAX: none. */
void conn_deadline(struct conn *conn, int64_t boot_ms);

/* Starts the handshake once all output is flushed. The input buffer must be empty (bytes read in clear must not
 * survive the switch): else -EPROTO and nothing happens. CONN_SECURE or CONN_FAILED follows. */
int conn_tls_accept(struct conn *conn, struct tls_server *server);
int conn_tls_connect(struct conn *conn, struct tls_client *client, const struct tls_demand *demand);
bool conn_is_tls(const struct conn *conn);
bool conn_tls_facts(const struct conn *conn, struct tls_facts *out);
const struct tls_session *conn_tls(const struct conn *conn);

const char *conn_error(const struct conn *conn);          /* for people, or "" */
bool conn_failed_in_tls(const struct conn *conn);         /* the failure came from the handshake or the record layer */
bool conn_failed_by_certificate(const struct conn *conn); /* the peer's was refused */
enum tls_failure conn_tls_failure(const struct conn *conn); /* and what is wrong with it */

/* "192.0.2.7:1234", "[2001:db8::1]:25", "unix"; never NULL. */
const char *conn_peer(const struct conn *conn);
const char *conn_local(const struct conn *conn);
/* The peer's address without port: "192.0.2.7", "2001:db8::1" (v4-mapped as v4), or "" on a Unix socket. */
const char *conn_peer_host(const struct conn *conn);
bool conn_is_loopback(const struct conn *conn);
/* The peer has the address that it called: it is this machine's, too. */
bool conn_is_own(const struct conn *conn);
/* Who is at the other end: SO_PEERCRED on Unix sockets, sock_diag for TCP of this machine (Linux). False: unknown. */
bool conn_peer_user(const struct conn *conn, uid_t *out_uid, gid_t *out_gid);
int conn_fd(const struct conn *conn);

#endif
