/*
 * sendoff-helper - runs the owner's secret commands, checks passwords and sends HTTPS requests, apart from the agent.
 * Started by sendoffd, which it hears on descriptor 3; it ends when that is closed.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "helper/serve.h"

enum { SOCKET_FD = 3 };

/* Secrets pass through: no core dumps, no debugger of the same user. */
static void keep_secrets(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
#ifdef __linux__
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

int main(int argc, char **argv)
{
	int type;
	socklen_t len = sizeof(type);

	(void)argv;
	if (argc > 1 || getsockopt(SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &len) != 0) {
		fputs("sendoff-helper is started by sendoffd; there is nothing to do by hand\n", stderr);
		return EX_USAGE;
	}
	/* A service manager or a terminal signals all processes; the agent decides when this one ends. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	keep_secrets();
	serve_until_closed(SOCKET_FD);
	return 0;
}
