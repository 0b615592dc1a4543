#include "net/filewatch.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "net/dirwatch.h"

struct filewatch {
	struct loop *loop;
	char *path;
	struct stat seen;            /* all zero: it is not there */
	struct dirwatch *near, *far; /* of its name; of what that leads to. NULL: cannot be watched */
	struct loop_task rewatch;    /* the watches are not replaced from inside one of them */
	void (*changed)(void *arg);
	void *arg;
};

static void look(void *arg);

static struct dirwatch *watch_beside(struct filewatch *watch, const char *file)
{
	const char *slash = strrchr(file, '/');
	struct dirwatch *dir = NULL;
	char *path;

	if (!slash)
		return NULL;
	path = mem_span_dup(span_of(file, slash == file ? 1 : (size_t)(slash - file)));
	dirwatch_new(watch->loop, path, look, watch, &dir); /* `dir` stays NULL where it fails */
	mem_free(path);
	return dir;
}

static void watch_target(struct filewatch *watch)
{
	char real[PATH_MAX];

	dirwatch_free(watch->far);
	watch->far = realpath(watch->path, real) && strcmp(real, watch->path) != 0 ? watch_beside(watch, real) : NULL;
}

static bool is_another(const struct stat *a, const struct stat *b)
{
	return a->st_dev != b->st_dev || a->st_ino != b->st_ino || a->st_size != b->st_size ||
	       a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

static bool see(struct filewatch *watch)
{
	struct stat now;
	bool changed;

	if (stat(watch->path, &now) != 0)
		memset(&now, 0, sizeof now);
	changed = is_another(&now, &watch->seen);
	watch->seen = now;
	return changed;
}

static void rewatch(struct loop_task *task)
{
	watch_target(LIST_ENTRY(task, struct filewatch, rewatch));
}

static void look(void *arg)
{
	struct filewatch *watch = arg;

	if (!see(watch))
		return;
	loop_task_post(&watch->rewatch);
	watch->changed(watch->arg);
}

struct filewatch *filewatch_new(struct loop *loop, const char *path, void (*changed)(void *arg), void *arg)
{
	struct filewatch *watch = MEM_NEW(struct filewatch);

	watch->loop = loop;
	watch->path = mem_strdup(path);
	watch->changed = changed;
	watch->arg = arg;
	loop_task_init(&watch->rewatch, loop, rewatch);
	watch->near = watch_beside(watch, path);
	watch_target(watch);
	see(watch);
	return watch;
}

void filewatch_free(struct filewatch *watch)
{
	if (!watch)
		return;
	loop_task_stop(&watch->rewatch);
	dirwatch_free(watch->near);
	dirwatch_free(watch->far);
	mem_free(watch->path);
	mem_free(watch);
}
