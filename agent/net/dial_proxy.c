#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/dial_inside.h"

static void talk(struct dial_attempt *a);

static void on_proxy(struct loop_io *io, int events)
{
	struct dial_attempt *a = LIST_ENTRY(io, struct dial_attempt, io);
	struct dial *dial = a->dial;

	(void)events;
	talk(a);
	dial_advance(dial);
}

void dial_proxy_begin(struct dial_attempt *a)
{
	struct dial *dial = a->dial;

	for (size_t i = 0; i < dial->begun; i++)
		if (&dial->attempts[i] != a)
			dial_drop(&dial->attempts[i]);
	dial->talking = a;
	dial->said = SOCKS_MORE;
	a->ends_ms = loop_now_ms(dial->loop) + dial->timeout_ms;
	loop_io_stop(&a->io);
	loop_io_init(&a->io, dial->loop, a->fd, on_proxy);
	talk(a);
}

static void give_up_proxy(struct dial_attempt *a, int error, const char *why)
{
	a->why = why;
	dial_lose(a, error ? error : ECONNREFUSED);
}

/* Never more than the engine wants: what follows is the server's. */
static enum socks_verdict listen_to(struct dial_attempt *a)
{
	uint8_t bytes[SOCKS_REPLY_MAX];
	enum socks_verdict verdict = SOCKS_MORE;

	while (verdict == SOCKS_MORE && !socks_output(a->dial->socks).len) {
		ssize_t n = recv(a->fd, bytes, socks_wants(a->dial->socks), 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return SOCKS_MORE;
		if (n <= 0) {
			give_up_proxy(a, n < 0 ? errno : 0, n < 0 ? NULL : "it hangs up");
			return SOCKS_BAD;
		}
		verdict = socks_feed(a->dial->socks, span_of(bytes, (size_t)n));
		if (verdict == SOCKS_BAD || verdict == SOCKS_REFUSED)
			give_up_proxy(a, 0, socks_text(a->dial->socks));
	}
	return verdict;
}

static void talk(struct dial_attempt *a)
{
	struct dial *dial = a->dial;
	struct span out;

	do {
		out = socks_output(dial->socks);
		if (out.len) {
			ssize_t n = send(a->fd, out.data, out.len, MSG_NOSIGNAL);

			if (n < 0 && errno != EAGAIN && errno != EINTR) {
				dial->said = SOCKS_BAD;
				give_up_proxy(a, errno, NULL);
				return;
			}
			socks_sent(dial->socks, n > 0 ? (size_t)n : 0);
			if (socks_output(dial->socks).len)
				break;
		}
		dial->said = listen_to(a);
	} while (dial->said == SOCKS_MORE && socks_output(dial->socks).len);
	if (dial->said == SOCKS_DONE)
		dial->winner = a;
	else if (dial->said == SOCKS_MORE)
		loop_io_set(&a->io, socks_output(dial->socks).len ? LOOP_WRITE : LOOP_READ);
}

/* What the proxy could not be asked for is known before it is called. */
void dial_proxy_take(struct dial *dial, const struct dial_config *config)
{
	struct socks_setup setup = {
		.host = config->socks_host,
		.port = config->port,
		.user = config->socks_user,
		.password = config->socks_password,
	};

	dial->socks = MEM_NEW(struct socks);
	if (socks_init(dial->socks, &setup))
		return;
	dial->talking = &dial->attempts[0];
	dial->talking->why = socks_text(dial->socks);
	dial->said = SOCKS_REFUSED;
}
