/*
 * proxy - the header with which a proxy says for whom it calls: PROXY protocol, versions 1 (text) and 2 (binary), as
 * HAProxy's specification has them.
 *
 * Owns:    nothing; pure. The whole header is looked at again with each call: it is short, and of version 2 nothing but
 *          its length is read before all of it is there.
 * Never:   takes a byte behind the header; believes a length: addresses and TLVs must lie inside the length that
 *          was announced, which is at most PROXY_MAX in all.
 * Threads: any.
 */
#ifndef PROXY_H
#define PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/span.h"

enum {
	PROXY_V1_MAX = 107, /* of the line with its CRLF */
	PROXY_V2_HEAD = 16, /* signature, version and command, family, length */
	PROXY_MAX = 4096,   /* of a header of version 2; 536 are said to be enough without long TLVs */
};

enum proxy_verdict { PROXY_MORE, PROXY_DONE, PROXY_BAD };

struct proxy_header {
	unsigned version; /* 1 or 2 */
	/* LOCAL, or UNKNOWN, or a family that has no address for us: the proxy speaks for itself (a health check) or does
	 * not say for whom. Then the two addresses are empty. */
	bool is_local;
	struct sockaddr_storage peer;  /* who called the proxy */
	struct sockaddr_storage local; /* where it called */
};

/* `bytes` is all that has come so far, from the first byte on. PROXY_MORE: all of it is part of the header.
 * PROXY_DONE: the first *out_taken bytes are the header. PROXY_BAD: *out_why is a sentence for people. */
enum proxy_verdict proxy_parse(struct span bytes, struct proxy_header *out, size_t *out_taken, const char **out_why);

#endif
