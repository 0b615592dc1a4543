/*
 * permit - what the process at the other end of the control socket may see and do.
 *
 * Decided once, when it connects, from what the kernel says (SO_PEERCRED, SO_PEERGROUPS); no name service is asked
 * afterwards, for it may block.
 * Threads: any. Values.
 */
#ifndef PERMIT_H
#define PERMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct permit {
	uid_t uid;
	bool all; /* everything; else only mail of its own uid */
};

/* The group whose members may do everything, or (gid_t)-1 where there is none. Asks the name service. */
gid_t permit_group(const char *name);
/* `groups`: all the peer is in, its own first. */
struct permit permit_of(uid_t uid, const gid_t *groups, size_t count, uid_t agent, gid_t group);
/* Of a connected Unix socket. False: the kernel does not say who is there. */
bool permit_of_socket(int fd, gid_t group, struct permit *out);
/* Whether mail of the envelope's uid is theirs to see and handle. */
bool permit_sees(const struct permit *permit, uint32_t uid);
/* Whether they may release mail with these envelope flags (of queue/queue.h): not what an administrator holds. */
bool permit_releases(const struct permit *permit, uint32_t flags);

#endif
