#include "control/permit.h"

#include <grp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "queue/queue.h"

enum { GROUPS_MAX = 256 };

gid_t permit_group(const char *name)
{
	const struct group *group = getgrnam(name);

	return group ? group->gr_gid : (gid_t)-1;
}

struct permit permit_of(uid_t uid, const gid_t *groups, size_t count, uid_t agent, gid_t group)
{
	struct permit permit = { .uid = uid, .all = uid == 0 || uid == agent };

	for (size_t i = 0; i < count && group != (gid_t)-1; i++)
		if (groups[i] == group)
			permit.all = true;
	return permit;
}

bool permit_of_socket(int fd, gid_t group, struct permit *out)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	gid_t groups[1 + GROUPS_MAX];
	size_t count = 1;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid == (uid_t)-1)
		return false;
	groups[0] = peer.gid;
	/* A process in more groups than fit (ERANGE) is judged by its first one. */
	len = GROUPS_MAX * sizeof groups[0];
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &len) == 0)
		count += len / sizeof groups[0];
	*out = permit_of(peer.uid, groups, count, geteuid(), group);
	return true;
}

bool permit_sees(const struct permit *permit, uint32_t uid)
{
	/* UINT32_MAX stands for nobody, also where a uid of that value came in. */
	return permit->all || (uid != UINT32_MAX && uid == permit->uid);
}

bool permit_releases(const struct permit *permit, uint32_t flags)
{
	return permit->all || !(flags & QUEUE_HELD_BY_OPERATOR);
}
