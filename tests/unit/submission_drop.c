/* The drop directory: what strangers put there, and the marks that keep each message from being taken twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "submission/dropdir.h"
#include "submission/dropmark.h"

#define NAME(letter)                                                                                              \
	letter letter letter letter letter letter letter letter letter letter letter letter letter letter letter  \
		letter letter letter letter letter letter letter letter letter letter letter letter letter letter \
			letter letter letter

/* ---------------------------------------------------------------- marks */

static struct dropmark mark(unsigned n, bool is_whole, uint32_t uid)
{
	struct dropmark m = { .is_whole = is_whole, .done = n, .uid = uid };

	snprintf(m.name, sizeof(m.name), "%032x", n);
	return m;
}

static void marks_are_read_as_they_were_written(void **state)
{
	struct dropmarks a, b;
	struct dropmark one = mark(1, true, 0), two = mark(2, false, 501), three = mark(3, true, 0);
	struct span text;

	(void)state;
	dropmark_init(&a);
	dropmark_init(&b);
	assert_int_equal(dropmark_write(&a, NULL).len, 0);
	dropmark_set(&a, &one);
	dropmark_set(&a, &two);
	dropmark_set(&a, &two); /* replaces */
	text = dropmark_write(&a, &three);
	assert_int_equal(a.count, 2);
	dropmark_read(&b, text);
	assert_int_equal(b.count, 3);
	assert_true(dropmark_find(&b, one.name)->is_whole && dropmark_find(&b, three.name)->is_whole);
	assert_false(dropmark_find(&b, two.name)->is_whole);
	assert_int_equal(dropmark_find(&b, two.name)->done, 2);
	assert_int_equal(dropmark_find(&b, two.name)->uid, 501);
	dropmark_forget_whole(&b);
	assert_int_equal(b.count, 1);
	dropmark_forget(&b, two.name);
	dropmark_forget(&b, two.name);
	assert_int_equal(b.count, 0);
	dropmark_fini(&a);
	dropmark_fini(&b);
}

static void marks_that_cannot_be_read_are_passed_over(void **state)
{
	struct dropmarks m;

	(void)state;
	dropmark_init(&m);
	dropmark_read(&m, SPAN("\n\nhello\n" NAME("a") "\n" NAME("b") " -\n" NAME("c") " 12\n" NAME("d") " 1 2\n" NAME(
				  "e") " 99999999999 1\n../../" NAME("f") " -\n" NAME("f") " -"));
	assert_int_equal(m.count, 3);
	assert_non_null(dropmark_find(&m, NAME("b")));
	assert_non_null(dropmark_find(&m, NAME("d")));
	assert_non_null(dropmark_find(&m, NAME("f")));
	dropmark_fini(&m);
}

static void marks_are_bounded(void **state)
{
	struct dropmarks m, again;
	struct dropmark also = mark(9999, true, 0);
	unsigned n = 0;

	(void)state;
	dropmark_init(&m);
	for (; dropmark_has_room(&m); n++) {
		struct dropmark whole = mark(n, true, 0);

		dropmark_set(&m, &whole);
	}
	assert_int_equal(n, DROPMARK_WHOLE);
	for (uint32_t uid = 0; dropmark_has_room_in_part(&m, uid); uid++) {
		for (; dropmark_has_room_in_part(&m, uid); n++) {
			struct dropmark part = mark(n, false, UINT32_MAX - uid);

			part.uid = uid;
			part.done = UINT32_MAX;
			dropmark_set(&m, &part);
		}
		assert_int_equal(n, DROPMARK_WHOLE + (uid + 1) * DROPMARK_OWN); /* one user does not get all the room */
	}
	assert_int_equal(m.count, DROPMARK_MAX);
	dropmark_init(&again);
	dropmark_forget(&m, m.list[0].name);
	dropmark_read(&again, dropmark_write(&m, &also));
	assert_int_equal(again.count, DROPMARK_MAX);
	dropmark_fini(&m);
	dropmark_fini(&again);
}

/* ---------------------------------------------------------------- the directory */

static char folder[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/drop-XXXXXX");
	return mkdtemp(folder) && chmod(folder, 03733) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static const char *in(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0);
	close(fd);
}

static void open_it(struct dropdir *d)
{
	char why[300] = "";

	dropdir_init(d);
	if (dropdir_open(d, folder, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

static void only_plain_files_of_one_name_are_taken(void **state)
{
	struct dropdir_file file;
	const char *why = NULL;
	struct dropdir d;
	char other[300];

	(void)state;
	open_it(&d);
	write_file("good", "12345", 0640);
	assert_int_equal(dropdir_examine(&d, "good", 5, &file, &why), DROPDIR_FILE);
	assert_int_equal(file.bytes, 5);
	assert_int_equal(file.uid, getuid());
	assert_true(fcntl(file.fd, F_GETFD) & FD_CLOEXEC);
	close(file.fd);
	assert_int_equal(dropdir_examine(&d, "good", 4, &file, &why), DROPDIR_BAD);
	assert_non_null(strstr(why, "larger"));
	assert_int_equal(dropdir_examine(&d, "good", 0, &file, &why), DROPDIR_FILE);
	close(file.fd);
	assert_int_equal(dropdir_examine(&d, "missing", 0, &file, &why), DROPDIR_GONE);
	assert_true(dropdir_is_missing(&d, "missing") && !dropdir_is_missing(&d, "good"));

	snprintf(other, sizeof(other), "%s", in("good"));
	assert_int_equal(symlink(other, in("symlink")), 0);
	assert_int_equal(symlink("nowhere", in("dangling")), 0);
	assert_int_equal(mkfifo(in("fifo"), 0640), 0);
	assert_int_equal(mkdir(in("folder"), 0700), 0);
	write_file("group", "x", 0660);
	write_file("world", "x", 0642);
	for (const char *const *name =
		     (const char *const[]){ "symlink", "dangling", "fifo", "folder", "group", "world", NULL };
	     *name; name++)
		assert_int_equal(dropdir_examine(&d, *name, 0, &file, &why), DROPDIR_BAD);
	assert_int_equal(link(other, in("hard")), 0);
	assert_int_equal(dropdir_examine(&d, "good", 0, &file, &why), DROPDIR_BAD);
	assert_int_equal(dropdir_examine(&d, "hard", 0, &file, &why), DROPDIR_BAD);
	assert_non_null(strstr(why, "several names"));
	dropdir_close(&d);
}

static void what_is_put_aside_is_kept_with_its_reason(void **state)
{
	struct dropdir d;
	char why[100];

	(void)state;
	open_it(&d);
	dropdir_why(&d, why, sizeof(why));
	assert_string_equal(why, "");
	write_file(NAME("a"), "x", 0640);
	write_file("strange", "x", 0640);
	assert_int_equal(mkdir(in("folder"), 0700), 0);
	assert_int_equal(dropdir_count(&d), 1);
	assert_int_equal(dropdir_put_aside(&d, NAME("a"), true, "because"), 0);
	assert_int_equal(dropdir_put_aside(&d, "strange", false, "it is strange"), 0);
	assert_int_equal(dropdir_put_aside(&d, "folder", false, "it is a folder"), 0);
	assert_int_equal(dropdir_put_aside(&d, "missing", false, ""), -ENOENT);
	/* Nothing that is there is written over. */
	write_file(NAME("a"), "y", 0640);
	assert_int_equal(dropdir_put_aside(&d, NAME("a"), true, "because"), 0);
	assert_int_equal(dropdir_count(&d), 0);
	assert_int_equal(dropdir_count_aside(&d), 4);
	assert_int_equal(access(in(DROPDIR_ASIDE "/" NAME("a") ".why"), F_OK), 0);
	dropdir_why(&d, why, sizeof(why));
	assert_string_equal(why, "because");
	dropdir_close(&d);
}

static void only_a_directory_of_ours_is_used(void **state)
{
	char why[300] = "";
	struct dropdir d;
	struct stat st;

	(void)state;
	dropdir_init(&d);
	assert_int_equal(dropdir_open(&d, in("missing"), why, sizeof(why)), -ENOENT);
	assert_int_equal(chmod(folder, 0777), 0);
	assert_int_equal(dropdir_open(&d, folder, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "3733"));
	assert_int_equal(chmod(folder, 0700), 0);
	/* Whoever was there first cannot have what is refused go somewhere else. */
	assert_int_equal(symlink("/tmp", in(DROPDIR_ASIDE)), 0);
	assert_int_equal(dropdir_open(&d, folder, why, sizeof(why)), 0);
	assert_true(dropdir_is(&d, folder) && !dropdir_is(&d, "/tmp") && !dropdir_is(&d, "/nonexistent"));
	assert_int_equal(lstat(in(DROPDIR_ASIDE), &st), 0);
	assert_true(S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
	dropdir_close(&d);
	assert_int_equal(chmod(in(DROPDIR_ASIDE), 0777), 0);
	assert_int_equal(dropdir_open(&d, folder, why, sizeof(why)), 0);
	assert_int_equal(lstat(in(DROPDIR_ASIDE), &st), 0);
	assert_true((st.st_mode & 0777) == 0700);
	dropdir_close(&d);
	if (geteuid() == 0) {
		assert_int_equal(chown(folder, 12345, 12345), 0);
		assert_int_equal(seteuid(65534), 0);
		assert_int_not_equal(dropdir_open(&d, folder, why, sizeof(why)), 0);
		assert_int_equal(seteuid(0), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_are_read_as_they_were_written),
		cmocka_unit_test(marks_that_cannot_be_read_are_passed_over),
		cmocka_unit_test(marks_are_bounded),
		cmocka_unit_test_setup_teardown(only_plain_files_of_one_name_are_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_put_aside_is_kept_with_its_reason, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_a_directory_of_ours_is_used, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
