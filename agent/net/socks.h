/*
 * socks - the client's side of SOCKS5 as an engine: CONNECT to a name or an address (RFC 1928), with user and password
 *         where the proxy asks for them (RFC 1929).
 *
 * Owns:    its output and what it has read, both of fixed size; socks_fini() overwrites them.
 * Never:   asks for a byte behind the proxy's last answer: what follows belongs to the server behind it; sends the
 *          password where the proxy did not ask for it.
 * Threads: any, one object per thread.
 *
 * Turn about: send socks_output(), then read at most socks_wants() bytes into socks_feed(), until it is SOCKS_DONE.
 */
#ifndef SOCKS_H
#define SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { SOCKS_TEXT_SIZE = 160, SOCKS_FIELD_MAX = 255, SOCKS_REPLY_MAX = 4 + 1 + 255 + 2 };

enum socks_state { SOCKS_METHOD, SOCKS_LOGIN, SOCKS_REPLY, SOCKS_OVER };
enum socks_verdict {
	SOCKS_MORE,
	SOCKS_DONE,
	SOCKS_BAD,     /* the proxy itself: it speaks otherwise, or does not take us; socks_text() */
	SOCKS_REFUSED, /* it does not reach the host, or will not; socks_text() */
};

struct socks_setup {
	const char *host; /* a name, or an address */
	uint16_t port;
	const char *user, *password; /* or NULL */
};

struct socks {
	enum socks_state state;
	char host[SOCKS_FIELD_MAX + 1], user[SOCKS_FIELD_MAX + 1], password[SOCKS_FIELD_MAX + 1];
	uint16_t port;
	bool has_user;
	uint8_t out[1024]; /* at most greeting, login and request, where the proxy does not wait for them */
	size_t out_len, out_sent;
	uint8_t in[SOCKS_REPLY_MAX];
	size_t in_len;
	char text[SOCKS_TEXT_SIZE];
};

/* False: host, user or password are empty or longer than the protocol can say; socks_text(). Copies the setup. */
bool socks_init(struct socks *s, const struct socks_setup *setup);
void socks_fini(struct socks *s);

/* What is still to be sent; socks_sent() drops the first bytes of it. */
struct span socks_output(const struct socks *s);
void socks_sent(struct socks *s, size_t len);
/* How many bytes it may be fed now; 0: none, it is over. */
size_t socks_wants(const struct socks *s);
enum socks_verdict socks_feed(struct socks *s, struct span bytes);
/* Why not, for people; "". */
const char *socks_text(const struct socks *s);

#endif
