/*
 * dropdir - the drop directory as the agent sees it: strangers may put anything into it.
 *
 * Owns:    descriptors of the directory and of the place in it that only the agent can write, DROPDIR_ASIDE, where what
 *          it does not take is kept, with the reason beside it.
 * Never:   follows a link, waits for a FIFO, opens what is no plain file, removes what was not taken.
 * Threads: the loop's. Reads and renames are local and short; dropdir_sync() waits for the disk.
 */
#ifndef DROPDIR_H
#define DROPDIR_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DROPDIR_ASIDE "refused"

enum { DROPDIR_COUNT_MAX = 10000 };

struct dropdir {
	char *path;
	int fd, aside;
	dev_t device; /* which directory it is */
	ino_t inode;
	gid_t group;
	bool gives_group; /* files have the directory's group, or come from elsewhere */
};

struct dropdir_file {
	int fd;
	uid_t uid;
	uint64_t bytes;
};

enum dropdir_verdict {
	DROPDIR_FILE,  /* the caller owns out->fd */
	DROPDIR_GONE,  /* it is not there any more */
	DROPDIR_LATER, /* it cannot be opened just now */
	DROPDIR_BAD,   /* for good: `out_why` (static text) */
};

void dropdir_init(struct dropdir *d);
void dropdir_close(struct dropdir *d);
/* 0, or -errno with a line for people. The directory must belong to us, and where others may write, be sticky. */
int dropdir_open(struct dropdir *d, const char *path, char *why, size_t why_size);
/* Is it still what this path leads to? */
bool dropdir_is(const struct dropdir *d, const char *path);
/* A new reading of its entries, to be closed with closedir(); or NULL. */
DIR *dropdir_list(const struct dropdir *d);

/* A regular file with one name, of at most max_bytes (0: any), that nobody but its owner can change. */
enum dropdir_verdict dropdir_examine(const struct dropdir *d, const char *name, uint64_t max_bytes,
				     struct dropdir_file *out, const char **out_why);
/* An unfinished file that nobody can be writing any more. */
bool dropdir_is_stale(const struct dropdir *d, const char *name, int64_t wall_ms);
bool dropdir_is_missing(const struct dropdir *d, const char *name);
/* 0 or -errno. */
int dropdir_remove(const struct dropdir *d, const char *name);
/* Its removals are on stable storage then. */
int dropdir_sync(const struct dropdir *d);
/* Moves an entry to DROPDIR_ASIDE, a message under its own name with `why` in NAME.why, anything else under a new name.
 * 0 or -errno: it stays where it is. */
int dropdir_put_aside(const struct dropdir *d, const char *name, bool is_message, const char *why);

/* Messages in it, and kept aside; at most DROPDIR_COUNT_MAX each. */
uint64_t dropdir_count(const struct dropdir *d);
uint64_t dropdir_count_aside(const struct dropdir *d);
/* Why one of those aside is there; "" where nothing is known. */
void dropdir_why(const struct dropdir *d, char *out, size_t size);

#endif
