#include "submission/roster.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { LOOK_MS = 1000 };

struct roster {
	char *file;
	struct users *users; /* NULL: cannot be used */
	bool was_read;
	int64_t looked_ms;
	struct stat seen; /* what was read, or 0 */
	int error;        /* when it was looked at last */
};

struct roster *roster_new(const char *file)
{
	struct roster *roster = MEM_NEW(struct roster);

	roster->file = mem_strdup(file);
	return roster;
}

void roster_free(struct roster *roster)
{
	if (!roster)
		return;
	users_free(roster->users);
	mem_free(roster->file);
	mem_free(roster);
}

const char *roster_file(const struct roster *roster)
{
	return roster->file;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* NULL: it may be read. */
static const char *mistake(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "this is no file";
	if (st->st_mode & (S_IROTH | S_IWOTH))
		return "everybody may read or write it - run: chmod o-rw";
	if (st->st_size > USERS_FILE_MAX)
		return "it is too large";
	return NULL;
}

/* 0, or errno; -1: `errors` was told. */
static int read_all(const struct roster *roster, int fd, struct buf *out, struct buf *errors)
{
	struct stat st;
	const char *wrong;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) != 0)
		return errno;
	wrong = mistake(&st);
	if (wrong) {
		buf_printf(errors, "%s: %s\n", roster->file, wrong);
		return -1;
	}
	while (n > 0) {
		char *room = buf_reserve(out, 64 * 1024);

		n = room ? read(fd, room, 64 * 1024) : 0;
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			buf_commit(out, (size_t)n);
		n = n < 0 ? 1 : n;
	}
	return 0;
}

static void load(struct roster *roster, struct buf *errors)
{
	int fd = open(roster->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
	struct buf text;

	buf_init(&text, USERS_FILE_MAX + 64 * 1024);
	error = read_all(roster, fd, &text, errors);
	if (fd >= 0)
		close(fd);
	users_free(roster->users);
	roster->users = error ? NULL : users_parse(buf_span(&text), roster->file, errors);
	if (error > 0)
		buf_printf(errors, "%s: %s\n", roster->file, strerror(error));
	buf_wipe(&text);
}

const struct users *roster_users(struct roster *roster, int64_t boot_ms, struct buf *errors)
{
	struct stat st;
	int error;

	if (roster->was_read && boot_ms - roster->looked_ms < LOOK_MS)
		return roster->users;
	roster->looked_ms = boot_ms;
	memset(&st, 0, sizeof(st));
	error = stat(roster->file, &st) == 0 ? 0 : errno;
	if (roster->was_read && error == roster->error && is_same(&st, &roster->seen))
		return roster->users;
	/* Noted before it is read, so that no change is missed. */
	roster->was_read = true;
	roster->seen = st;
	roster->error = error;
	load(roster, errors);
	return roster->users;
}
