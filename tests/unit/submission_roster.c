/* A users file while it changes: who is in it counts, and what cannot be trusted lets nobody in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "submission/roster.h"

#define HASH "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"

struct bench {
	char dir[64], file[96];
	struct roster *roster;
	int64_t now_ms;
	struct buf errors;
};

static int set_up(void **state)
{
	struct bench *bench = MEM_NEW(struct bench);

	snprintf(bench->dir, sizeof(bench->dir), "/tmp/sendoff-roster-XXXXXX");
	assert_non_null(mkdtemp(bench->dir));
	snprintf(bench->file, sizeof(bench->file), "%s/users", bench->dir);
	buf_init(&bench->errors, 64 * 1024);
	bench->roster = roster_new(bench->file);
	bench->now_ms = 5;
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	roster_free(bench->roster);
	buf_fini(&bench->errors);
	unlink(bench->file);
	assert_int_equal(rmdir(bench->dir), 0);
	mem_free(bench);
	return 0;
}

/* A new file in the place of the old, as `sendoff user` does it. */
static void put(struct bench *bench, const char *text, mode_t mode)
{
	char *part = mem_printf("%s.new", bench->file);
	FILE *file = fopen(part, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(part, mode), 0);
	assert_int_equal(rename(part, bench->file), 0);
	mem_free(part);
}

static const struct users *look(struct bench *bench, int64_t after_ms)
{
	bench->now_ms += after_ms;
	buf_clear(&bench->errors);
	return roster_users(bench->roster, bench->now_ms, &bench->errors);
}

static void said(struct bench *bench, const char *words)
{
	if (!strstr(buf_cstr(&bench->errors), words))
		fail_msg("'%s' was not said, but '%s'", words, buf_cstr(&bench->errors));
}

static void a_change_counts_within_a_second(void **state)
{
	struct bench *bench = *state;
	const struct users *users;

	put(bench, "alice:" HASH "\n", 0640);
	users = look(bench, 0);
	assert_non_null(users);
	assert_int_equal(users_count(users), 1);
	put(bench, "alice:" HASH "\nbob:" HASH "\n", 0640);
	assert_int_equal(users_count(look(bench, 999)), 1); /* one look a second, whoever asks */
	users = look(bench, 1);
	assert_int_equal(users_count(users), 2);
	assert_non_null(users_find(users, "bob"));
	assert_int_equal(bench->errors.len, 0);
	/* Of the same size but for a byte. */
	put(bench, "alice:" HASH "\nrob:" HASH "\n", 0640);
	users = look(bench, 1000);
	assert_null(users_find(users, "bob"));
	assert_non_null(users_find(users, "rob"));
	assert_ptr_equal(look(bench, 1000), users); /* as it was: not read again */
}

static void a_line_that_is_wrong_leaves_the_others_and_is_told_once(void **state)
{
	struct bench *bench = *state;
	const struct users *users;

	put(bench, "alice:" HASH "\nbob:secret\n", 0600);
	users = look(bench, 0);
	assert_int_equal(users_count(users), 1);
	said(bench, "users:2: this looks like a plain password");
	assert_null(strstr(buf_cstr(&bench->errors), "secret"));
	assert_int_equal(users_count(look(bench, 5000)), 1);
	assert_int_equal(bench->errors.len, 0);
}

static void what_everybody_may_read_or_write_lets_nobody_in(void **state)
{
	static const mode_t modes[] = { 0604, 0602, 0644, 0666 };
	struct bench *bench = *state;

	put(bench, "alice:" HASH "\n", 0640);
	assert_non_null(look(bench, 0));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(bench->file, modes[i]), 0);
		assert_null(look(bench, 1000));
		said(bench, "everybody may read or write it - run: chmod o-rw");
		assert_null(look(bench, 1000));
		assert_int_equal(bench->errors.len, 0); /* it was told */
		assert_int_equal(chmod(bench->file, 0640), 0);
		assert_non_null(look(bench, 1000));
	}
}

static void what_is_gone_lets_nobody_in_until_it_is_there(void **state)
{
	struct bench *bench = *state;

	assert_null(look(bench, 0));
	said(bench, "No such file or directory");
	assert_null(look(bench, 1000));
	assert_int_equal(bench->errors.len, 0);
	put(bench, "alice:" HASH "\n", 0640);
	assert_non_null(look(bench, 1000));
	assert_int_equal(unlink(bench->file), 0);
	assert_non_null(look(bench, 1));
	assert_null(look(bench, 999));
	said(bench, "No such file or directory");
}

static void what_is_no_file_or_too_large_lets_nobody_in(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(mkfifo(bench->file, 0600), 0); /* nobody writes to it: it must not be waited for */
	assert_null(look(bench, 0));
	said(bench, "this is no file");
	put(bench, "alice:" HASH "\n", 0640);
	assert_non_null(look(bench, 1000));
	assert_int_equal(truncate(bench->file, USERS_FILE_MAX + 1), 0);
	assert_null(look(bench, 1000));
	said(bench, "it is too large");
	put(bench, "", 0640);
	assert_int_equal(users_count(look(bench, 1000)), 0);
	assert_int_equal(bench->errors.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_change_counts_within_a_second),
		TEST(a_line_that_is_wrong_leaves_the_others_and_is_told_once),
		TEST(what_everybody_may_read_or_write_lets_nobody_in),
		TEST(what_is_gone_lets_nobody_in_until_it_is_there),
		TEST(what_is_no_file_or_too_large_lets_nobody_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
