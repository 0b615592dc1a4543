#include "queue/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

static enum queue_err complain(enum queue_err err, char *why, size_t why_size, const char *path, const char *text)
{
	snprintf(why, why_size, "%s: %s", path, text);
	return err;
}

static enum queue_err error_of(int e)
{
	return e == ENOSPC || e == EDQUOT ? QUEUE_DISK_FULL : QUEUE_IO;
}

/* A new directory is on stable storage only when its parent is flushed. */
static int flush_parent(const char *directory)
{
	char *copy = strdup(directory), *slash;
	int fd, rc;

	if (!copy)
		return -1;
	for (size_t len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0';
	slash = strrchr(copy, '/');
	if (slash)
		slash[slash == copy] = '\0';
	fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static enum queue_err open_directory(const char *directory, struct guard *g, char *why, size_t why_size)
{
	struct stat st;
	int made = mkdir(directory, 0700);

	if (made != 0 && errno != EEXIST)
		return complain(error_of(errno), why, why_size, directory, strerror(errno));
	g->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->dir_fd < 0 || fstat(g->dir_fd, &st) != 0)
		return complain(QUEUE_IO, why, why_size, directory, strerror(errno));
	if (st.st_mode & S_IWOTH)
		return complain(QUEUE_IO, why, why_size, directory, "everybody may write here; chmod it to 0700");
	/* Not ours to flush (the parent may be unreadable) when it was there before. */
	if (made == 0 && flush_parent(directory) != 0)
		return complain(error_of(errno), why, why_size, directory, strerror(errno));
	return QUEUE_OK;
}

static void name_owner(int fd, char *out, size_t out_size)
{
	char text[32] = "";
	ssize_t got = pread(fd, text, sizeof text - 1, 0);
	long pid = got > 0 ? strtol(text, NULL, 10) : 0;

	if (pid > 0)
		snprintf(out, out_size, "another agent (process %ld) is using this queue", pid);
	else
		snprintf(out, out_size, "another agent is using this queue");
}

static enum queue_err lock(const char *directory, struct guard *g, char *why, size_t why_size)
{
	char text[80];
	bool is_noted;
	int len;

	g->lock_fd = openat(g->dir_fd, "queue.pid", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (g->lock_fd < 0)
		return complain(error_of(errno), why, why_size, directory, strerror(errno));
	if (flock(g->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return complain(QUEUE_IO, why, why_size, directory, strerror(errno));
		name_owner(g->lock_fd, text, sizeof text);
		return complain(QUEUE_LOCKED, why, why_size, directory, text);
	}
	/* The number is a courtesy: on a full disk the lock alone must do. */
	len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	is_noted = ftruncate(g->lock_fd, 0) == 0 && pwrite(g->lock_fd, text, (size_t)len, 0) == len;
	(void)is_noted;
	return QUEUE_OK;
}

enum queue_err guard_open(const char *directory, struct guard *out, char *why, size_t why_size)
{
	struct guard g = { .dir_fd = -1, .lock_fd = -1 };
	enum queue_err err = open_directory(directory, &g, why, why_size);

	if (err == QUEUE_OK)
		err = lock(directory, &g, why, why_size);
	if (err != QUEUE_OK) {
		guard_close(&g);
		return err;
	}
	*out = g;
	return QUEUE_OK;
}

void guard_close(struct guard *g)
{
	if (g->lock_fd >= 0)
		close(g->lock_fd);
	if (g->dir_fd >= 0)
		close(g->dir_fd);
	g->lock_fd = g->dir_fd = -1;
}

const char *guard_objection(const struct guard *g)
{
#ifdef __linux__
	static const struct {
		uint32_t magic;
		const char *text;
	} bad[] = {
		{ 0x01021994, "the queue lies on tmpfs: its mail is lost when the machine stops" },
		{ 0x858458f6, "the queue lies on ramfs: its mail is lost when the machine stops" },
		{ 0x794c7630, "the queue lies on overlayfs: in a container its mail is lost with the container" },
		{ 0x6969, "the queue lies on NFS: locks and flushes are not reliable there" },
		{ 0x517b, "the queue lies on SMB: locks and flushes are not reliable there" },
		{ 0xff534d42, "the queue lies on CIFS: locks and flushes are not reliable there" },
		{ 0xfe534d42, "the queue lies on SMB: locks and flushes are not reliable there" },
		{ 0x01021997, "the queue lies on 9p: locks and flushes are not reliable there" },
		{ 0x00c36400, "the queue lies on Ceph: locks and flushes may not be reliable there" },
		{ 0x65735546, "the queue lies on FUSE: locks and flushes may not be reliable there" },
		{ 0x5346414f, "the queue lies on AFS: locks and flushes are not reliable there" },
	};
	struct statfs fs;

	if (fstatfs(g->dir_fd, &fs) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if ((uint32_t)fs.f_type == bad[i].magic)
			return bad[i].text;
#else
	(void)g;
#endif
	return NULL;
}

uint64_t guard_free_bytes(int fd)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) != 0)
		return UINT64_MAX;
	return (uint64_t)v.f_bavail * v.f_frsize;
}

bool guard_never_overwrites(int fd)
{
#ifdef __linux__
	/* btrfs, ZFS, bcachefs, nilfs2, f2fs, tmpfs */
	static const uint32_t magics[] = { 0x9123683e, 0x2fc12fc1, 0xca451a4e, 0x3434, 0xf2f52010, 0x01021994 };
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return false;
	for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
		if ((uint32_t)fs.f_type == magics[i])
			return true;
#else
	(void)fd;
#endif
	return false;
}
