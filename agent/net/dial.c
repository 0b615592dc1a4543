#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/addr.h"

enum {
	DIAL_MOST = 16, /* addresses tried of one host */
	TIMEOUT_MS = 30 * 1000,
	STAGGER_MS = 250,
	UNIX_RETRY_MS = 50, /* a Unix socket whose backlog is full answers EAGAIN and no poll announces room */
};

struct attempt {
	struct dial *dial;
	struct sockaddr_storage addr;
	socklen_t len;
	int fd;          /* -1: not begun or over */
	int error;       /* positive errno; 0: none yet */
	int64_t ends_ms; /* boot time */
	struct loop_io io;
};

struct dial {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_task task; /* the answer, where it was known at once */
	void (*done)(void *arg, const struct dial_result *result);
	void *arg;
	struct attempt attempts[DIAL_MOST];
	size_t count, begun;
	int64_t next_ms; /* when the next address has its turn */
	int64_t timeout_ms, stagger_ms;
	struct sockaddr_storage source;
	socklen_t source_len; /* 0: any */
	int source_error;
	struct attempt *winner;
	bool is_unix;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static bool is_over(const struct attempt *a)
{
	return a->fd < 0 && a->error;
}

static void drop(struct attempt *a)
{
	loop_io_stop(&a->io);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

static void lose(struct attempt *a, int error)
{
	drop(a);
	a->error = error;
	a->dial->next_ms = 0; /* no need to wait for the next one */
}

/* ---------------------------------------------------------------- the answer */

/* How the errors of all addresses add up. */
static enum dial_status sum_up(const struct dial *dial)
{
	size_t unreachable = 0;
	bool timeout = false;

	for (size_t i = 0; i < dial->count; i++) {
		/* Without an address of our own in the way it means that all local ports are taken. */
		if (dial->attempts[i].error == EADDRNOTAVAIL && dial->attempts[i].addr.ss_family == AF_INET &&
		    !dial->source_len)
			return DIAL_LOCAL;
		switch (dial->attempts[i].error) {
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM: return DIAL_LOCAL;
		case ETIMEDOUT: timeout = true; break;
		case ENETUNREACH:
		case ENETDOWN:
		case EADDRNOTAVAIL:
		case EAFNOSUPPORT: unreachable++; break;
		default: break;
		}
	}
	if (unreachable == dial->count && dial->count)
		return DIAL_NO_NETWORK;
	return timeout ? DIAL_TIMEOUT : DIAL_REFUSED;
}

static void explain(const struct dial *dial, struct dial_result *result)
{
	size_t used = 0;

	if (dial->count == 0)
		snprintf(result->text, sizeof(result->text), "the host has no address to connect to");
	for (size_t i = 0; i < dial->count && used < sizeof(result->text) - 1; i++) {
		char name[ADDR_TEXT_SIZE];
		const char *where = dial->is_unix ? dial->path : addr_text(&dial->attempts[i].addr, name);
		int n = snprintf(result->text + used, sizeof(result->text) - used, "%s%s: %s", i ? "; " : "", where,
				 strerror(dial->attempts[i].error));

		used += n > 0 ? (size_t)n : 0;
	}
}

static void answer(struct dial *dial)
{
	struct dial_result result = { .status = DIAL_OK, .fd = -1 };
	void (*done)(void *arg, const struct dial_result *result) = dial->done;
	void *arg = dial->arg;

	if (dial->winner) {
		result.fd = dial->winner->fd;
		result.address.addr = dial->winner->addr;
		result.address.len = dial->winner->len;
		loop_io_stop(&dial->winner->io);
		dial->winner->fd = -1;
	} else {
		result.status = sum_up(dial);
		explain(dial, &result);
	}
	dial_cancel(dial);
	done(arg, &result);
}

void dial_cancel(struct dial *dial)
{
	if (!dial)
		return;
	loop_timer_stop(&dial->timer);
	loop_task_stop(&dial->task);
	for (size_t i = 0; i < dial->begun; i++)
		drop(&dial->attempts[i]);
	mem_free(dial);
}

/* ---------------------------------------------------------------- one address */

/* Two ends of one socket: a connection to a free port of the ephemeral range can meet itself. */
static bool met_itself(int fd)
{
	struct sockaddr_storage here = { 0 }, there = { 0 };
	socklen_t here_len = sizeof(here), there_len = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &there_len) == 0 && here.ss_family != AF_UNIX &&
	       here_len == there_len && memcmp(&here, &there, here_len) == 0;
}

static void settle(struct attempt *a)
{
	if (met_itself(a->fd))
		lose(a, ECONNREFUSED);
	else
		a->dial->winner = a;
}

static void advance(struct dial *dial);

static void on_connected(struct loop_io *io, int events)
{
	struct attempt *a = LIST_ENTRY(io, struct attempt, io);
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error)
		lose(a, error);
	else
		settle(a);
	advance(a->dial);
}

static int bind_source(const struct dial *dial, const struct attempt *a)
{
	if (dial->is_unix || (dial->source_len == 0 && !dial->source_error))
		return 0;
	if (dial->source_error)
		return dial->source_error;
	if (dial->source.ss_family != a->addr.ss_family)
		return EADDRNOTAVAIL;
#ifdef IP_BIND_ADDRESS_NO_PORT
	/* The port is chosen at connect(), where two connections to different hosts may share one. */
	setsockopt(a->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
#endif
	return bind(a->fd, (const struct sockaddr *)&dial->source, dial->source_len) == 0 ? 0 : errno;
}

static void try_connect(struct attempt *a)
{
	if (connect(a->fd, (const struct sockaddr *)&a->addr, a->len) == 0)
		settle(a);
	else if (errno == EINPROGRESS)
		loop_io_set(&a->io, LOOP_WRITE);
	else if (!(errno == EAGAIN && a->dial->is_unix))
		lose(a, errno);
}

static void begin(struct attempt *a, int64_t now_ms)
{
	int error, one = 1;

	a->fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	loop_io_init(&a->io, a->dial->loop, a->fd, on_connected);
	a->ends_ms = now_ms + a->dial->timeout_ms;
	if (a->fd < 0) {
		lose(a, errno);
		return;
	}
	error = bind_source(a->dial, a);
	if (error) {
		lose(a, error);
		return;
	}
	if (!a->dial->is_unix)
		setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	try_connect(a);
}

/* ---------------------------------------------------------------- all of them */

/* Begins what is due and gives up what has waited too long; returns when to look again, or 0 when all is known. */
static int64_t look(struct dial *dial)
{
	int64_t now = loop_now_ms(dial->loop), wake = INT64_MAX;
	size_t over = 0;

	for (size_t i = 0; i < dial->begun; i++) {
		struct attempt *a = &dial->attempts[i];

		if (a->fd >= 0 && now >= a->ends_ms)
			lose(a, ETIMEDOUT);
		else if (a->fd >= 0 && dial->is_unix && !dial->winner)
			try_connect(a);
	}
	while (!dial->winner && dial->begun < dial->count && now >= dial->next_ms) {
		dial->next_ms = now + dial->stagger_ms;
		begin(&dial->attempts[dial->begun++], now);
	}
	if (dial->winner)
		return 0;
	for (size_t i = 0; i < dial->begun; i++) {
		const struct attempt *a = &dial->attempts[i];

		over += is_over(a);
		if (a->fd >= 0 && a->ends_ms < wake)
			wake = a->ends_ms;
		if (a->fd >= 0 && dial->is_unix && now + UNIX_RETRY_MS < wake)
			wake = now + UNIX_RETRY_MS;
	}
	if (over == dial->count)
		return 0;
	return dial->begun < dial->count && dial->next_ms < wake ? dial->next_ms : wake;
}

/* Only from a callback of the loop: may end in the user's. */
static void advance(struct dial *dial)
{
	int64_t wake = look(dial);

	if (wake)
		loop_timer_at(&dial->timer, wake);
	else
		answer(dial);
}

static void on_timer(struct loop_timer *timer)
{
	advance(LIST_ENTRY(timer, struct dial, timer));
}

static void on_task(struct loop_task *task)
{
	answer(LIST_ENTRY(task, struct dial, task));
}

/* Families take turns, beginning with that of the first address (RFC 8305, 4). */
static void order(struct dial *dial, const struct dial_config *config)
{
	bool used[DIAL_MOST] = { false };
	size_t count = config->count < DIAL_MOST ? config->count : DIAL_MOST;
	int family = count ? config->addresses[0].addr.ss_family : 0;

	for (size_t n = 0; n < count; n++) {
		size_t pick = count;

		for (size_t i = 0; i < count; i++) {
			if (used[i])
				continue;
			if (pick == count)
				pick = i;
			if (config->addresses[i].addr.ss_family == family) {
				pick = i;
				break;
			}
		}
		used[pick] = true;
		dial->attempts[n].addr = config->addresses[pick].addr;
		dial->attempts[n].len = config->addresses[pick].len;
		addr_set_port(&dial->attempts[n].addr, config->port);
		family = dial->attempts[n].addr.ss_family == AF_INET ? AF_INET6 : AF_INET;
	}
	dial->count = count;
}

static void aim_at_path(struct dial *dial, const char *path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&dial->attempts[0].addr;

	dial->is_unix = true;
	dial->count = 1;
	un->sun_family = AF_UNIX;
	snprintf(dial->path, sizeof(dial->path), "%s", path);
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
	dial->attempts[0].len = sizeof(*un);
	if (strlen(path) >= sizeof(un->sun_path)) {
		dial->begun = 1;
		dial->attempts[0].error = ENAMETOOLONG;
	}
}

struct dial *dial_start(struct loop *loop, const struct dial_config *config,
			void (*done)(void *arg, const struct dial_result *result), void *arg)
{
	struct dial *dial = MEM_NEW(struct dial);
	int64_t wake;

	dial->loop = loop;
	dial->done = done;
	dial->arg = arg;
	dial->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : TIMEOUT_MS;
	dial->stagger_ms = config->stagger_ms > 0 ? config->stagger_ms : STAGGER_MS;
	for (size_t i = 0; i < DIAL_MOST; i++) {
		dial->attempts[i].dial = dial;
		dial->attempts[i].fd = -1;
	}
	loop_timer_init(&dial->timer, loop, on_timer);
	loop_task_init(&dial->task, loop, on_task);
	if (config->source && !addr_literal(config->source, &dial->source, &dial->source_len))
		dial->source_error = EINVAL;
	if (config->unix_path)
		aim_at_path(dial, config->unix_path);
	else
		order(dial, config);
	wake = look(dial);
	if (wake)
		loop_timer_at(&dial->timer, wake);
	else
		loop_task_post(&dial->task);
	return dial;
}
