#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { LOOK_MS = 1000, ERRORS_MAX = 64 * 1024, SETTLE_S = 2 };

/* What a file looked like when it was read. */
struct seen {
	char *path;
	bool is_young; /* it may change again without looking different */
	int err;       /* of opening it, or 0 */
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct names {
	struct aliases *aliases;
	struct seen *files; /* the main file first */
	size_t file_count;
	char *host; /* whose names are local in the table */
	int64_t next_ms;
	struct buf errors; /* as they were told */
	char *first;
};

struct names *names_new(void)
{
	struct names *names = MEM_NEW(struct names);

	buf_init(&names->errors, ERRORS_MAX);
	return names;
}

static void forget_files(struct names *names)
{
	for (size_t i = 0; i < names->file_count; i++)
		mem_free(names->files[i].path);
	mem_free(names->files);
	names->files = NULL;
	names->file_count = 0;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	forget_files(names);
	aliases_unref(names->aliases);
	buf_fini(&names->errors);
	mem_free(names->first);
	mem_free(names->host);
	mem_free(names);
}

static void look(struct seen *seen, const struct stat *st)
{
	int64_t now = clock_wall_ms() / 1000;

	seen->device = st->st_dev;
	seen->inode = st->st_ino;
	seen->size = st->st_size;
	seen->modified = st->st_mtim;
	seen->changed = st->st_ctim;
	seen->is_young = st->st_ctim.tv_sec >= now - SETTLE_S && st->st_ctim.tv_sec <= now + SETTLE_S;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool has_changed(const struct seen *seen)
{
	struct stat st;

	if (stat(seen->path, &st) < 0)
		return seen->err != errno;
	return seen->is_young || seen->err || seen->device != st.st_dev || seen->inode != st.st_ino ||
	       seen->size != st.st_size || !is_same_time(&seen->modified, &st.st_mtim) ||
	       !is_same_time(&seen->changed, &st.st_ctim);
}

/* Without following a link, wherever on the way: lists belong to users, and what is in one can be asked for. Who writes
 * a list would read all that the agent can read. */
static int open_list(const char *path)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (bool is_last = false; fd >= 0 && !is_last;) {
		int folder = fd, error, flags;
		size_t len;
		char *name;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		is_last = path[len] == '\0';
		flags = is_last ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH | O_DIRECTORY;
		name = mem_span_dup(span_of(path, len));
		fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC);
		error = errno == ENOTDIR ? ELOOP : errno;
		mem_free(name);
		close(folder);
		errno = error;
		path += len;
	}
	return fd;
}

static const char *open_error(int err)
{
	return err == ELOOP ? "links are not followed to it - write the path without them" : strerror(err);
}

/* The whole file into `text`, or why not. */
static const char *slurp(struct names *names, const char *path, bool is_list, struct buf *text)
{
	int fd = is_list ? open_list(path) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct seen *seen;
	struct stat st;
	const char *why = NULL;
	ssize_t got = 1;

	names->files = mem_realloc(names->files, names->file_count + 1, sizeof(*names->files));
	seen = &names->files[names->file_count++];
	*seen = (struct seen){ .path = mem_strdup(path) };
	if (fd < 0 || fstat(fd, &st) < 0) {
		seen->err = errno;
		why = open_error(errno);
	} else {
		look(seen, &st);
	}
	if (!why && !S_ISREG(st.st_mode))
		why = "not a regular file";
	else if (!why && st.st_mode & S_IWOTH)
		why = "everybody on this machine can change it - chmod o-w it";
	while (!why && got > 0) {
		char *room = buf_reserve(text, 16384);

		got = room ? read(fd, room, 16384) : -1;
		if (got > 0)
			buf_commit(text, (size_t)got);
		else if (got < 0)
			why = room ? strerror(errno) : "larger than 4 MB";
	}
	if (!why && text->len > ALIASES_MAX_BYTES)
		why = "larger than 4 MB";
	if (fd >= 0)
		close(fd);
	return why;
}

/* What the main file includes, one after the other; true: all of it could be read. */
static bool supply(struct names *names, struct aliases *next, struct buf *errors)
{
	const char *wanted;
	bool is_whole = true;

	while ((wanted = aliases_wanted(next))) {
		struct buf text;
		const char *why;

		buf_init(&text, ALIASES_MAX_BYTES + 32768);
		if (*wanted != '/')
			why = "it is not an absolute path";
		else if (names->file_count >= NAMES_FILES)
			why = "too many files are included";
		else
			why = slurp(names, wanted, true, &text);
		if (why) {
			is_whole = false;
			aliases_supply(next, wanted, NULL, why, errors);
		} else {
			struct span all = buf_span(&text);

			aliases_supply(next, wanted, &all, NULL, errors);
		}
		buf_fini(&text);
	}
	return is_whole;
}

static void read_all(struct names *names, const struct config *config, struct buf *errors)
{
	const char *file = config->aliases;
	struct aliases *next = aliases_new();
	struct buf text;
	const char *why;
	bool is_whole = false;

	forget_files(names);
	mem_free(names->host);
	names->host = mem_strdup(config->hostname);
	buf_init(&text, ALIASES_MAX_BYTES + 32768);
	why = slurp(names, file, false, &text);
	if (why) {
		buf_printf(errors, "%s: cannot read the aliases: %s%s\n", file, why,
			   names->aliases ? " - those of before stay in use" : "");
	} else {
		aliases_local(next, config->hostname);
		aliases_read(next, file, buf_span(&text), errors);
		is_whole = supply(names, next, errors);
	}
	if (is_whole || (!why && !names->aliases)) {
		aliases_unref(names->aliases);
		names->aliases = next;
	} else {
		if (!why)
			buf_printf(errors, "%s: the aliases of before stay in use until what it includes can be read\n",
				   file);
		aliases_unref(next);
	}
	buf_fini(&text);
}

/* Files whose mistakes are known are told of once, however often they are read. */
static bool is_news(struct names *names, struct buf *errors)
{
	struct span told = buf_span(&names->errors), now = buf_span(errors);

	if (span_equals(told, now))
		return false;
	buf_clear(&names->errors);
	buf_append_span(&names->errors, now);
	mem_free(names->first);
	names->first = now.len ? mem_span_dup(span_first(now, span_find(now, '\n'))) : NULL;
	return now.len > 0;
}

bool names_refresh(struct names *names, const struct config *config, int64_t boot_ms, struct buf *errors)
{
	const char *file = config->aliases;
	bool is_other = !file || !names->file_count || strcmp(names->files[0].path, file) != 0 ||
			strcmp(names->host, config->hostname) != 0;
	bool is_stale = is_other;

	buf_clear(errors);
	if (!file) {
		forget_files(names);
		aliases_unref(names->aliases);
		names->aliases = NULL;
		is_news(names, errors);
		return false;
	}
	if (!is_other && boot_ms < names->next_ms)
		return false;
	names->next_ms = boot_ms + LOOK_MS;
	for (size_t i = 0; i < names->file_count && !is_stale; i++)
		is_stale = has_changed(&names->files[i]);
	if (!is_stale)
		return false;
	read_all(names, config, errors);
	return is_news(names, errors);
}

struct aliases *names_aliases(const struct names *names)
{
	return names->aliases;
}

const char *names_error(const struct names *names)
{
	return names->first ? names->first : "";
}
