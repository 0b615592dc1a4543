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
#include "net/filewatch.h"

struct fixture {
	char folder[64], path[96];
	struct loop *loop;
	struct filewatch *watch;
	int changes;
};

static struct fixture f;

static void changed(void *arg)
{
	(void)arg;
	f.changes++;
}

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof path, "%s/%s", f.folder, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void move(const char *from, const char *to)
{
	char a[128], b[128];

	snprintf(a, sizeof a, "%s/%s", f.folder, from);
	snprintf(b, sizeof b, "%s/%s", f.folder, to);
	assert_int_equal(rename(a, b), 0);
}

static void lead(const char *name, const char *to)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", f.folder, name);
	assert_int_equal(symlink(to, path), 0);
}

static int set_up(void **state)
{
	(void)state;
	f = (struct fixture){ .folder = "/tmp/sendoff-filewatch-XXXXXX" };
	assert_non_null(mkdtemp(f.folder));
	snprintf(f.path, sizeof f.path, "%s/near", f.folder);
	assert_int_equal(mkdir(f.path, 0755), 0);
	snprintf(f.path, sizeof f.path, "%s/far", f.folder);
	assert_int_equal(mkdir(f.path, 0755), 0);
	snprintf(f.path, sizeof f.path, "%s/near/resolv.conf", f.folder);
	f.loop = loop_new();
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	filewatch_free(f.watch);
	loop_free(f.loop);
	snprintf(command, sizeof command, "rm -rf %s", f.folder);
	assert_int_equal(system(command), 0);
	return 0;
}

static void start(void)
{
	f.watch = filewatch_new(f.loop, f.path, changed, NULL);
}

/* All that was told until nothing happens any more. */
static int told(void)
{
	int before;

	do {
		before = f.changes;
		loop_turn(f.loop, 20);
	} while (f.changes != before);
	before = f.changes;
	f.changes = 0;
	return before;
}

static void a_file_that_is_replaced_is_another_one(void **state)
{
	(void)state;
	put("near/resolv.conf", "nameserver 192.0.2.1\n");
	start();
	assert_int_equal(told(), 0);
	put("near/resolv.conf.new", "nameserver 192.0.2.2\n");
	assert_int_equal(told(), 0);
	move("near/resolv.conf.new", "near/resolv.conf");
	assert_int_equal(told(), 1);
}

static void a_file_that_is_written_in_place_is_another_one(void **state)
{
	(void)state;
	put("near/resolv.conf", "nameserver 192.0.2.1\n");
	start();
	put("near/resolv.conf", "nameserver 192.0.2.22\n");
	assert_true(told() >= 1);
	put("near/other", "x");
	assert_int_equal(told(), 0);
}

static void what_a_link_leads_to_is_watched_where_it_is(void **state)
{
	(void)state;
	put("far/stub.conf", "nameserver 192.0.2.1\n");
	lead("near/resolv.conf", "../far/stub.conf");
	start();
	put("far/stub.new", "nameserver 192.0.2.2\n");
	move("far/stub.new", "far/stub.conf");
	assert_int_equal(told(), 1);
}

static void a_link_that_leads_elsewhere_is_followed(void **state)
{
	(void)state;
	put("near/resolv.conf", "nameserver 192.0.2.1\n");
	start();
	put("far/stub.conf", "nameserver 192.0.2.2\n");
	lead("near/link", "../far/stub.conf");
	move("near/link", "near/resolv.conf");
	assert_int_equal(told(), 1);
	put("far/stub.conf", "nameserver 192.0.2.33\n");
	assert_true(told() >= 1);
}

static void a_file_that_appears_is_another_one(void **state)
{
	(void)state;
	start();
	assert_int_equal(told(), 0);
	put("near/resolv.conf", "nameserver 192.0.2.1\n");
	assert_true(told() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		IN_FOLDER(a_file_that_is_replaced_is_another_one),
		IN_FOLDER(a_file_that_is_written_in_place_is_another_one),
		IN_FOLDER(what_a_link_leads_to_is_watched_where_it_is),
		IN_FOLDER(a_link_that_leads_elsewhere_is_followed),
		IN_FOLDER(a_file_that_appears_is_another_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
