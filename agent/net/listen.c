#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/addr.h"

enum {
	BACKLOG = 1024,
	ACCEPT_AT_ONCE = 32, /* connections taken in one turn, so that others have their turn too */
	RETRY_MS = 1000,     /* after running out of descriptors or memory */
	FIRST_INHERITED = 3, /* sd_listen_fds(3) */
};

struct listen {
	struct loop *loop;
	struct loop_io io;
	struct loop_timer retry;
	void (*accepted)(void *arg, int fd);
	void *arg;
	int fd;
	bool started, paused, starved;
	bool in_callback, dead;
	char *path; /* the socket file that we made, or NULL */
	dev_t dev;
	ino_t ino;
	char name[128];
};

static void set_interest(struct listen *l)
{
	loop_io_set(&l->io, l->started && !l->paused && !l->starved ? LOOP_READ : 0);
}

static void on_retry(struct loop_timer *timer)
{
	struct listen *l = LIST_ENTRY(timer, struct listen, retry);

	l->starved = false;
	set_interest(l);
}

/* True when it is worth going on. */
static bool accept_one(struct listen *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		l->accepted(l->arg, fd);
		return !l->dead && !l->paused;
	}
	switch (errno) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO: return true;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		/* The connection stays in the backlog and would wake us for ever. */
		l->starved = true;
		loop_timer_in(&l->retry, RETRY_MS);
		return false;
	default: return false;
	}
}

static void on_ready(struct loop_io *io, int events)
{
	struct listen *l = LIST_ENTRY(io, struct listen, io);
	int n = 0;

	(void)events;
	l->in_callback = true;
	while (n < ACCEPT_AT_ONCE && accept_one(l))
		n++;
	l->in_callback = false;
	if (l->dead)
		mem_free(l);
	else
		set_interest(l);
}

static struct listen *make(struct loop *loop, int fd)
{
	struct listen *l = MEM_NEW(struct listen);

	l->loop = loop;
	l->fd = fd;
	loop_io_init(&l->io, loop, fd, on_ready);
	loop_timer_init(&l->retry, loop, on_retry);
	return l;
}

static void name_it(struct listen *l)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getsockname(l->fd, (struct sockaddr *)&addr, &len) != 0) {
		snprintf(l->name, sizeof(l->name), "unknown");
	} else if (addr.ss_family == AF_UNIX) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)&addr;
		size_t path_len =
			len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;

		snprintf(l->name, sizeof(l->name), "%.*s", (int)path_len, un->sun_path);
	} else {
		char text[ADDR_TEXT_SIZE];

		snprintf(l->name, sizeof(l->name), "%s", addr_text(&addr, text));
	}
}

static int refuse(int error, int fd, const char *what, const char *hint, char *why, size_t why_size)
{
	if (fd >= 0)
		close(fd);
	snprintf(why, why_size, "%s: %s%s", what, strerror(error), hint);
	return -error;
}

static const char *hint_for(int error)
{
	switch (error) {
	case EADDRINUSE: return " - another program listens there";
	case EACCES: return " - ports below 1024 need CAP_NET_BIND_SERVICE, or socket activation";
	case EADDRNOTAVAIL: return " - this machine does not have that address";
	default: return "";
	}
}

int listen_tcp(struct loop *loop, const char *address, struct listen **out_listen, char *why, size_t why_size)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd, one = 1;
	struct listen *l;

	if (!addr_parse(address, 0, &addr, &len)) {
		snprintf(why, why_size, "%s: not an address - write \"127.0.0.1:25\" or \"[::1]:25\"", address);
		return -EINVAL;
	}
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(errno, -1, address, "", why, why_size);
	if (addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, BACKLOG) != 0) {
		int error = errno;

		return refuse(error, fd, address, hint_for(error), why, why_size);
	}
	l = make(loop, fd);
	name_it(l);
	*out_listen = l;
	return 0;
}

/* ---------------------------------------------------------------- Unix sockets */

/* The last directory of the path, where it is missing: /run/sendoff after a boot. */
static void make_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory;

	if (!slash || slash == path)
		return;
	directory = mem_span_dup(span_of(path, (size_t)(slash - path)));
	(void)mkdir(directory, 0755); /* where it fails for good, bind() says why */
	mem_free(directory);
}

/* A socket file that nobody listens on any more is removed. 0, or the errno that says why the path cannot be used. */
static int clear_stale(const char *path, const struct sockaddr_un *un)
{
	struct stat before, after;
	int fd, error = 0;

	if (lstat(path, &before) != 0)
		return errno == ENOENT ? 0 : errno;
	if (!S_ISSOCK(before.st_mode))
		return EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 || errno == EAGAIN)
		error = EADDRINUSE;
	else if (errno != ECONNREFUSED)
		error = errno == ENOENT ? 0 : errno;
	else if (lstat(path, &after) == 0 && after.st_ino == before.st_ino && after.st_dev == before.st_dev &&
		 unlink(path) != 0)
		error = errno;
	close(fd);
	return error;
}

/* The file is shut to all until its mode is set: nobody slips in between. */
static int bind_shut(int fd, const struct sockaddr_un *un)
{
#ifdef __linux__
	/* bind() takes the mode of the descriptor; umask() would touch other threads. */
	return fchmod(fd, 0) == 0 && bind(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : errno;
#else
	mode_t mask = umask(0777);
	int error = bind(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : errno;

	umask(mask);
	return error;
#endif
}

int listen_unix(struct loop *loop, const char *path, mode_t mode, struct listen **out_listen, char *why,
		size_t why_size)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct stat made;
	struct listen *l;
	int fd, error;

	if (strlen(path) >= sizeof(un.sun_path)) {
		snprintf(why, why_size, "%s: the path of a socket may be %zu bytes long, no more", path,
			 sizeof(un.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	make_directory(path);
	error = clear_stale(path, &un);
	if (error)
		return refuse(error, -1, path,
			      error == EADDRINUSE ? " - another program listens there"
			      : error == EEXIST   ? " - it is not a socket, so it is left alone"
						  : "",
			      why, why_size);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(errno, -1, path, "", why, why_size);
	error = bind_shut(fd, &un);
	if (error)
		return refuse(error, fd, path, "", why, why_size);
	if (chmod(path, mode) != 0 || listen(fd, BACKLOG) != 0 || lstat(path, &made) != 0) {
		error = errno;
		unlink(path);
		return refuse(error, fd, path, "", why, why_size);
	}
	l = make(loop, fd);
	l->path = mem_strdup(path);
	l->dev = made.st_dev;
	l->ino = made.st_ino;
	snprintf(l->name, sizeof(l->name), "%s", path);
	*out_listen = l;
	return 0;
}

int listen_give(struct listen *listen, const char *owner, const char *group, char *why, size_t why_size)
{
	const struct passwd *user = owner ? getpwnam(owner) : NULL;
	const struct group *members = group ? getgrnam(group) : NULL;

	if ((owner && !user) || (group && !members)) {
		snprintf(why, why_size, "%s: there is no %s \"%s\" here", listen->name,
			 owner && !user ? "user" : "group", owner && !user ? owner : group);
		return -ENOENT;
	}
	/* Not through a link that somebody put in its place meanwhile. */
	if (listen->path && (user || members) &&
	    lchown(listen->path, user ? user->pw_uid : (uid_t)-1, members ? members->gr_gid : (gid_t)-1) != 0) {
		int error = errno;

		return refuse(error, -1, listen->path,
			      error == EPERM ? " - only root gives a socket away, and others only to groups of theirs"
					     : "",
			      why, why_size);
	}
	return 0;
}

/* ---------------------------------------------------------------- inherited sockets */

int listen_fd(struct loop *loop, int fd, struct listen **out_listen, char *why, size_t why_size)
{
	int listening = 0, type = 0, flags = fcntl(fd, F_GETFL);
	socklen_t len = sizeof(int);
	struct listen *l;

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || type != SOCK_STREAM || !listening) {
		snprintf(why, why_size, "descriptor %d: not a listening stream socket", fd);
		return -EINVAL;
	}
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	l = make(loop, fd);
	name_it(l);
	*out_listen = l;
	return 0;
}

size_t listen_inherit(struct listen_inherited *out, size_t max)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	struct span rest = span_str(names ? names : "");
	uint64_t for_pid, count = 0;

	if (!pid || !fds || !text_number(span_str(pid), INT32_MAX, &for_pid) || (pid_t)for_pid != getpid() ||
	    !text_number(span_str(fds), 1024, &count))
		count = 0;
	if (count > max)
		count = max;
	for (size_t i = 0; i < count; i++) {
		size_t colon = span_find(rest, ':');

		out[i] = (struct listen_inherited){ .fd = FIRST_INHERITED + (int)i };
		snprintf(out[i].name, sizeof(out[i].name), "%.*s", SPAN_ARGS(span_first(rest, colon)));
		rest = span_from(rest, colon + 1);
		fcntl(out[i].fd, F_SETFD, FD_CLOEXEC);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return count;
}

/* ---------------------------------------------------------------- life */

void listen_start(struct listen *listen, void (*accepted)(void *arg, int fd), void *arg)
{
	listen->accepted = accepted;
	listen->arg = arg;
	listen->started = true;
	set_interest(listen);
}

void listen_pause(struct listen *listen, bool paused)
{
	listen->paused = paused;
	/* Someone has closed a connection: descriptors may be free again. */
	if (!paused && listen->starved) {
		listen->starved = false;
		loop_timer_stop(&listen->retry);
	}
	set_interest(listen);
}

const char *listen_name(const struct listen *listen)
{
	return listen->name;
}

void listen_free(struct listen *listen)
{
	struct stat now;

	if (!listen || listen->dead)
		return;
	loop_io_stop(&listen->io);
	loop_timer_stop(&listen->retry);
	/* Only the file that we made: a newer agent may have put its own there. */
	if (listen->path && lstat(listen->path, &now) == 0 && now.st_ino == listen->ino && now.st_dev == listen->dev)
		unlink(listen->path);
	close(listen->fd);
	mem_free(listen->path);
	listen->dead = true;
	if (!listen->in_callback)
		mem_free(listen);
}
