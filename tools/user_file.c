#include "user_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli.h"
#include "smtp/users.h"

enum { MODE = 0640 };

static int say(const char *path, int error)
{
	int status = error == EACCES || error == EPERM ? EX_NOPERM : error == ENOENT ? EX_NOINPUT : EX_CANTCREAT;

	return cli_fail(status, "%s: %s", path, strerror(error));
}

/* Follows links: the file is to be replaced, not a link to it. */
static char *real_path(const char *path)
{
	char *found = realpath(path, NULL), *copy = mem_strdup(found ? found : path);

	free(found);
	return copy;
}

/* The descriptor, or -errno. */
static int open_or_make(const char *path, const gid_t *group)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 || errno != ENOENT || !group)
		return fd >= 0 ? fd : -errno;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST ? open_or_make(path, NULL) : -errno;
	if (fchown(fd, (uid_t)-1, *group) != 0 || fchmod(fd, MODE) != 0) {
		int error = errno;

		close(fd);
		unlink(path);
		return -error;
	}
	return fd;
}

/* Whoever waited for the lock may hold one on a file that was replaced meanwhile. */
static int lock(const char *path, const gid_t *group, struct stat *out_st)
{
	for (;;) {
		int fd = open_or_make(path, group);
		struct stat there;

		if (fd < 0)
			return fd;
		while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
			;
		if (fstat(fd, out_st) == 0 && stat(path, &there) == 0 && there.st_ino == out_st->st_ino &&
		    there.st_dev == out_st->st_dev)
			return fd;
		close(fd);
	}
}

static int read_all(struct user_file *file)
{
	for (;;) {
		char *room = buf_reserve(&file->text, 64 * 1024);
		ssize_t n = room ? read(file->fd, room, 64 * 1024) : -1;

		if (!room)
			return cli_fail(EX_DATAERR, "%s: it is too large", file->path);
		if (n < 0 && errno != EINTR)
			return say(file->path, errno);
		if (n == 0)
			return 0;
		if (n > 0)
			buf_commit(&file->text, (size_t)n);
	}
}

int user_file_take(const char *path, const gid_t *group, struct user_file *out)
{
	struct stat st;
	int status = 0;

	*out = (struct user_file){ .path = real_path(path), .fd = -1 };
	buf_init(&out->text, USERS_FILE_MAX + 64 * 1024);
	out->fd = lock(out->path, group, &st);
	if (out->fd < 0)
		status = say(out->path, -out->fd);
	else if (!S_ISREG(st.st_mode))
		status = cli_fail(EX_DATAERR, "%s: this is no file", out->path);
	else if (st.st_mode & (S_IROTH | S_IWOTH))
		status = cli_fail(EX_NOPERM, "%s: everybody may read or write it - run: chmod o-rw %s", out->path,
				  out->path);
	else
		status = read_all(out);
	if (status) {
		user_file_fini(out);
		return status;
	}
	out->mode = st.st_mode & 07777;
	out->owner = st.st_uid;
	out->group = st.st_gid;
	return 0;
}

static bool write_all(int fd, struct span text)
{
	while (text.len) {
		ssize_t n = write(fd, text.data, text.len);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			text = span_from(text, (size_t)n);
	}
	return true;
}

/* Only root may give a file to somebody else; what is ours already needs no gift. */
static bool keep_owner(const struct user_file *file, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	return (st.st_uid == file->owner && st.st_gid == file->group) || fchown(fd, file->owner, file->group) == 0;
}

static bool sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? mem_span_dup(span_of(path, (size_t)(slash - path) + 1)) : mem_strdup(".");
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	mem_free(folder);
	return good;
}

int user_file_put(struct user_file *file, struct span text)
{
	char *part = mem_printf("%s.XXXXXX", file->path);
	int fd = mkostemp(part, O_CLOEXEC), status = 0;

	if (fd < 0 || !write_all(fd, text) || !keep_owner(file, fd) || fchmod(fd, file->mode) != 0 || fsync(fd) != 0 ||
	    rename(part, file->path) != 0) {
		status = say(file->path, errno);
		if (fd >= 0)
			unlink(part);
	} else if (!sync_directory(file->path)) {
		status = say(file->path, errno);
	}
	if (fd >= 0)
		close(fd);
	mem_free(part);
	return status;
}

void user_file_fini(struct user_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	buf_fini(&file->text);
	mem_free(file->path);
	file->path = NULL;
}
