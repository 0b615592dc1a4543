#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/dirwatch.h"

static char folder[64], other[64];

static void count(void *arg)
{
	++*(int *)arg;
}

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/dirwatch-XXXXXX");
	snprintf(other, sizeof(other), "/tmp/dirwatch-XXXXXX");
	return mkdtemp(folder) && mkdtemp(other) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(folder) || rmdir(other);
}

static void make(const char *where, const char *name)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", where, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void what_appears_is_told(void **state)
{
	struct loop *loop = loop_new();
	struct dirwatch *watch = NULL;
	char from[200], to[200];
	int seen = 0;

	(void)state;
	assert_int_equal(dirwatch_new(loop, folder, count, &seen, &watch), 0);
	loop_turn(loop, 0);
	assert_int_equal(seen, 0);
	make(folder, "a");
	make(folder, "b");
	loop_turn(loop, 1000);
	assert_int_equal(seen, 1); /* once for both */
	make(other, "c");
	loop_turn(loop, 0);
	assert_int_equal(seen, 1);
	snprintf(from, sizeof(from), "%s/c", other);
	snprintf(to, sizeof(to), "%s/c", folder);
	assert_int_equal(rename(from, to), 0);
	loop_turn(loop, 1000);
	assert_int_equal(seen, 2);
	for (const char *name = "abc"; *name; name++) {
		snprintf(to, sizeof(to), "%s/%c", folder, *name);
		assert_int_equal(unlink(to), 0);
	}
	loop_turn(loop, 0);
	assert_int_equal(seen, 2); /* what goes is nobody's news */
	dirwatch_free(watch);
	dirwatch_free(NULL);
	loop_free(loop);
}

static void what_is_no_directory_cannot_be_watched(void **state)
{
	struct loop *loop = loop_new();
	struct dirwatch *watch = NULL;

	(void)state;
	assert_int_equal(dirwatch_new(loop, "/nonexistent/x", count, NULL, &watch), -ENOENT);
	assert_int_equal(dirwatch_new(loop, "/etc/passwd", count, NULL, &watch), -ENOTDIR);
	assert_null(watch);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_appears_is_told, set_up, tear_down),
		cmocka_unit_test(what_is_no_directory_cannot_be_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
