/* A users file that is changed: whole or not at all, and as it was but for its text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "smtp/users.h"
#include "tools/user_file.h"
#include "tools/user_secret.h"

#define HASH "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"

static const char ONE[] = "# who may\nalice:" HASH "\n";
static char folder[64], path[96];

static int set_up(void **state)
{
	(void)state;
	umask(022);
	snprintf(folder, sizeof(folder), "/tmp/sendoff-user-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/users", folder);
	return 0;
}

static size_t count_files(void)
{
	DIR *dir = opendir(folder);
	size_t count = 0;

	for (const struct dirent *e; (e = readdir(dir));)
		count += e->d_name[0] != '.';
	closedir(dir);
	return count;
}

static int tear_down(void **state)
{
	char *link = mem_printf("%s/link", folder);

	(void)state;
	unlink(path);
	unlink(link);
	mem_free(link);
	assert_int_equal(rmdir(folder), 0); /* nothing else was left there */
	return 0;
}

static void write_file(const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void has_text(const char *want)
{
	char *text = mem_calloc(1, 1 << 20);
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	text[fread(text, 1, (1 << 20) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(text, want);
	mem_free(text);
}

static struct stat stat_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st;
}

/* As `sendoff user add` does it. */
static int add(const char *as, const gid_t *group, const char *name)
{
	struct user_file file;
	struct buf text;
	bool had;
	int status = user_file_take(as, group, &file);

	if (status)
		return status;
	buf_init(&text, USERS_FILE_MAX);
	status = users_edit(buf_span(&file.text), name, HASH, &text, &had) ? user_file_put(&file, buf_span(&text)) : -1;
	buf_fini(&text);
	user_file_fini(&file);
	return status;
}

static void a_new_file_is_for_its_owner_and_one_group(void **state)
{
	const gid_t own = getgid(), as_it_comes = (gid_t)-1, other = 4711;

	(void)state;
	assert_int_equal(add(path, NULL, "alice"), EX_NOINPUT); /* nobody wanted it made */
	assert_int_equal(count_files(), 0);
	assert_int_equal(add(path, &own, "alice"), 0);
	assert_int_equal(stat_of(path).st_mode, S_IFREG | 0640);
	assert_int_equal(stat_of(path).st_gid, own);
	has_text("alice:" HASH "\n");
	unlink(path);
	assert_int_equal(add(path, &as_it_comes, "alice"), 0);
	assert_int_equal(stat_of(path).st_mode, S_IFREG | 0640);
	unlink(path);
	if (geteuid() == 0) {
		assert_int_equal(add(path, &other, "alice"), 0);
		assert_int_equal(stat_of(path).st_gid, other);
	} else {
		assert_int_equal(add(path, &other, "alice"), EX_NOPERM);
		assert_int_equal(count_files(), 0);
	}
}

static void owner_group_mode_and_comments_stay(void **state)
{
	const gid_t group = getgid();

	(void)state;
	write_file(ONE, 0660);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 4711, 4712), 0);
	const struct stat before = stat_of(path);

	assert_int_equal(add(path, &group, "bob"), 0);
	has_text("# who may\nalice:" HASH "\nbob:" HASH "\n");
	const struct stat after = stat_of(path);

	assert_int_not_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode, S_IFREG | 0660);
	assert_int_equal(after.st_uid, before.st_uid);
	assert_int_equal(after.st_gid, before.st_gid);
	assert_int_equal(count_files(), 1);
}

static void a_link_stays_one_and_its_file_is_changed(void **state)
{
	char *link = mem_printf("%s/link", folder);

	(void)state;
	write_file(ONE, 0600);
	assert_int_equal(symlink("users", link), 0);
	assert_int_equal(add(link, NULL, "bob"), 0);
	assert_true(S_ISLNK(stat_of(link).st_mode));
	assert_true(S_ISREG(stat_of(path).st_mode));
	has_text("# who may\nalice:" HASH "\nbob:" HASH "\n");
	mem_free(link);
}

static void what_everybody_may_read_or_write_is_refused(void **state)
{
	static const mode_t modes[] = { 0604, 0602, 0644 };

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_file(ONE, modes[i]);
		assert_int_equal(add(path, NULL, "bob"), EX_NOPERM);
		has_text(ONE);
		unlink(path);
	}
}

static void what_is_no_file_or_too_large_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(add(path, NULL, "bob"), EX_DATAERR);
	unlink(path);
	assert_int_not_equal(add(folder, NULL, "bob"), 0);
	write_file(ONE, 0600);
	assert_int_equal(truncate(path, USERS_FILE_MAX + 128 * 1024), 0);
	assert_int_equal(add(path, NULL, "bob"), EX_DATAERR);
	assert_int_equal(stat_of(path).st_size, USERS_FILE_MAX + 128 * 1024);
}

/* Each waits for the others, and for the file that the others have put there. */
static void changes_at_once_lose_nothing(void **state)
{
	enum { WRITERS = 8, EACH = 10 };
	const gid_t group = getgid();
	struct user_file file;
	struct users *users;
	struct buf errors;
	int status;

	(void)state;
	for (int w = 0; w < WRITERS; w++) {
		if (fork() != 0)
			continue;
		for (int i = 0; i < EACH; i++) {
			char *name = mem_printf("user%d-%d", w, i);

			if (add(path, &group, name))
				_exit(1);
			mem_free(name);
		}
		_exit(0);
	}
	for (int w = 0; w < WRITERS; w++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(user_file_take(path, NULL, &file), 0);
	buf_init(&errors, 4096);
	users = users_parse(buf_span(&file.text), path, &errors);
	assert_int_equal(users_count(users), WRITERS * EACH);
	assert_int_equal(errors.len, 0);
	assert_int_equal(count_files(), 1);
	users_free(users);
	buf_fini(&errors);
	user_file_fini(&file);
}

static void a_write_that_fails_leaves_the_old_file(void **state)
{
	const struct rlimit least = { 64, 64 };
	int status;
	pid_t pid;

	(void)state;
	write_file(ONE, 0640);
	const struct stat before = stat_of(path);

	pid = fork();
	if (pid == 0) {
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &least);
		_exit(add(path, NULL, "bob"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EX_CANTCREAT);
	has_text(ONE);
	assert_int_equal(stat_of(path).st_ino, before.st_ino);
	assert_int_equal(count_files(), 1);
}

/* ---------------------------------------------------------------- secrets from standard input */

/* 0 and the secret, or the exit status. */
static int get(enum user_secret from, const char *input, size_t len, char **out)
{
	int ends[2], old = dup(STDIN_FILENO), status;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], input, len), len);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	status = user_secret_get(from, out);
	dup2(old, STDIN_FILENO);
	close(old);
	return status;
}

static void a_password_becomes_both_verifiers(void **state)
{
	static const struct span inputs[] = { { "pencil\n", 7 }, { "pencil\r\nmore\n", 13 }, { "pencil", 6 } };

	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		struct scram_verifier one, other;
		char *secret = NULL, *space;

		assert_int_equal(get(USER_SECRET_PASSWORD, inputs[i].data, inputs[i].len, &secret), 0);
		assert_null(users_secret_mistake(span_str(secret)));
		space = strchr(secret, ' ');
		assert_non_null(space);
		assert_true(scram_read(span_of(secret, (size_t)(space - secret)), &one));
		assert_true(scram_read(span_str(space + 1), &other));
		assert_int_not_equal(one.hash, other.hash);
		assert_true(scram_fits(&one, SPAN("pencil")) && scram_fits(&other, SPAN("pencil")));
		assert_memory_not_equal(one.salt, other.salt, SCRAM_SALT_LEN);
		mem_free(secret);
	}
}

static void what_is_no_password_is_refused(void **state)
{
	static const struct span inputs[] = {
		{ "", 0 }, { "\n", 1 }, { "pen\0cil\n", 8 }, { "pen\tcil\n", 8 }, { "pen\xffil\n", 7 },
	};
	char *long_one = mem_calloc(1, 2000), *secret = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		assert_int_equal(get(USER_SECRET_PASSWORD, inputs[i].data, inputs[i].len, &secret), EX_DATAERR);
	memset(long_one, 'x', 1999);
	assert_int_equal(get(USER_SECRET_PASSWORD, long_one, 1999, &secret), EX_DATAERR);
	long_one[1025] = '\n';
	assert_int_equal(get(USER_SECRET_PASSWORD, long_one, 1026, &secret), EX_DATAERR);
	assert_null(secret);
	long_one[1024] = '\r';
	assert_int_equal(get(USER_SECRET_PASSWORD, long_one, 1026, &secret), 0);
	mem_free(secret);
	mem_free(long_one);
}

static void a_hash_is_taken_as_it_is_and_nothing_else_for_one(void **state)
{
	char *secret = NULL;

	(void)state;
	assert_int_equal(get(USER_SECRET_HASH, HASH "\n", sizeof(HASH), &secret), 0);
	assert_string_equal(secret, HASH);
	mem_free(secret);
	secret = NULL;
	assert_int_equal(get(USER_SECRET_HASH, "pencil\n", 7, &secret), EX_DATAERR);
	assert_int_equal(get(USER_SECRET_HASH, "\n", 1, &secret), EX_DATAERR);
	assert_null(secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_new_file_is_for_its_owner_and_one_group),
		TEST(owner_group_mode_and_comments_stay),
		TEST(a_link_stays_one_and_its_file_is_changed),
		TEST(what_everybody_may_read_or_write_is_refused),
		TEST(what_is_no_file_or_too_large_is_refused),
		TEST(changes_at_once_lose_nothing),
		TEST(a_write_that_fails_leaves_the_old_file),
		cmocka_unit_test(a_password_becomes_both_verifiers),
		cmocka_unit_test(what_is_no_password_is_refused),
		cmocka_unit_test(a_hash_is_taken_as_it_is_and_nothing_else_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
