#include "net/netwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/netlink.h"

enum {
	DATAGRAM_LEN = 32 * 1024, /* the kernel's largest piece of a list */
	LOOK_MS = 10,             /* the lists are read at most this often, and seldomer where they are long */
	LOOK_BYTES_PER_MS = 4096,
	AGAIN_MS = 100, /* after a list that could not be read */
};

struct netwatch {
	struct netwatch_setup setup;
	int fd, list_fd; /* events; lists */
	struct loop_io io;
	struct loop_timer quiet, look, stand;
	int64_t first_ms; /* boot time of the burst's first event; 0: no burst */
	int64_t look_ms;  /* boot time when the lists may be read again */
	int64_t new_ms;   /* boot time since when there is something new that was not told; 0: there is nothing */
	uint32_t seq;
	struct netfacts told, found;
};

static int64_t first_of(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---------------------------------------------------------------- the lists */

/* The kernel makes a list while it is read: all of it is there without waiting. */
static bool read_list(struct netwatch *watch, struct netlink_reading *reading, enum netlink_list list, size_t *io_left)
{
	enum netlink_verdict verdict = NETLINK_MORE;
	uint8_t request[NETLINK_REQUEST_LEN];
	char *datagram = loop_scratch(watch->setup.loop, DATAGRAM_LEN);
	ssize_t n;

	netlink_request(reading, list, ++watch->seq, request);
	if (send(watch->list_fd, request, sizeof request, 0) != (ssize_t)sizeof request)
		return false;
	while (verdict == NETLINK_MORE && *io_left) {
		n = recv(watch->list_fd, datagram, DATAGRAM_LEN, MSG_DONTWAIT | MSG_TRUNC);
		if (n <= 0 || n > DATAGRAM_LEN)
			return false;
		*io_left -= (size_t)n < *io_left ? (size_t)n : *io_left;
		verdict = netlink_read(reading, span_of(datagram, (size_t)n));
	}
	return verdict != NETLINK_BAD;
}

static int open_socket(uint32_t groups)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* A list that was not read to its end would be in the way of the next one. */
static void renew_list_socket(struct netwatch *watch)
{
	if (watch->list_fd >= 0)
		close(watch->list_fd);
	watch->list_fd = open_socket(0);
}

/* False: to be tried again. */
static bool find(struct netwatch *watch)
{
	size_t left[NETLINK_LISTS], used = 0;
	struct netlink_reading reading;
	bool ok = true, is_cut = false;

	if (watch->list_fd < 0)
		renew_list_socket(watch);
	netlink_init(&reading);
	for (int list = 0; ok && list < NETLINK_LISTS; list++) {
		if (is_cut)
			renew_list_socket(watch);
		left[list] = NETWATCH_LIST_MAX;
		ok = watch->list_fd >= 0 && read_list(watch, &reading, list, &left[list]);
		used += NETWATCH_LIST_MAX - left[list];
		is_cut = left[list] == 0;
	}
	if (!ok || is_cut)
		renew_list_socket(watch);
	watch->look_ms = loop_now_ms(watch->setup.loop) + LOOK_MS + (int64_t)(used / LOOK_BYTES_PER_MS);
	if (ok)
		watch->found = reading.facts;
	return ok;
}

/* ---------------------------------------------------------------- what is told */

static void tell(struct netwatch *watch, const struct netfacts *facts)
{
	watch->told = *facts;
	if (watch->setup.facts)
		watch->setup.facts(watch->setup.arg, &watch->told);
}

static void stood(struct loop_timer *timer)
{
	struct netwatch *watch = LIST_ENTRY(timer, struct netwatch, stand);

	watch->new_ms = 0;
	tell(watch, &watch->found);
}

static void looked(struct netwatch *watch)
{
	int64_t now = loop_now_ms(watch->setup.loop), at = now + NETWATCH_STAND_MS;
	struct netfacts still;

	netfacts_both(&watch->told, &watch->found, &still);
	if (netfacts_equal(&still, &watch->found)) {
		watch->new_ms = 0;
		loop_timer_stop(&watch->stand);
	} else {
		if (!watch->new_ms)
			watch->new_ms = now;
		loop_timer_at(&watch->stand, first_of(at, watch->new_ms + 2 * NETWATCH_STAND_MS));
	}
	if (!netfacts_equal(&still, &watch->told))
		tell(watch, &still);
}

static void look_again(struct loop_timer *timer)
{
	struct netwatch *watch = LIST_ENTRY(timer, struct netwatch, look);

	if (find(watch))
		looked(watch);
	else
		loop_timer_in(&watch->look, AGAIN_MS);
}

/* ---------------------------------------------------------------- events */

static void settled(struct loop_timer *timer)
{
	struct netwatch *watch = LIST_ENTRY(timer, struct netwatch, quiet);

	watch->first_ms = 0;
	watch->setup.changed(watch->setup.arg);
}

static void note(struct netwatch *watch)
{
	int64_t now = loop_now_ms(watch->setup.loop);

	if (!watch->first_ms)
		watch->first_ms = now;
	loop_timer_at(&watch->quiet, first_of(now + NETWATCH_QUIET_MS, watch->first_ms + NETWATCH_MOST_MS));
	if (watch->look.at_ms == INT64_MAX)
		loop_timer_at(&watch->look, watch->look_ms);
}

/* What exactly changed the lists tell. */
static void ready(struct loop_io *io, int events)
{
	struct netwatch *watch = LIST_ENTRY(io, struct netwatch, io);
	char drop[8192];
	bool any = false;
	ssize_t n;

	(void)events;
	for (int i = 0; i < 64; i++) {
		n = recv(watch->fd, drop, sizeof drop, MSG_DONTWAIT);
		if (n <= 0 && !(n < 0 && errno == ENOBUFS))
			break;
		any = true;
	}
	if (any)
		note(watch);
}

/* ---------------------------------------------------------------- life */

struct netwatch *netwatch_new(const struct netwatch_setup *setup)
{
	struct netwatch *watch = MEM_NEW(struct netwatch);

	watch->setup = *setup;
	watch->fd = open_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
				RTMGRP_IPV6_ROUTE);
	watch->list_fd = -1;
	loop_timer_init(&watch->quiet, setup->loop, settled);
	loop_timer_init(&watch->look, setup->loop, look_again);
	loop_timer_init(&watch->stand, setup->loop, stood);
	if (watch->fd < 0)
		return watch;
	loop_io_init(&watch->io, setup->loop, watch->fd, ready);
	loop_io_set(&watch->io, LOOP_READ);
	if (find(watch))
		watch->told = watch->found;
	else
		loop_timer_in(&watch->look, AGAIN_MS);
	return watch;
}

const struct netfacts *netwatch_facts(const struct netwatch *watch)
{
	return &watch->told;
}

void netwatch_free(struct netwatch *watch)
{
	if (!watch)
		return;
	loop_timer_stop(&watch->quiet);
	loop_timer_stop(&watch->look);
	loop_timer_stop(&watch->stand);
	if (watch->fd >= 0) {
		loop_io_stop(&watch->io);
		close(watch->fd);
	}
	if (watch->list_fd >= 0)
		close(watch->list_fd);
	mem_free(watch);
}
