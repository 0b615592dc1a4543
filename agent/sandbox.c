#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int fail(int error, char *why, size_t why_size, const char *what, const char *about)
{
	snprintf(why, why_size, "%s %s: %s", what, about, strerror(error));
	return -error;
}

int sandbox_find(const char *name, struct sandbox_user *out, char *why, size_t why_size)
{
	const struct passwd *entry;

	*out = (struct sandbox_user){ .name = NULL, .uid = geteuid(), .gid = getegid() };
	if (!name || geteuid() != 0)
		return 0;
	errno = 0;
	entry = getpwnam(name);
	if (!entry)
		return fail(errno ? errno : ENOENT, why, why_size, "user", name);
	if (entry->pw_uid == 0)
		return 0;
	*out = (struct sandbox_user){ .name = name, .uid = entry->pw_uid, .gid = entry->pw_gid };
	return 0;
}

void sandbox_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR); /* 0 to 2 are meant to be inherited */
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* a reload asked for during the start has nothing to do */
}

size_t sandbox_descriptors(size_t want)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 256;
	if (limit.rlim_cur < want) {
		struct rlimit raised = { .rlim_cur = want, .rlim_max = limit.rlim_max };

		if (raised.rlim_cur > raised.rlim_max)
			raised.rlim_cur = raised.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	return (size_t)limit.rlim_cur;
}

int sandbox_directory(const char *path, mode_t mode, bool parents, const struct sandbox_user *user, char *why,
		      size_t why_size)
{
	char *copy = mem_strdup(path);
	int fd, err = 0;

	for (char *slash = copy; parents && (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		/* Where it fails for good, the last one says so. Root's are for others to pass, as under /var. */
		if (mkdir(copy, 0700) == 0 && geteuid() == 0 && chmod(copy, 0755) < 0)
			err = errno;
		*slash = '/';
	}
	mem_free(copy);
	if (err)
		return fail(err, why, why_size, "cannot open the directories above", path);
	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : fail(errno, why, why_size, "cannot create the directory", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (user->name && fchown(fd, user->uid, user->gid) < 0) || fchmod(fd, mode) < 0)
		err = errno;
	if (fd >= 0)
		close(fd);
	return err ? fail(err, why, why_size, "cannot hand over the directory", path) : 0;
}

int sandbox_become(const struct sandbox_user *user, char *why, size_t why_size)
{
	if (!user->name)
		return 0;
	if (initgroups(user->name, user->gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return fail(errno, why, why_size, "cannot become", user->name);
	if (setuid(0) == 0 || geteuid() == 0 || getuid() == 0)
		return fail(EPERM, why, why_size, "root could not be given up for", user->name);
	return 0;
}

void sandbox_seal(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* The leak checker of a sanitizer traces its own process at exit. */
#ifndef __SANITIZE_ADDRESS__
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}
