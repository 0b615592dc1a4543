/*
 * listen - listening sockets: TCP addresses, Unix sockets, and those inherited from systemd (LISTEN_FDS).
 *
 * Owns:    the descriptors, and the socket file it made (removed at close; a stale one is replaced only when nobody
 *          answers on it). Out of descriptors: accepting pauses and comes back by itself, no busy loop.
 * Threads: the loop's.
 */
#ifndef LISTEN_H
#define LISTEN_H

#include <stddef.h>
#include <sys/types.h>

#include "net/loop.h"

struct listen;

/* 0 or -errno, `why` for people with the address. Not accepting until listen_start(), so that sockets can be bound
 * before privileges go. "127.0.0.1:25", "[::1]:25"; port 0: any. */
int listen_tcp(struct loop *loop, const char *address, struct listen **out_listen, char *why, size_t why_size);
int listen_unix(struct loop *loop, const char *path, mode_t mode, struct listen **out_listen, char *why,
		size_t why_size);
/* Gives the socket file, made by listen_unix(), to a user and a group by name (NULL: stays). Changes nothing about one
 * that was inherited: whoever made that has said whose it is. */
int listen_give(struct listen *listen, const char *owner, const char *group, char *why, size_t why_size);
/* One that was inherited. */
int listen_fd(struct loop *loop, int fd, struct listen **out_listen, char *why, size_t why_size);

/* Inherited sockets (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES): fills up to `max` and returns how many; the variables are
 * removed from the environment. `name` is "" where none was given. */
struct listen_inherited {
	int fd;
	char name[64];
};
size_t listen_inherit(struct listen_inherited *out, size_t max);

void listen_start(struct listen *listen, void (*accepted)(void *arg, int fd), void *arg);
void listen_pause(struct listen *listen, bool paused);
const char *listen_name(const struct listen *listen); /* the bound address with its real port, or the path */
void listen_free(struct listen *listen);

#endif
