#include "delivery/account.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"

struct account {
	struct loop_task task; /* answers in the next turn */
	struct helper_request *request;
	account_done_fn *done;
	void *arg;
	char secret[ACCOUNT_SECRET_MAX];
	size_t len;
	char why[512]; /* "": there is a secret */
};

/* ---------------------------------------------------------------- what was read */

/* The first line, as password stores write it. */
static void take_line(struct account *account, const char *data, size_t len)
{
	size_t line = 0;

	while (line < len && data[line] != '\n' && data[line] != '\r' && data[line] != '\0')
		line++;
	account->len = 0;
	if (!line)
		snprintf(account->why, sizeof account->why, "the secret is empty");
	else if (line > sizeof account->secret)
		snprintf(account->why, sizeof account->why, "the secret is longer than %d bytes", ACCOUNT_SECRET_MAX);
	if (account->why[0])
		return;
	memcpy(account->secret, data, line);
	account->len = line;
}

/* ---------------------------------------------------------------- files */

static bool path_of(const struct config_smarthost *host, const char *directory, char *out, size_t size)
{
	int len;

	if (host->secret_file)
		len = snprintf(out, size, "%s", host->secret_file);
	else if (host->secret_credential && directory && !strchr(host->secret_credential, '/'))
		len = snprintf(out, size, "%s/%s", directory, host->secret_credential);
	else
		return false;
	return len > 0 && (size_t)len < size;
}

static void read_open(struct account *account, const char *path, int fd)
{
	char data[ACCOUNT_SECRET_MAX + 1];
	size_t len = 0;
	struct stat st;
	ssize_t n = 0;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		snprintf(account->why, sizeof account->why, "%.300s is not a file", path);
		return;
	}
	if (st.st_mode & S_IROTH) {
		snprintf(account->why, sizeof account->why,
			 "%.300s can be read by everybody: it is not used until it is private (chmod 600)", path);
		return;
	}
	while (len < sizeof data && (n = read(fd, data + len, sizeof data - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		snprintf(account->why, sizeof account->why, "%.300s: %s", path, strerror(errno));
	else
		take_line(account, data, len);
	explicit_bzero(data, sizeof data);
}

static void read_file(struct account *account, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		snprintf(account->why, sizeof account->why, "%.300s: %s", path, strerror(errno));
		return;
	}
	read_open(account, path, fd);
	close(fd);
}

static uint64_t mix(uint64_t mark, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		mark = (mark ^ p[i]) * 0x100000001b3u; /* FNV-1a */
	return mark;
}

static uint64_t mix_text(uint64_t mark, const char *text)
{
	return text ? mix(mark, text, strlen(text) + 1) : mix(mark, "", 1);
}

uint64_t account_mark(const struct config_smarthost *host, const char *credentials_directory)
{
	uint64_t mark = mix_text(0xcbf29ce484222325u, host->host);
	char path[4096];
	struct stat st;

	mark = mix_text(mix_text(mark, host->user), host->secret_file);
	mark = mix_text(mix_text(mark, host->secret_command), host->secret_credential);
	mark = mix(mix(mark, &host->port, sizeof host->port), &host->auth, sizeof host->auth);
	if (!path_of(host, credentials_directory, path, sizeof path) || stat(path, &st) != 0)
		return mark;
	mark = mix(mix(mark, &st.st_ino, sizeof st.st_ino), &st.st_size, sizeof st.st_size);
	return mix(mix(mark, &st.st_mtim, sizeof st.st_mtim), &st.st_mode, sizeof st.st_mode);
}

/* ---------------------------------------------------------------- fetching */

static void account_free(struct account *account)
{
	loop_task_stop(&account->task);
	mem_wipe_free(account, sizeof *account);
}

static void answer(struct loop_task *task)
{
	struct account *account = LIST_ENTRY(task, struct account, task);

	account->done(account->arg, span_of(account->secret, account->len), account->why[0] ? account->why : NULL);
	account_free(account);
}

static void ran(void *arg, bool ok, struct span output, const char *error)
{
	struct account *account = arg;

	account->request = NULL;
	if (ok)
		take_line(account, output.data, output.len);
	else
		snprintf(account->why, sizeof account->why, "secret_command: %s", error);
	answer(&account->task);
}

static void run(struct account *account, const struct account_setup *setup, const char *command)
{
	if (setup->helper && helper_is_alive(setup->helper)) {
		account->request = helper_command(setup->helper, command, 0, ran, account);
		return;
	}
	snprintf(account->why, sizeof account->why,
		 "secret_command cannot be run: sendoff-helper is not running; restart the agent");
	loop_task_post(&account->task);
}

struct account *account_fetch(const struct account_setup *setup, const struct config_smarthost *host,
			      account_done_fn *done, void *arg)
{
	struct account *account = MEM_NEW(struct account);
	char path[4096];

	account->done = done;
	account->arg = arg;
	loop_task_init(&account->task, setup->loop, answer);
	if (host->secret_command) {
		run(account, setup, host->secret_command);
		return account;
	}
	if (path_of(host, setup->credentials_directory, path, sizeof path))
		read_file(account, path);
	else if (host->secret_credential)
		snprintf(account->why, sizeof account->why,
			 "secret_credential \"%.100s\": systemd passed no credentials (LoadCredential=)",
			 host->secret_credential);
	else
		snprintf(account->why, sizeof account->why,
			 "user is set, but no secret_file, secret_command or secret_credential");
	loop_task_post(&account->task);
	return account;
}

void account_cancel(struct account *account)
{
	if (!account)
		return;
	helper_cancel(account->request);
	account_free(account);
}
