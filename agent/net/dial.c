#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/dial_inside.h"

enum {
	TIMEOUT_MS = 30 * 1000,
	STAGGER_MS = 250,
	UNIX_RETRY_MS = 50, /* a Unix socket whose backlog is full answers EAGAIN and no poll announces room */
};

static bool is_over(const struct dial_attempt *a)
{
	return a->fd < 0 && a->error;
}

void dial_drop(struct dial_attempt *a)
{
	loop_io_stop(&a->io);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

void dial_lose(struct dial_attempt *a, int error)
{
	dial_drop(a);
	a->error = error;
	a->ended_ms = loop_now_ms(a->dial->loop);
	a->dial->next_ms = 0; /* no need to wait for the next one */
}

static void answer(struct dial *dial)
{
	struct dial_try tries[DIAL_TRIES];
	struct dial_result result = { .status = DIAL_OK, .fd = -1, .tries = tries, .try_count = dial->count };
	void (*done)(void *arg, const struct dial_result *result) = dial->done;
	void *arg = dial->arg;

	dial_words_list(dial, tries);
	if (dial->winner) {
		result.fd = dial->winner->fd;
		result.address.addr = dial->winner->addr;
		result.address.len = dial->winner->len;
		loop_io_stop(&dial->winner->io);
		dial->winner->fd = -1;
	} else {
		dial_words_explain(dial, &result);
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
		dial_drop(&dial->attempts[i]);
	if (dial->socks)
		socks_fini(dial->socks);
	mem_free(dial->socks);
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

static void settle(struct dial_attempt *a)
{
	if (met_itself(a->fd))
		dial_lose(a, ECONNREFUSED);
	else if (a->dial->socks)
		dial_proxy_begin(a);
	else
		a->dial->winner = a;
}

static void on_connected(struct loop_io *io, int events)
{
	struct dial_attempt *a = LIST_ENTRY(io, struct dial_attempt, io);
	struct dial *dial = a->dial;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error)
		dial_lose(a, error);
	else
		settle(a);
	dial_advance(dial);
}

static const struct dns_address *source_of(const struct dial *dial, int family)
{
	for (size_t i = 0; i < dial->source_count; i++)
		if (dial->sources[i].addr.ss_family == family)
			return &dial->sources[i];
	return NULL;
}

/* 0 or errno. */
static int bind_source(const struct dial *dial, struct dial_attempt *a)
{
	const struct dns_address *source = source_of(dial, a->addr.ss_family);

	if (!source)
		return 0;
#ifdef IP_BIND_ADDRESS_NO_PORT
	/* The port is chosen at connect(), where two connections to different hosts may share one. */
	setsockopt(a->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
#endif
	if (bind(a->fd, (const struct sockaddr *)&source->addr, source->len) == 0)
		return 0;
	a->is_local = true;
	a->why = errno == EADDRNOTAVAIL ? "the source address is not one of this machine's" : NULL;
	return errno;
}

/* An address that our own do not reach. */
static bool is_passed_over(struct dial_attempt *a)
{
	const struct dial *dial = a->dial;

	if (dial->is_unix || (!dial->source_count && !dial->source_error))
		return false;
	if (!dial->source_error && source_of(dial, a->addr.ss_family))
		return false;
	a->is_local = true;
	a->why = dial->source_error ? "a source address is not an address" : "no source address of its family";
	return true;
}

static void try_connect(struct dial_attempt *a)
{
	if (connect(a->fd, (const struct sockaddr *)&a->addr, a->len) == 0)
		settle(a);
	else if (errno == EINPROGRESS)
		loop_io_set(&a->io, LOOP_WRITE);
	else if (!(errno == EAGAIN && a->dial->is_unix))
		dial_lose(a, errno);
}

static void begin(struct dial_attempt *a, int64_t now_ms)
{
	int error, one = 1;

	if (is_passed_over(a)) {
		dial_lose(a, EAFNOSUPPORT);
		return;
	}
	a->begun_ms = now_ms;
	a->fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	loop_io_init(&a->io, a->dial->loop, a->fd, on_connected);
	a->ends_ms = now_ms + a->dial->timeout_ms;
	if (a->fd < 0) {
		dial_lose(a, errno);
		return;
	}
	error = bind_source(a->dial, a);
	if (error) {
		dial_lose(a, error);
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
		struct dial_attempt *a = &dial->attempts[i];

		if (a->fd >= 0 && now >= a->ends_ms)
			dial_lose(a, ETIMEDOUT);
		else if (a->fd >= 0 && dial->is_unix && !dial->winner)
			try_connect(a);
	}
	while (!dial->winner && !dial->talking && dial->begun < dial->count && now >= dial->next_ms) {
		dial->next_ms = now + dial->stagger_ms;
		begin(&dial->attempts[dial->begun++], now);
	}
	if (dial->winner)
		return 0;
	if (dial->talking)
		return dial->talking->fd >= 0 ? dial->talking->ends_ms : 0;
	for (size_t i = 0; i < dial->begun; i++) {
		const struct dial_attempt *a = &dial->attempts[i];

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
void dial_advance(struct dial *dial)
{
	int64_t wake = look(dial);

	if (wake)
		loop_timer_at(&dial->timer, wake);
	else
		answer(dial);
}

static void on_timer(struct loop_timer *timer)
{
	dial_advance(LIST_ENTRY(timer, struct dial, timer));
}

static void on_task(struct loop_task *task)
{
	answer(LIST_ENTRY(task, struct dial, task));
}

/* Families take turns, beginning with that of the first address (RFC 8305, 4). */
static void order(struct dial *dial, const struct dial_config *config)
{
	bool used[DIAL_TRIES] = { false };
	size_t count = config->count < DIAL_TRIES ? config->count : DIAL_TRIES;
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
		addr_set_port(&dial->attempts[n].addr, config->socks_host ? config->socks_port : config->port);
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

static void take_sources(struct dial *dial, const struct dial_config *config)
{
	for (size_t i = 0; i < config->source_count; i++) {
		struct dns_address *source = &dial->sources[dial->source_count];

		if (dial->source_count == DIAL_SOURCES ||
		    !addr_literal(config->sources[i], &source->addr, &source->len))
			dial->source_error = EINVAL;
		else
			dial->source_count++;
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
	for (size_t i = 0; i < DIAL_TRIES; i++) {
		dial->attempts[i].dial = dial;
		dial->attempts[i].fd = -1;
	}
	loop_timer_init(&dial->timer, loop, on_timer);
	loop_task_init(&dial->task, loop, on_task);
	take_sources(dial, config);
	if (config->unix_path)
		aim_at_path(dial, config->unix_path);
	else
		order(dial, config);
	if (config->socks_host && !config->unix_path)
		dial_proxy_take(dial, config);
	wake = look(dial);
	if (wake)
		loop_timer_at(&dial->timer, wake);
	else
		loop_task_post(&dial->task);
	return dial;
}
