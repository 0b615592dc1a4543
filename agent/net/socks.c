#include "net/socks.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "net/addr.h"

enum {
	VERSION = 5,
	LOGIN_VERSION = 1, /* RFC 1929 */
	METHOD_NONE = 0,
	METHOD_LOGIN = 2,
	METHOD_REFUSED = 0xff,
	CONNECT = 1,
	TYPE_V4 = 1,
	TYPE_NAME = 3,
	TYPE_V6 = 4,
};

/* RFC 1928, 6. */
static const char *const replies[] = {
	[1] = "it failed, without saying why",   [2] = "its rules do not allow the connection",
	[3] = "the network cannot be reached",   [4] = "the host cannot be reached",
	[5] = "the host refuses the connection", [6] = "the host cannot be reached in time",
	[7] = "it does not make connections",    [8] = "it does not know this kind of address",
};

static void put(struct socks *s, const void *data, size_t len)
{
	assert(s->out_len + len <= sizeof s->out);
	memcpy(s->out + s->out_len, data, len);
	s->out_len += len;
}

static void put_byte(struct socks *s, unsigned byte)
{
	uint8_t b = (uint8_t)byte;

	put(s, &b, 1);
}

/* With its length in front. */
static void put_text(struct socks *s, const char *text)
{
	put_byte(s, (unsigned)strlen(text));
	put(s, text, strlen(text));
}

static enum socks_verdict say(struct socks *s, enum socks_verdict verdict, const char *text)
{
	snprintf(s->text, sizeof s->text, "%s", text);
	s->state = SOCKS_OVER;
	return verdict;
}

/* ---------------------------------------------------------------- what we say */

static void greet(struct socks *s)
{
	put_byte(s, VERSION);
	put_byte(s, s->has_user ? 2 : 1);
	put_byte(s, METHOD_NONE);
	if (s->has_user)
		put_byte(s, METHOD_LOGIN);
}

static void ask(struct socks *s)
{
	struct sockaddr_storage addr;
	socklen_t len;
	uint16_t port = htons(s->port);
	uint8_t head[] = { VERSION, CONNECT, 0 };

	s->state = SOCKS_REPLY;
	put(s, head, sizeof head);
	if (!addr_literal(s->host, &addr, &len)) {
		put_byte(s, TYPE_NAME);
		put_text(s, s->host);
	} else if (addr.ss_family == AF_INET) {
		put_byte(s, TYPE_V4);
		put(s, &((struct sockaddr_in *)&addr)->sin_addr, 4);
	} else {
		put_byte(s, TYPE_V6);
		put(s, &((struct sockaddr_in6 *)&addr)->sin6_addr, 16);
	}
	put(s, &port, 2);
}

static void log_in(struct socks *s)
{
	s->state = SOCKS_LOGIN;
	put_byte(s, LOGIN_VERSION);
	put_text(s, s->user);
	put_text(s, s->password);
}

/* ---------------------------------------------------------------- what it says */

static enum socks_verdict on_method(struct socks *s)
{
	if (s->in[0] != VERSION)
		return say(s, SOCKS_BAD, "it does not speak SOCKS5");
	if (s->in[1] == METHOD_NONE)
		ask(s);
	else if (s->in[1] == METHOD_LOGIN && s->has_user)
		log_in(s);
	else if (s->in[1] != METHOD_REFUSED)
		return say(s, SOCKS_BAD, "it chose a way to log in that it was not offered");
	else
		return say(s, SOCKS_BAD,
			   s->has_user ? "it takes neither user and password nor nobody"
				       : "it wants a login, and the configuration names no user");
	return SOCKS_MORE;
}

static enum socks_verdict on_login(struct socks *s)
{
	/* RFC 1929 leaves it open which version stands in the answer; some write 5. */
	if (s->in[1] != 0)
		return say(s, SOCKS_BAD, "it refuses user and password");
	ask(s);
	return SOCKS_MORE;
}

static enum socks_verdict on_reply(struct socks *s)
{
	unsigned code = s->in[1];
	char text[SOCKS_TEXT_SIZE];

	if (s->in[0] != VERSION)
		return say(s, SOCKS_BAD, "its answer is not SOCKS5");
	if (code == 0)
		return say(s, SOCKS_DONE, "");
	if (code < sizeof replies / sizeof replies[0])
		return say(s, SOCKS_REFUSED, replies[code]);
	snprintf(text, sizeof text, "it failed with the unknown code %u", code);
	return say(s, SOCKS_REFUSED, text);
}

/* How long the answer is, as far as it can be known by now; 0: it cannot be an answer. */
static size_t reply_len(const struct socks *s)
{
	if (s->in_len < 5)
		return 5; /* every kind of address is longer */
	switch (s->in[3]) {
	case TYPE_V4: return 4 + 4 + 2;
	case TYPE_V6: return 4 + 16 + 2;
	case TYPE_NAME: return 4 + 1 + (size_t)s->in[4] + 2;
	default: return 0;
	}
}

static size_t needed(const struct socks *s)
{
	switch (s->state) {
	case SOCKS_METHOD:
	case SOCKS_LOGIN: return 2;
	case SOCKS_REPLY: return reply_len(s);
	case SOCKS_OVER: break;
	}
	return 0;
}

size_t socks_wants(const struct socks *s)
{
	size_t all = needed(s);

	return all > s->in_len ? all - s->in_len : 0;
}

static enum socks_verdict on_answer(struct socks *s)
{
	switch (s->state) {
	case SOCKS_METHOD: return on_method(s);
	case SOCKS_LOGIN: return on_login(s);
	case SOCKS_REPLY: return on_reply(s);
	case SOCKS_OVER: break;
	}
	return SOCKS_BAD;
}

enum socks_verdict socks_feed(struct socks *s, struct span bytes)
{
	enum socks_verdict verdict;

	assert(bytes.len <= socks_wants(s));
	memcpy(s->in + s->in_len, bytes.data, bytes.len);
	s->in_len += bytes.len;
	/* A refusal is known before its address, which some proxies leave out. */
	if (s->state == SOCKS_REPLY && s->in_len >= 2 && s->in[1] != 0)
		return on_reply(s);
	if (s->state == SOCKS_REPLY && s->in_len && s->in[0] != VERSION)
		return on_reply(s);
	if (s->state == SOCKS_REPLY && reply_len(s) == 0)
		return say(s, SOCKS_BAD, "its answer is not SOCKS5");
	if (s->state == SOCKS_OVER || socks_wants(s))
		return s->state == SOCKS_OVER ? SOCKS_BAD : SOCKS_MORE;
	verdict = on_answer(s);
	s->in_len = 0;
	return verdict;
}

/* ---------------------------------------------------------------- life */

static bool copy(char out[SOCKS_FIELD_MAX + 1], const char *text)
{
	size_t len = strlen(text);

	if (len > SOCKS_FIELD_MAX)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

bool socks_init(struct socks *s, const struct socks_setup *setup)
{
	*s = (struct socks){ .port = setup->port, .has_user = setup->user && setup->user[0] };
	if (!setup->host[0] || !copy(s->host, setup->host)) {
		say(s, SOCKS_BAD, "the name of the host is too long for it");
		return false;
	}
	if (!copy(s->user, s->has_user ? setup->user : "") ||
	    !copy(s->password, setup->password ? setup->password : "")) {
		say(s, SOCKS_BAD, "user and password may have 255 bytes");
		return false;
	}
	greet(s);
	return true;
}

void socks_fini(struct socks *s)
{
	explicit_bzero(s->password, sizeof s->password);
	explicit_bzero(s->out, sizeof s->out);
}

struct span socks_output(const struct socks *s)
{
	return span_of(s->out + s->out_sent, s->out_len - s->out_sent);
}

void socks_sent(struct socks *s, size_t len)
{
	assert(len <= s->out_len - s->out_sent);
	s->out_sent += len;
	if (s->out_sent < s->out_len)
		return;
	explicit_bzero(s->out, s->out_len);
	s->out_len = s->out_sent = 0;
}

const char *socks_text(const struct socks *s)
{
	return s->text;
}
