/*
 * conn_inside - what the parts of a connection share; nobody else includes it.
 *
 * conn.c keeps its life, from the calls of user and loop to its end. conn_io.c moves bytes in and out, conn_tls.c turns
 * a plain connection into a TLS one, conn_proxy.c reads for whom a proxy calls.
 */
#ifndef CONN_INSIDE_H
#define CONN_INSIDE_H

#include "base/buf.h"
#include "net/addr.h"
#include "net/conn.h"

enum conn_phase {
	PHASE_PLAIN,
	PHASE_PROXY,    /* its header is still to come */
	PHASE_STARTING, /* TLS was asked for; what was written before is flushed in clear first */
	PHASE_HANDSHAKE,
	PHASE_SECURE,
	PHASE_DISCARD, /* finished: all is sent; reads and forgets until the peer closes, lest a reset eat our last words */
	PHASE_ENDED,
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
	enum conn_phase phase;
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
	bool is_unix : 1, loopback : 1, is_own : 1, proxied : 1, unnamed : 1;
	char peer[ADDR_TEXT_SIZE];
	char peer_host[ADDR_TEXT_SIZE];
	char local[ADDR_TEXT_SIZE];
};

/* conn.c. False when nothing more may be told: the user has freed or finished the connection. */
bool conn_tell(struct conn *conn, enum conn_event event);
/* From one of our callbacks: ends everything and tells CONN_FAILED, or frees what was finishing. */
void conn_fail(struct conn *conn, const char *text);
/* The first text stays. */
void conn_set_error(struct conn *conn, const char *text);
/* Asks the loop for what the state now needs. */
void conn_set_interest(struct conn *conn);

/* conn_io.c. From our callbacks; afterwards the connection may be dead. */
void conn_io_receive(struct conn *conn);
void conn_io_again(struct conn *conn); /* shows the user what is held once more */
void conn_io_flush(struct conn *conn);
/* How much of a piece the kernel took from where it lies: none where it is small or something waits before it. What goes
 * wrong shows again when the rest is flushed. */
size_t conn_io_through(struct conn *conn, struct span s);
void conn_io_discard(struct conn *conn);

/* conn_proxy.c. The same holds. */
void conn_proxy_receive(struct conn *conn);

/* conn_tls.c. One step of the handshake; the same holds. */
void conn_tls_shake(struct conn *conn);

#endif
