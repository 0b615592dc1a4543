#include "net/dirwatch.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"

enum { READS = 64 };

struct dirwatch {
	struct loop_io io;
	int fd;
	void (*changed)(void *arg);
	void *arg;
};

/* What it was does not matter: whoever is told looks at the directory. */
static void on_ready(struct loop_io *io, int events)
{
	struct dirwatch *watch = LIST_ENTRY(io, struct dirwatch, io);
	char drop[4096];

	(void)events;
	/* What comes faster than that is left for the next turn. */
	for (int i = 0; i < READS && read(watch->fd, drop, sizeof(drop)) > 0; i++)
		;
	watch->changed(watch->arg);
}

int dirwatch_new(struct loop *loop, const char *path, void (*changed)(void *arg), void *arg,
		 struct dirwatch **out_watch)
{
	/* A link to a file without a name is a creation. */
	uint32_t mask = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), err;
	struct dirwatch *watch;

	if (fd < 0)
		return -errno;
	if (inotify_add_watch(fd, path, mask) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	watch = MEM_NEW(struct dirwatch);
	watch->fd = fd;
	watch->changed = changed;
	watch->arg = arg;
	loop_io_init(&watch->io, loop, fd, on_ready);
	loop_io_set(&watch->io, LOOP_READ);
	*out_watch = watch;
	return 0;
}

void dirwatch_free(struct dirwatch *watch)
{
	if (!watch)
		return;
	loop_io_stop(&watch->io);
	close(watch->fd);
	mem_free(watch);
}
