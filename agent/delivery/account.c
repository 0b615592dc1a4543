#include "delivery/account.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "helper/helper.h"

enum { ACCOUNT_WHY_MAX = 700 };

struct account {
	struct loop_task task; /* answers in the next turn */
	struct helper_request *request;
	account_done_fn *done;
	void *arg;
	struct account_refused refused;
	bool is_again; /* a token was refused */
	char secret[ACCOUNT_SECRET_MAX];
	size_t len;
	char why[ACCOUNT_WHY_MAX]; /* "": there is a secret */
};

bool account_wants_secret(const struct config_smarthost *host)
{
	return host->user && host->auth & ~(uint32_t)CONFIG_AUTH_EXTERNAL;
}

bool account_is_renewable(const struct config_smarthost *host)
{
	return host->secret_command && host->auth & (CONFIG_AUTH_XOAUTH2 | CONFIG_AUTH_OAUTHBEARER);
}

void account_refuse(struct account_refused *refused, struct span secret, const char *text)
{
	crypto_hash(CRYPTO_SHA256, secret, refused->digest);
	snprintf(refused->text, sizeof refused->text, "%s", text);
}

static bool is_refused(const struct account *account)
{
	uint8_t digest[CRYPTO_SHA256_LEN];

	crypto_hash(CRYPTO_SHA256, span_of(account->secret, account->len), digest);
	return account->is_again && crypto_equal(digest, account->refused.digest, sizeof digest);
}

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
	if (is_refused(account))
		snprintf(account->why, sizeof account->why, "%s; secret_command gave the same token once more",
			 account->refused.text);
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

/* What the configuration demands of the file when it is loaded must still be so. NULL: it is. */
static const char *indiscretion(const struct stat *st, bool is_credential)
{
	mode_t others = is_credential ? S_IRWXO : S_IRWXG | S_IRWXO;

	if (!S_ISREG(st->st_mode))
		return "is not a file";
	if (st->st_mode & S_IRWXO)
		return "can be read by everybody: it is not used until it is private (chmod 600)";
	if (st->st_mode & others)
		return "can be read by its group: it is not used until it is private (chmod 600)";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "belongs to somebody else: it is not used until it is the agent's own, or root's";
	return NULL;
}

static void read_open(struct account *account, const char *path, int fd, bool is_credential)
{
	char data[ACCOUNT_SECRET_MAX + 1];
	size_t len = 0;
	struct stat st;
	ssize_t n = 0;
	const char *fault = fstat(fd, &st) == 0 ? indiscretion(&st, is_credential) : strerror(errno);

	if (fault) {
		snprintf(account->why, sizeof account->why, "%.300s %s", path, fault);
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

static void read_file(struct account *account, const char *path, bool is_credential)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);

	if (fd < 0 && errno == ELOOP)
		snprintf(account->why, sizeof account->why, "%.300s is a symbolic link: name the file that it leads to",
			 path);
	else if (fd < 0)
		snprintf(account->why, sizeof account->why, "%.300s: %s", path, strerror(errno));
	else
		read_open(account, path, fd, is_credential);
	if (fd >= 0)
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
	account->is_again = setup->refused;
	if (setup->refused)
		account->refused = *setup->refused;
	loop_task_init(&account->task, setup->loop, answer);
	if (host->secret_command) {
		run(account, setup, host->secret_command);
		return account;
	}
	if (path_of(host, setup->credentials_directory, path, sizeof path))
		read_file(account, path, !host->secret_file);
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
