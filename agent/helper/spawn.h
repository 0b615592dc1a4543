/*
 * spawn - start sendoff-helper: descriptors, user and environment as it needs them.
 *
 * Owns nothing: the process is the caller's to wait for.
 * Threads: before any other thread exists, because it forks.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <pwd.h>
#include <sys/types.h>

/* Runs `program` with `socket` as its descriptor 3; `user` NULL: as the present one. 0, or the errno for which it could
 * not be started. */
int spawn_helper(const char *program, const struct passwd *user, int socket, pid_t *out_pid);

#endif
