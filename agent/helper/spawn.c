#include "helper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOCKET_FD = 3 }; /* where the helper finds it */

/* In the child: takes away what belongs to the service and not to the commands that it runs. */
static void clean_environment(const struct passwd *user)
{
	static const char *const ours[] = { "LISTEN_PID",   "LISTEN_FDS",    "LISTEN_FDNAMES", "NOTIFY_SOCKET",
					    "WATCHDOG_PID", "WATCHDOG_USEC", "LD_PRELOAD",     "INVOCATION_ID",
					    "MAINPID",      "JOURNAL_STREAM" };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		unsetenv(ours[i]);
	if (!user)
		return;
	setenv("HOME", user->pw_dir, 1);
	setenv("USER", user->pw_name, 1);
	setenv("LOGNAME", user->pw_name, 1);
}

static int become(const struct passwd *user)
{
	if (!user)
		return 0;
	return initgroups(user->pw_name, user->pw_gid) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0
		       ? 0
		       : errno;
}

/* In the child: until exec() or the report of an error through `report`. */
static void become_helper(const char *program, const struct passwd *user, int socket, int report)
{
	char *const arguments[] = { (char *)(uintptr_t) "sendoff-helper", NULL };
	int null = open("/dev/null", O_RDWR), error = 0, kept;

	/* Above the places that are filled below. */
	kept = fcntl(report, F_DUPFD_CLOEXEC, SOCKET_FD + 1);
	socket = fcntl(socket, F_DUPFD_CLOEXEC, SOCKET_FD + 1);
	if (kept < 0 || socket < 0)
		_exit(1);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(socket, SOCKET_FD) < 0)
		error = errno;
	for (int fd = SOCKET_FD + 1; fd < 1024; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (!error)
		error = become(user);
	if (!error) {
		clean_environment(user);
		execv(program, arguments);
		error = errno;
	}
	if (write(kept, &error, sizeof(error)) < 0)
		_exit(2);
	_exit(1);
}

int spawn_helper(const char *program, const struct passwd *user, int socket, pid_t *out_pid)
{
	int report[2], error = 0;
	pid_t pid;
	ssize_t n;

	if (pipe2(report, O_CLOEXEC) != 0)
		return errno;
	pid = fork();
	if (pid == 0)
		become_helper(program, user, socket, report[1]);
	if (pid < 0)
		error = errno;
	close(report[1]);
	if (pid > 0) {
		do {
			n = read(report[0], &error, sizeof(error));
		} while (n < 0 && errno == EINTR);
		if (error)
			waitpid(pid, NULL, 0);
	}
	close(report[0]);
	if (!error)
		*out_pid = pid;
	return error;
}
