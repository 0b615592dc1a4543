#include "net/netwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct netwatch {
	int fd;
	struct loop_io io;
	struct loop_timer quiet;
	int64_t first_ms; /* boot time of the burst's first event; 0: no burst */
	void (*changed)(void *arg);
	void *arg;
};

static void settled(struct loop_timer *timer)
{
	struct netwatch *watch = LIST_ENTRY(timer, struct netwatch, quiet);

	watch->first_ms = 0;
	watch->changed(watch->arg);
}

static void note(struct netwatch *watch)
{
	int64_t now = loop_now_ms(watch->quiet.loop), at = now + NETWATCH_QUIET_MS;

	if (!watch->first_ms)
		watch->first_ms = now;
	if (at > watch->first_ms + NETWATCH_MOST_MS)
		at = watch->first_ms + NETWATCH_MOST_MS;
	loop_timer_at(&watch->quiet, at);
}

/* What exactly changed does not matter: whoever waits for the network looks again. */
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

static int open_socket(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK,
				    .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
						 RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

struct netwatch *netwatch_new(struct loop *loop, void (*changed)(void *arg), void *arg)
{
	struct netwatch *watch = MEM_NEW(struct netwatch);

	watch->changed = changed;
	watch->arg = arg;
	watch->fd = open_socket();
	loop_timer_init(&watch->quiet, loop, settled);
	if (watch->fd >= 0) {
		loop_io_init(&watch->io, loop, watch->fd, ready);
		loop_io_set(&watch->io, LOOP_READ);
	}
	return watch;
}

void netwatch_free(struct netwatch *watch)
{
	if (!watch)
		return;
	loop_timer_stop(&watch->quiet);
	if (watch->fd >= 0) {
		loop_io_stop(&watch->io);
		close(watch->fd);
	}
	mem_free(watch);
}
