/*
 * sendmail - the command that programs of forty years hand their mail to; also mailq and newaliases by name.
 *
 * It takes the message in, speaks SMTP to the agent's Unix socket and reports what the agent said. It knows no
 * configuration, no secrets and no queue. Exit status 0 means that the message is on stable storage, with the agent or,
 * while it does not run, in its drop directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "tools/sendmail_drop.h"
#include "tools/sendmail_letter.h"
#include "tools/sendmail_options.h"
#include "tools/sendmail_places.h"
#include "tools/sendmail_relay.h"
#include "tools/sendmail_smtp.h"

static int complain(int status, const char *text)
{
	fprintf(stderr, "sendmail: %s\n", text);
	return status;
}

/* A closed descriptor 0, 1 or 2 would be given to the socket, and messages would be written into it. */
static void keep_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == 0 ? O_WRONLY : O_RDWR) != fd)
			_exit(EX_OSERR);
}

/* ---------------------------------------------------------------- sendoff */

/* Becomes `sendoff VERB ...`: the one that was built or installed with us, else the first in PATH. */
static int run_sendoff(char *const argv[])
{
	static const char *const places[] = { "sendoff", "../bin/sendoff", "../../bin/sendoff" };
	char self[PATH_MAX], path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	signal(SIGPIPE, SIG_DFL);
	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++) {
		*slash = '\0';
		snprintf(path, sizeof(path), "%s/%s", self, places[i]);
		execv(path, argv);
	}
	execvp("sendoff", argv);
	return complain(EX_UNAVAILABLE, "the program sendoff cannot be found");
}

/* ---------------------------------------------------------------- what was asked for */

static int run_deliver(const struct sendmail_options *options)
{
	char error[SENDMAIL_LETTER_ERROR_SIZE];
	struct sendmail_places places;
	int status;

	sendmail_places_find(&places);
	status = sendmail_letter_send(options, &places, error);
	sendmail_places_fini(&places);
	return status == EX_OK ? EX_OK : complain(status, error);
}

static int run_smtp(void)
{
	struct sendmail_places places;
	struct sendmail_smtp smtp;
	int status;

	sendmail_places_find(&places);
	sendmail_smtp_init(&smtp);
	status = sendmail_smtp_open(&smtp, (const char *const *)places.sockets);
	if (status == EX_OK) {
		status = sendmail_relay(smtp.fd, STDIN_FILENO, STDOUT_FILENO);
	} else {
		/* Whoever speaks SMTP to us is told in SMTP. */
		printf("421 4.3.2 %s\r\n", smtp.error);
		complain(status, smtp.error);
	}
	sendmail_smtp_fini(&smtp);
	sendmail_places_fini(&places);
	return status;
}

/* What the agent has not taken in yet is in no queue: it is counted here, where we may look. */
static int run_list(void)
{
	struct sendmail_places places;
	uint64_t kept;

	sendmail_places_find(&places);
	if (places.drop && sendmail_drop_count(places.drop, &kept) && kept > 0)
		printf("%llu message%s in %s until the mail agent takes %s in\n", (unsigned long long)kept,
		       kept == 1 ? " waits" : "s wait", places.drop, kept == 1 ? "it" : "them");
	fflush(stdout);
	sendmail_places_fini(&places);
	return run_sendoff((char *[]){ "sendoff", "list", NULL });
}

static int run_flush(const struct sendmail_options *options)
{
	static const char *const by[] = { [SENDMAIL_OPTIONS_FROM] = "--from", [SENDMAIL_OPTIONS_TO] = "--to" };
	char *glob;

	switch (options->flush_by) {
	case SENDMAIL_OPTIONS_ALL: return run_sendoff((char *[]){ "sendoff", "flush", "--all", "--yes", NULL });
	case SENDMAIL_OPTIONS_ID:
		return run_sendoff(
			(char *[]){ "sendoff", "flush", "--yes", "--", (char *)(uintptr_t)options->flush_what, NULL });
	case SENDMAIL_OPTIONS_FROM:
	case SENDMAIL_OPTIONS_TO: break;
	}
	glob = mem_printf("*%s*", options->flush_what);
	return run_sendoff(
		(char *[]){ "sendoff", "flush", "--yes", (char *)(uintptr_t)by[options->flush_by], glob, NULL });
}

int main(int argc, char **argv)
{
	char error[SENDMAIL_OPTIONS_ERROR_SIZE];
	struct sendmail_options options;

	keep_standard_descriptors();
	signal(SIGPIPE, SIG_IGN);
	if (!sendmail_options_parse(argc, argv, &options, error))
		return complain(EX_USAGE, error);
	switch (options.mode) {
	case SENDMAIL_OPTIONS_DELIVER: return run_deliver(&options);
	case SENDMAIL_OPTIONS_SMTP: return run_smtp();
	case SENDMAIL_OPTIONS_LIST: return run_list();
	case SENDMAIL_OPTIONS_FLUSH: return run_flush(&options);
	case SENDMAIL_OPTIONS_ALIASES: return EX_OK; /* the agent reads the alias file itself */
	case SENDMAIL_OPTIONS_HELP: fputs(sendmail_options_help(), stdout); return EX_OK;
	case SENDMAIL_OPTIONS_VERSION: puts("sendmail (Sendoff) " SENDOFF_VERSION); return EX_OK;
	}
	return EX_SOFTWARE;
}
