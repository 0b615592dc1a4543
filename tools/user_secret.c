#include "user_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "base/scram.h"
#include "cli.h"
#include "smtp/sasl_server.h"
#include "smtp/users.h"

enum { PASSWORD_MAX = 1024, LINE_SIZE = PASSWORD_MAX + 2 }; /* CR and LF, the NUL in the place of one */

/* ---------------------------------------------------------------- lines */

/* Without its end. False: none, too long, or a NUL in it; nothing of it stays in memory then. */
static bool read_line(int fd, char out[LINE_SIZE])
{
	size_t len = 0;
	ssize_t n;

	while (len < LINE_SIZE && (n = read(fd, out + len, 1)) != 0) {
		if (n < 0)
			break;
		if (out[len] == '\n' || out[len] == '\0')
			break;
		len++;
	}
	if (len < LINE_SIZE && (n == 0 ? len > 0 : n > 0 && out[len] == '\n')) {
		if (len && out[len - 1] == '\r')
			len--;
		out[len] = '\0';
		if (len <= PASSWORD_MAX)
			return true;
	}
	explicit_bzero(out, LINE_SIZE);
	return false;
}

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

/* With the echo off; a signal meanwhile takes effect when it is on again. */
static bool ask(int fd, const char *prompt, char out[LINE_SIZE])
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction old[4], now = { .sa_handler = on_signal };
	struct termios shown, hidden;
	bool good;

	if (tcgetattr(fd, &shown) != 0)
		return false;
	caught = 0;
	for (size_t i = 0; i < 4; i++)
		sigaction(signals[i], &now, &old[i]);
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	good = write(fd, prompt, strlen(prompt)) > 0 && tcsetattr(fd, TCSAFLUSH, &hidden) == 0 && read_line(fd, out);
	tcsetattr(fd, TCSANOW, &shown);
	good = write(fd, "\n", 1) == 1 && good;
	for (size_t i = 0; i < 4; i++)
		sigaction(signals[i], &old[i], NULL);
	if (caught)
		raise(caught);
	return good;
}

static int ask_twice(char out[LINE_SIZE])
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC), status = 0;
	char again[LINE_SIZE];

	if (fd < 0)
		return cli_fail(EX_USAGE, "there is no terminal to ask on - use --password-stdin or --hash-stdin");
	if (!ask(fd, "Password: ", out) || !ask(fd, "Again: ", again))
		status = cli_fail(EX_DATAERR, "no password was read");
	else if (strcmp(out, again) != 0)
		status = cli_fail(EX_DATAERR, "the two passwords differ");
	close(fd);
	explicit_bzero(again, sizeof(again));
	return status;
}

/* ---------------------------------------------------------------- secrets */

/* Both hashes, so that every client finds a mechanism that it knows. */
static char *derive(const char *password)
{
	struct buf text;

	buf_init(&text, USERS_SECRET_MAX);
	for (enum scram_hash hash = 0; hash < SCRAM_HASHES; hash++) {
		struct scram_verifier verifier = { .hash = hash,
						   .iterations = SCRAM_ITERATIONS,
						   .salt_len = SCRAM_SALT_LEN };

		crypto_random(verifier.salt, verifier.salt_len);
		scram_derive(&verifier, span_str(password));
		if (hash)
			buf_append_char(&text, ' ');
		scram_write(&text, &verifier);
	}
	return buf_take(&text);
}

static int from_password(const char *password, char **out)
{
	char *prepared = sasl_server_prepare(span_str(password));

	if (!password[0])
		return cli_fail(EX_DATAERR, "the password is empty");
	if (!prepared)
		return cli_fail(EX_DATAERR, "the password has control characters in it, or is not UTF-8");
	*out = derive(prepared);
	mem_wipe_free(prepared, strlen(prepared));
	return 0;
}

int user_secret_get(enum user_secret from, char **out)
{
	char line[LINE_SIZE];
	const char *mistake;
	int status = 0;

	if (from == USER_SECRET_ASK)
		status = ask_twice(line);
	else if (!read_line(STDIN_FILENO, line))
		status = cli_fail(EX_DATAERR, "no line of at most 1024 bytes was read from standard input");
	if (!status && from == USER_SECRET_HASH) {
		mistake = users_secret_mistake(span_str(line));
		if (mistake)
			status = cli_fail(EX_DATAERR,
					  "standard input: %s - wanted is a hash of crypt(5) or a SCRAM verifier",
					  line[0] ? mistake : "an empty line");
		else
			*out = mem_strdup(line);
	} else if (!status) {
		status = from_password(line, out);
	}
	explicit_bzero(line, sizeof(line));
	return status;
}
