/*
 * sendmail - the command that programs of forty years hand their mail to; also mailq and newaliases by name.
 *
 * It takes the message in, speaks SMTP to the agent's Unix socket and reports what the agent said. It knows no
 * configuration, no secrets and no queue. Exit status 0 means that the agent has the message on stable storage.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "tools/sendmail_header.h"
#include "tools/sendmail_options.h"
#include "tools/sendmail_relay.h"
#include "tools/sendmail_smtp.h"
#include "tools/sendmail_spool.h"

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

/* ---------------------------------------------------------------- where the agent is */

enum { PATHS_MAX = 4 };

/* $SENDOFF_SUBMIT alone where it is set; else the user's own agent, where one runs, else the machine's. */
static void find_sockets(char *paths[PATHS_MAX + 1])
{
	const char *given = secure_getenv("SENDOFF_SUBMIT"), *runtime = secure_getenv("XDG_RUNTIME_DIR");
	const char *state = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
	size_t n = 0;

	if (given && *given) {
		paths[n++] = mem_strdup(given);
	} else {
		if (geteuid() != 0) {
			/* Jobs of cron have no runtime directory in their environment. */
			paths[n++] = runtime && *runtime == '/'
					     ? mem_printf("%s/sendoff/submit", runtime)
					     : mem_printf("/run/user/%lu/sendoff/submit", (unsigned long)geteuid());
			if (state && *state == '/')
				paths[n++] = mem_printf("%s/sendoff/run/submit", state);
			else if (home && *home == '/')
				paths[n++] = mem_printf("%s/.local/state/sendoff/run/submit", home);
		}
		paths[n++] = mem_strdup("/run/sendoff/submit");
	}
	paths[n] = NULL;
}

static int open_agent(struct sendmail_smtp *smtp)
{
	char *paths[PATHS_MAX + 1];
	int status;

	find_sockets(paths);
	status = sendmail_smtp_open(smtp, (const char *const *)paths);
	for (size_t i = 0; paths[i]; i++)
		mem_free(paths[i]);
	return status;
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

/* ---------------------------------------------------------------- a message */

struct letter {
	const struct sendmail_options *options;
	struct sendmail_spool spool;
	struct sendmail_header header;
	struct sendmail_header_list recipients;
	struct sendmail_smtp smtp;
	struct buf added; /* a From field, and an empty line behind it where the message had no header */
	char *sender, *full_name;
	char error[SENDMAIL_HEADER_ERROR_SIZE];
};

/* The name in a passwd entry's gecos field: up to the first comma, '&' being the login name. */
static char *gecos_name(const struct passwd *user)
{
	struct buf name;
	char *text;

	buf_init(&name, 512);
	for (const char *p = user->pw_gecos ? user->pw_gecos : ""; *p && *p != ','; p++) {
		if (*p == '&' && user->pw_name[0])
			buf_printf(&name, "%c%s", user->pw_name[0] & ~0x20, user->pw_name + 1);
		else
			buf_append_char(&name, *p);
	}
	text = mem_strdup(buf_cstr(&name));
	buf_fini(&name);
	return text;
}

/* Who sends: -f, else the user who runs us. */
static int find_sender(struct letter *l)
{
	const struct sendmail_options *o = l->options;
	struct sendmail_header_list list = { 0 };
	const struct passwd *user;
	int status = EX_OK;

	if (o->full_name)
		l->full_name = mem_strdup(o->full_name);
	if (!o->sender) {
		user = getpwuid(getuid());
		l->sender = user ? mem_strdup(user->pw_name) : mem_printf("uid-%lu", (unsigned long)getuid());
		if (user && !l->full_name)
			l->full_name = gecos_name(user);
		return EX_OK;
	}
	if (*o->sender == '\0' || strcmp(o->sender, "<>") == 0) {
		l->sender = mem_strdup("");
		return EX_OK;
	}
	if (!sendmail_header_list_add(&list, span_str(o->sender), l->error) || list.count != 1) {
		if (!l->error[0])
			snprintf(l->error, sizeof(l->error), "-f: there must be one address");
		status = EX_USAGE;
	} else {
		l->sender = mem_strdup(list.items[0]);
	}
	sendmail_header_list_fini(&list);
	return status;
}

static int find_recipients(struct letter *l)
{
	const struct sendmail_options *o = l->options;

	for (size_t i = 0; i < o->recipient_count; i++)
		if (!sendmail_header_list_add(&l->recipients, span_str(o->recipients[i]), l->error))
			return EX_USAGE;
	if (!sendmail_header_read(&l->header, buf_span(&l->spool.memory), l->spool.file < 0,
				  o->header_recipients ? &l->recipients : NULL, l->error))
		return EX_DATAERR;
	if (l->recipients.count == 0) {
		snprintf(l->error, sizeof(l->error),
			 o->header_recipients ? "no recipients in To, Cc or Bcc of the message" : "no recipients");
		return EX_USAGE;
	}
	sendmail_header_list_unify(&l->recipients);
	return EX_OK;
}

/* The agent has told its name: now a missing From can be written. */
static int complete_header(struct letter *l)
{
	const char *address = *l->sender ? l->sender : "MAILER-DAEMON";

	if (!l->header.has_from &&
	    !sendmail_header_from(&l->added, address, l->smtp.host, *l->sender ? l->full_name : NULL)) {
		snprintf(l->error, sizeof(l->error), "the sender's name is too long");
		return EX_USAGE;
	}
	return EX_OK;
}

static int send_piece(void *arg, struct span piece)
{
	return sendmail_smtp_data(arg, piece);
}

static int hand_over(struct letter *l)
{
	const struct sendmail_options *o = l->options;
	struct sendmail_smtp_envelope envelope = {
		.sender = l->sender,
		.recipients = l->recipients.items,
		.recipient_count = l->recipients.count,
		.size_bytes = l->spool.input.bytes - l->header.body + l->header.kept.len + l->added.len,
		.is_8bit = o->body == SENDMAIL_OPTIONS_8BITMIME || l->spool.input.has_8bit,
		.notify = o->notify,
		.ret = o->ret,
		.envid = o->envid,
	};
	int status = sendmail_smtp_begin(&l->smtp, &envelope);

	if (status == EX_OK)
		status = sendmail_smtp_data(&l->smtp, buf_span(&l->added));
	if (status == EX_OK)
		status = sendmail_smtp_data(&l->smtp, buf_span(&l->header.kept));
	if (status == EX_OK)
		status = sendmail_spool_replay(&l->spool, l->header.body, send_piece, &l->smtp);
	return status == EX_OK ? sendmail_smtp_finish(&l->smtp) : status;
}

static int deliver(struct letter *l)
{
	int status = find_sender(l);

	if (status == EX_OK)
		status = sendmail_spool_fill(&l->spool, STDIN_FILENO);
	if (status == EX_OK)
		status = find_recipients(l);
	if (status == EX_OK)
		status = open_agent(&l->smtp);
	if (status == EX_OK)
		status = sendmail_smtp_hello(&l->smtp);
	if (status == EX_OK)
		status = complete_header(l);
	return status == EX_OK ? hand_over(l) : status;
}

static int run_deliver(const struct sendmail_options *options)
{
	struct letter l = { .options = options };
	int status;

	sendmail_spool_init(&l.spool, options->dot_is_text);
	sendmail_smtp_init(&l.smtp);
	l.smtp.verbose = options->verbose;
	buf_init(&l.added, 8192);
	buf_init(&l.header.kept, 0);
	status = deliver(&l);
	if (status != EX_OK)
		complain(status, l.error[0] ? l.error : l.spool.error[0] ? l.spool.error : l.smtp.error);
	sendmail_smtp_fini(&l.smtp);
	sendmail_spool_fini(&l.spool);
	sendmail_header_fini(&l.header);
	sendmail_header_list_fini(&l.recipients);
	buf_fini(&l.added);
	mem_free(l.sender);
	mem_free(l.full_name);
	return status;
}

static int run_smtp(void)
{
	struct sendmail_smtp smtp;
	int status;

	sendmail_smtp_init(&smtp);
	status = open_agent(&smtp);
	if (status == EX_OK) {
		status = sendmail_relay(smtp.fd, STDIN_FILENO, STDOUT_FILENO);
	} else {
		/* Whoever speaks SMTP to us is told in SMTP. */
		printf("421 4.3.2 %s\r\n", smtp.error);
		complain(status, smtp.error);
	}
	sendmail_smtp_fini(&smtp);
	return status;
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
	case SENDMAIL_OPTIONS_LIST: return run_sendoff((char *[]){ "sendoff", "list", NULL });
	case SENDMAIL_OPTIONS_FLUSH: return run_sendoff((char *[]){ "sendoff", "flush", "--all", "--yes", NULL });
	case SENDMAIL_OPTIONS_ALIASES: return EX_OK; /* the agent reads the alias file itself */
	case SENDMAIL_OPTIONS_HELP: fputs(sendmail_options_help(), stdout); return EX_OK;
	case SENDMAIL_OPTIONS_VERSION: puts("sendmail (Sendoff) " SENDOFF_VERSION); return EX_OK;
	}
	return EX_SOFTWARE;
}
