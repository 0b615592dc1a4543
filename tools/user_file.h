/*
 * user_file - a users file taken to be changed, and put back whole.
 *
 * Owns:    the lock that keeps other changes waiting from user_file_take() on, the text.
 * Promise: a crash leaves the old file or the new one; owner, group and mode stay.
 * Threads: one.
 */
#ifndef USER_FILE_H
#define USER_FILE_H

#include <sys/types.h>

#include "base/buf.h"

struct user_file {
	char *path; /* of the file itself, links followed */
	int fd;
	mode_t mode;
	uid_t owner;
	gid_t group;
	struct buf text;
};

/* Reads it, and makes it where it is not there and `group` is not NULL (that group then may read it; -1: as it comes).
 * 0, or an exit status after saying why. */
int user_file_take(const char *path, const gid_t *group, struct user_file *out);
/* Puts the new text in its place. 0, or an exit status after saying why. */
int user_file_put(struct user_file *file, struct span text);
void user_file_fini(struct user_file *file);

#endif
