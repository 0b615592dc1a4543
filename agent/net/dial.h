/*
 * dial - connect to one of a host's addresses: v6 and v4 staggered (RFC 8305), until one answers or all failed. Also to a
 *        Unix socket path, or to a host behind a SOCKS5 proxy.
 *
 * Owns:    the sockets it tries; the winner's descriptor is handed out.
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
	DIAL_NO_NETWORK, /* no way out (ENETUNREACH …) for any address, nor for the other family: the machine is offline */
	DIAL_LOCAL,      /* our own trouble: descriptors, memory */
	DIAL_PROXY, /* the SOCKS proxy cannot be used, whatever the host; what it says of the host is DIAL_REFUSED */
};

enum { DIAL_TRIES = 16 }; /* addresses tried of one host */

/* One address that was tried, for those who explain. */
struct dial_try {
	struct dns_address address; /* with its port */
	int error;                  /* positive errno; 0: it answered, or was still open when another one did */
	int64_t took_ms;            /* -1: it was not begun */
	char text[96];              /* "Connection refused" …; "" */
};

struct dial_result {
	enum dial_status status;
	int fd;                       /* OK: the caller owns it now; non-blocking, CLOEXEC, TCP_NODELAY */
	struct dns_address address;   /* OK: where to; with SOCKS the proxy's */
	char text[256];               /* for people: "192.0.2.1:587: Connection refused; [2001:db8::1]:587: …" */
	const struct dial_try *tries; /* borrowed for the callback */
	size_t try_count;
};

struct dial_config {
	const struct dns_address *addresses; /* copied */
	size_t count;
	uint16_t port;
	const char *unix_path; /* instead of addresses */
	int64_t timeout_ms;    /* each address; 0: 30 s. With SOCKS once more, for what the proxy does */
	int64_t stagger_ms;    /* 0: 250 */
	/* Local addresses to bind, one of each family at most; an address without one of its family is passed over when
	 * there are any. */
	const char *const *sources;
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
