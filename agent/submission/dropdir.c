#include "submission/dropdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "smtp/dropfile.h"

enum { STALE_S = 24 * 60 * 60 };

#define WHY_SUFFIX ".why"

void dropdir_init(struct dropdir *d)
{
	*d = (struct dropdir){ .fd = -1, .aside = -1 };
}

void dropdir_close(struct dropdir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->aside >= 0)
		close(d->aside);
	mem_free(d->path);
	dropdir_init(d);
}

/* ---------------------------------------------------------------- opening */

static int failed(struct dropdir *d, int err, char *why, size_t why_size, const char *text)
{
	snprintf(why, why_size, "%s: %s", d->path, text ? text : strerror(-err));
	dropdir_close(d);
	return err;
}

static void random_name(char out[DROPFILE_NAME_SIZE])
{
	unsigned char bytes[DROPFILE_NAME_LEN / 2];

	crypto_random(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* Our own directory, into which nobody else can write. */
static int open_private(int fd)
{
	int aside = openat(fd, DROPDIR_ASIDE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (aside < 0)
		return -errno;
	if (fstat(aside, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return aside;
	close(aside);
	return -EPERM;
}

/* Somebody may have been quicker and put something of that name there: it is moved out of the way. */
static int open_aside(int fd)
{
	int aside = open_private(fd);
	char name[DROPFILE_NAME_SIZE], away[sizeof(DROPDIR_ASIDE) + DROPFILE_NAME_SIZE];

	if (aside >= 0)
		return aside;
	if (aside != -ENOENT) {
		random_name(name);
		snprintf(away, sizeof(away), DROPDIR_ASIDE "-%s", name);
		if (renameat(fd, DROPDIR_ASIDE, fd, away) < 0)
			return -errno;
	}
	if (mkdirat(fd, DROPDIR_ASIDE, 0700) < 0)
		return -errno;
	return open_private(fd);
}

int dropdir_open(struct dropdir *d, const char *path, char *why, size_t why_size)
{
	struct stat st;

	d->path = mem_strdup(path);
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st) < 0)
		return failed(d, -errno, why, why_size, NULL);
	/* Whoever owns a sticky directory removes what is in it, which we have to. */
	if (geteuid() != 0 && st.st_uid != geteuid())
		return failed(d, -EPERM, why, why_size, "the directory belongs to another user");
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		return failed(d, -EPERM, why, why_size,
			      "the directory must have mode 3733: everybody may write and it is not sticky");
	d->device = st.st_dev;
	d->inode = st.st_ino;
	d->group = st.st_gid;
	d->gives_group = st.st_mode & S_ISGID;
	d->aside = open_aside(d->fd);
	return d->aside < 0 ? failed(d, d->aside, why, why_size, NULL) : 0;
}

bool dropdir_is(const struct dropdir *d, const char *path)
{
	struct stat st;

	return d->fd >= 0 && strcmp(d->path, path) == 0 && stat(path, &st) == 0 && st.st_dev == d->device &&
	       st.st_ino == d->inode;
}

static DIR *list(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);

	if (own >= 0 && !dir)
		close(own);
	return dir;
}

DIR *dropdir_list(const struct dropdir *d)
{
	return list(d->fd);
}

/* ---------------------------------------------------------------- one entry */

/* NULL: it may be taken. */
static const char *what_is_wrong(const struct dropdir *d, const struct stat *st, uint64_t max_bytes)
{
	if (S_ISLNK(st->st_mode))
		return "a symbolic link";
	if (!S_ISREG(st->st_mode))
		return "no plain file";
	if (st->st_nlink != 1)
		return "a file with several names";
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "a file that others than its owner can change";
	/* One that was linked in from elsewhere was not made here by its owner. */
	if (d->gives_group && st->st_gid != d->group)
		return "a file of another group than the directory's";
	if (max_bytes && (uint64_t)st->st_size > max_bytes)
		return "larger than a message may be (queue.max_message_size)";
	return NULL;
}

static enum dropdir_verdict by_error(int error, const char **out_why)
{
	switch (error) {
	case ENOENT: return DROPDIR_GONE;
	case ELOOP: *out_why = "a symbolic link"; return DROPDIR_BAD;
	case EACCES:
	case EPERM: *out_why = "a file that the agent may not read"; return DROPDIR_BAD;
	default: return DROPDIR_LATER;
	}
}

enum dropdir_verdict dropdir_examine(const struct dropdir *d, const char *name, uint64_t max_bytes,
				     struct dropdir_file *out, const char **out_why)
{
	const char *why;
	struct stat st;
	int fd;

	/* Before it is opened, since opening a device can do something; and after, since it may be another by then. */
	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return by_error(errno, out_why);
	why = what_is_wrong(d, &st, max_bytes);
	if (why) {
		*out_why = why;
		return DROPDIR_BAD;
	}
	fd = openat(d->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return by_error(errno, out_why);
	why = fstat(fd, &st) < 0 ? "a file that the agent may not read" : what_is_wrong(d, &st, max_bytes);
	if (why) {
		close(fd);
		*out_why = why;
		return DROPDIR_BAD;
	}
	*out = (struct dropdir_file){ .fd = fd, .uid = st.st_uid, .bytes = (uint64_t)st.st_size };
	return DROPDIR_FILE;
}

bool dropdir_is_stale(const struct dropdir *d, const char *name, int64_t wall_ms)
{
	struct stat st;

	return fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && wall_ms / 1000 - st.st_mtime > STALE_S;
}

bool dropdir_is_missing(const struct dropdir *d, const char *name)
{
	struct stat st;

	return fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int dropdir_remove(const struct dropdir *d, const char *name)
{
	return unlinkat(d->fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int dropdir_sync(const struct dropdir *d)
{
	return fsync(d->fd) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- aside */

static void write_why(const struct dropdir *d, const char *name, const char *why)
{
	char path[DROPFILE_NAME_SIZE + sizeof(WHY_SUFFIX)];
	int fd;

	snprintf(path, sizeof(path), "%s" WHY_SUFFIX, name);
	fd = openat(d->aside, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return; /* the log has it */
	dprintf(fd, "%s\n", why);
	close(fd);
}

int dropdir_put_aside(const struct dropdir *d, const char *name, bool is_message, const char *why)
{
	char aside[DROPFILE_NAME_SIZE];

	if (is_message)
		snprintf(aside, sizeof(aside), "%s", name);
	else
		random_name(aside);
	if (renameat2(d->fd, name, d->aside, aside, RENAME_NOREPLACE) < 0) {
		/* A message of that name is there already, or the file system cannot tell. */
		if (errno != EEXIST && errno != EINVAL)
			return -errno;
		random_name(aside);
		if (renameat(d->fd, name, d->aside, aside) < 0)
			return -errno;
	}
	if (is_message)
		write_why(d, aside, why);
	return 0;
}

/* ---------------------------------------------------------------- counting */

static uint64_t count(int fd)
{
	DIR *dir = list(fd);
	uint64_t names = 0;

	if (!dir)
		return 0;
	for (const struct dirent *entry; names < DROPDIR_COUNT_MAX && (entry = readdir(dir));)
		names += dropfile_is_name(entry->d_name);
	closedir(dir);
	return names;
}

uint64_t dropdir_count(const struct dropdir *d)
{
	return d->fd < 0 ? 0 : count(d->fd);
}

uint64_t dropdir_count_aside(const struct dropdir *d)
{
	return d->aside < 0 ? 0 : count(d->aside);
}

static bool is_why(const char *name)
{
	size_t len = strlen(name);

	return len == DROPFILE_NAME_LEN + strlen(WHY_SUFFIX) && strcmp(name + DROPFILE_NAME_LEN, WHY_SUFFIX) == 0;
}

void dropdir_why(const struct dropdir *d, char *out, size_t size)
{
	DIR *dir = d->aside < 0 ? NULL : list(d->aside);
	ssize_t n = 0;
	int fd;

	out[0] = '\0';
	for (const struct dirent *entry; dir && n <= 0 && (entry = readdir(dir));) {
		fd = is_why(entry->d_name) ? openat(d->aside, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (fd < 0)
			continue;
		n = read(fd, out, size - 1);
		close(fd);
		out[n > 0 ? n : 0] = '\0';
		out[strcspn(out, "\n")] = '\0';
	}
	if (dir)
		closedir(dir);
}
