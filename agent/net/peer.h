/*
 * peer - who is at the other end of a connection on this machine.
 *
 * Owns:    one netlink socket, opened at the first question about a TCP peer and kept (asking costs about 11 us then).
 * Threads: one.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* SO_PEERCRED, of the moment when the peer connected. */
bool peer_of_unix(int fd, uid_t *out_uid, gid_t *out_gid);
/* The owner of the socket `peer`, which is connected to `local`; both on loopback. False: unknown. */
bool peer_of_tcp(const struct sockaddr_storage *peer, const struct sockaddr_storage *local, uid_t *out_uid);

#endif
