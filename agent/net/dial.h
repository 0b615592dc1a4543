/*
 * dial - connect to one of a host's addresses: v6 and v4 staggered (RFC 8305), until one answers or all failed.
 *
 * Owns:    the sockets it tries; the winner's descriptor is handed out. Also connects to a Unix socket path.
 * Promise: the callback never runs from inside dial_start(); after dial_cancel() it never runs.
 * Threads: the loop's.
 */
#ifndef DIAL_H
#define DIAL_H

#include <stdint.h>

#include "net/dns.h"

struct dial;

enum dial_status {
	DIAL_OK,
	DIAL_REFUSED, /* all addresses refused, reset or unreachable by host */
	DIAL_TIMEOUT,
	DIAL_NO_NETWORK, /* no route at all (ENETUNREACH, EADDRNOTAVAIL on every address): the machine is offline */
	DIAL_LOCAL,      /* our own trouble: descriptors, memory */
};

struct dial_result {
	enum dial_status status;
	int fd;                     /* OK: the caller owns it now; non-blocking, CLOEXEC, TCP_NODELAY */
	struct dns_address address; /* OK: where to */
	char text[256];             /* for people: "192.0.2.1:587: Connection refused; [2001:db8::1]:587: …" */
};

struct dial_config {
	const struct dns_address *addresses; /* copied */
	size_t count;
	uint16_t port;
	const char *unix_path; /* instead of addresses */
	int64_t timeout_ms;    /* each address; 0: 30 s */
	int64_t stagger_ms;    /* 0: 250 */
	const char *source;    /* local address to bind, or NULL; gives way to: */
	const char *const
		*sources; /* local addresses to bind, one of each family at most; an address without one of its
	                               family is passed over when there are any */
	size_t source_count;
	/* SOCKS5: `addresses` are the proxy's, and it is asked for this name (or address) and `port`. NULL: none. */
	const char *socks_host;
	uint16_t socks_port;                     /* of the proxy */
	const char *socks_user, *socks_password; /* or NULL */
};

struct dial *dial_start(struct loop *loop, const struct dial_config *config,
			void (*done)(void *arg, const struct dial_result *result), void *arg);
void dial_cancel(struct dial *dial);

#endif
