#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "names.h"

struct fixture {
	char folder[64], main_file[128], list_file[128];
	struct config config;
	struct names *names;
	struct buf errors;
	int64_t now_ms;
};

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	strcpy(f->folder, "/tmp/sendoff-names-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->main_file, sizeof(f->main_file), "%s/aliases", f->folder);
	snprintf(f->list_file, sizeof(f->list_file), "%s/list", f->folder);
	f->config.aliases = f->main_file;
	f->config.hostname = "laptop.example.org";
	f->names = names_new();
	buf_init(&f->errors, 1 << 16);
	f->now_ms = 1000000;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	names_free(f->names);
	buf_fini(&f->errors);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
	assert_int_equal(system(command), 0);
	mem_free(f);
	return 0;
}

static void put(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static bool refresh(struct fixture *f)
{
	f->now_ms += 1000;
	return names_refresh(f->names, &f->config, f->now_ms, &f->errors);
}

/* What a name becomes, blank-separated; "-" for nothing. */
static const char *of(struct fixture *f, const char *name)
{
	static char text[512];
	struct aliases_result result;

	text[0] = '\0';
	if (!names_aliases(f->names))
		return "no table";
	switch (aliases_expand(names_aliases(f->names), span_str(name), &result)) {
	case ALIASES_NONE: return "-";
	case ALIASES_MANY: return "many";
	case ALIASES_LOST: return "lost";
	case ALIASES_DONE: break;
	}
	for (size_t i = 0; i < result.count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
			 result.targets[i].address);
	return text;
}

static void the_file_and_what_it_includes_are_read(void **state)
{
	struct fixture *f = *state;
	char text[256];

	snprintf(text, sizeof(text), "root: me@example.com\nall: root, :include:%s\n", f->list_file);
	put(f->main_file, text);
	put(f->list_file, "a@example.com\n# nobody\nb@example.com\n");
	assert_false(refresh(f));
	assert_string_equal(of(f, "root"), "me@example.com");
	assert_string_equal(of(f, "all"), "me@example.com a@example.com b@example.com");
	assert_string_equal(of(f, "joe"), "-");
	assert_string_equal(names_error(f->names), "");
}

static void a_change_is_seen_within_a_second(void **state)
{
	struct fixture *f = *state;
	char text[256];

	snprintf(text, sizeof(text), "all: :include:%s\nroot: x@example.com\n", f->list_file);
	put(f->main_file, text);
	put(f->list_file, "a@example.com\n");
	assert_false(refresh(f));
	/* As long as the one before, and within the same tick of the file system. */
	put(f->list_file, "b@example.com\n");
	assert_false(names_refresh(f->names, &f->config, f->now_ms + 999, &f->errors));
	assert_string_equal(of(f, "all"), "a@example.com");
	assert_false(refresh(f));
	assert_string_equal(of(f, "all"), "b@example.com");
	put(f->main_file, "all: c@example.com\n");
	assert_false(refresh(f));
	assert_string_equal(of(f, "all"), "c@example.com");
	assert_string_equal(of(f, "root"), "-");
}

static void files_that_stay_the_same_are_not_read_again(void **state)
{
	struct fixture *f = *state;
	struct timespec pause = { 0, 100 * 1000 * 1000 };
	struct aliases *before;

	put(f->main_file, "root: me@example.com\n");
	assert_false(refresh(f));
	/* Until it is old enough to be told from a change. */
	for (int i = 0; i < 60; i++) {
		before = names_aliases(f->names);
		assert_false(refresh(f));
		if (names_aliases(f->names) == before)
			break;
		nanosleep(&pause, NULL);
	}
	before = names_aliases(f->names);
	assert_false(refresh(f));
	assert_ptr_equal(names_aliases(f->names), before);
}

static void a_table_is_kept_while_the_file_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	char said[256];

	put(f->main_file, "root: me@example.com\n");
	assert_false(refresh(f));
	assert_int_equal(unlink(f->main_file), 0);
	assert_true(refresh(f));
	snprintf(said, sizeof(said),
		 "%s: cannot read the aliases: No such file or directory - those of before stay in use\n",
		 f->main_file);
	assert_string_equal(buf_cstr(&f->errors), said);
	assert_string_equal(of(f, "root"), "me@example.com");
	said[strlen(said) - 1] = '\0';
	assert_string_equal(names_error(f->names), said);
	assert_false(refresh(f)); /* told once */
	assert_string_equal(names_error(f->names), said);
	put(f->main_file, "root: you@example.com\n");
	assert_false(refresh(f));
	assert_string_equal(of(f, "root"), "you@example.com");
	assert_string_equal(names_error(f->names), "");
	assert_int_equal(unlink(f->main_file), 0);
	assert_true(refresh(f)); /* and again when it happens again */
}

static void a_table_is_kept_while_an_included_file_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	char text[256];

	snprintf(text, sizeof(text), "all: :include:%s\n", f->list_file);
	put(f->main_file, text);
	put(f->list_file, "a@example.com\n");
	assert_false(refresh(f));
	assert_int_equal(unlink(f->list_file), 0);
	assert_true(refresh(f));
	assert_string_equal(of(f, "all"), "a@example.com");
	put(f->list_file, "b@example.com\n");
	assert_false(refresh(f));
	assert_string_equal(of(f, "all"), "b@example.com");
}

static void a_list_leads_to_no_other_file_by_links(void **state)
{
	struct fixture *f = *state;
	char text[512], secret[128], folder[128];

	snprintf(secret, sizeof(secret), "%s/secret", f->folder);
	snprintf(folder, sizeof(folder), "%s/folder", f->folder);
	put(secret, "hunter2\n");
	assert_int_equal(symlink(secret, f->list_file), 0);
	assert_int_equal(symlink(f->folder, folder), 0);
	snprintf(text, sizeof(text), "all: :include:%s\nboth: :include:%s/secret\nplain: :include:%s\n", f->list_file,
		 folder, secret);
	put(f->main_file, text);
	assert_true(refresh(f));
	assert_non_null(strstr(names_error(f->names), "links are not followed"));
	assert_string_equal(of(f, "all"), "lost");
	assert_string_equal(of(f, "both"), "lost");
	assert_string_equal(of(f, "plain"), "hunter2");
}

static void without_a_table_before_the_good_lines_count(void **state)
{
	struct fixture *f = *state;
	char text[256];

	snprintf(text, sizeof(text), "all: :include:%s\nbad: |/bin/sh\nroot: me@example.com\n", f->list_file);
	put(f->main_file, text);
	assert_true(refresh(f));
	assert_non_null(strstr(buf_cstr(&f->errors), "aliases:1: "));
	assert_non_null(strstr(buf_cstr(&f->errors), "aliases:2: "));
	assert_string_equal(of(f, "root"), "me@example.com");
	assert_string_equal(of(f, "all"), "lost");
}

static void a_mistake_takes_its_own_line_only(void **state)
{
	struct fixture *f = *state;

	put(f->main_file, "root: me@example.com\njoe: j@example.com\n");
	assert_false(refresh(f));
	put(f->main_file, "root: me@@example.com\njoe: other@example.com\n");
	assert_true(refresh(f));
	assert_string_equal(of(f, "joe"), "other@example.com");
	/* It is read again as long as it may change within one tick, and told once. */
	assert_false(refresh(f));
	assert_string_not_equal(names_error(f->names), "");
}

static void only_regular_files_that_not_everybody_may_change_are_read(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkfifo(f->main_file, 0644), 0);
	assert_true(refresh(f));
	assert_non_null(strstr(buf_cstr(&f->errors), "not a regular file"));
	assert_string_equal(of(f, "root"), "no table");
	assert_int_equal(unlink(f->main_file), 0);
	put(f->main_file, "root: me@example.com\n");
	assert_int_equal(chmod(f->main_file, 0666), 0);
	assert_true(refresh(f));
	assert_non_null(strstr(buf_cstr(&f->errors), "chmod o-w it"));
	assert_string_equal(of(f, "root"), "no table");
}

static void a_file_beyond_the_cap_is_not_read(void **state)
{
	struct fixture *f = *state;
	FILE *out = fopen(f->main_file, "w");

	assert_non_null(out);
	fputs("root: me@example.com\n", out);
	assert_int_equal(fseek(out, ALIASES_MAX_BYTES, SEEK_SET), 0);
	fputs("\n", out);
	fclose(out);
	assert_true(refresh(f));
	assert_non_null(strstr(buf_cstr(&f->errors), "larger than 4 MB"));
	assert_string_equal(of(f, "root"), "no table");
}

static void a_configuration_without_aliases_has_no_table(void **state)
{
	struct fixture *f = *state;

	put(f->main_file, "root: me@example.com\n");
	assert_false(refresh(f));
	f->config.aliases = NULL;
	assert_false(refresh(f));
	assert_string_equal(of(f, "root"), "no table");
	f->config.aliases = f->main_file;
	assert_false(refresh(f));
	assert_string_equal(of(f, "root"), "me@example.com");
}

static void another_name_of_the_machine_is_another_table(void **state)
{
	struct fixture *f = *state;

	put(f->main_file, "root: joe@other.example.org\njoe: me@example.com\n");
	assert_false(refresh(f));
	assert_string_equal(of(f, "root"), "joe@other.example.org");
	f->config.hostname = "other.example.org";
	assert_false(names_refresh(f->names, &f->config, f->now_ms, &f->errors));
	assert_string_equal(of(f, "root"), "me@example.com");
}

static void a_table_that_somebody_holds_outlives_the_file(void **state)
{
	struct fixture *f = *state;
	struct aliases_result result;
	struct aliases *held;

	put(f->main_file, "root: me@example.com\n");
	assert_false(refresh(f));
	held = aliases_ref(names_aliases(f->names));
	put(f->main_file, "root: you@example.com\n");
	assert_false(refresh(f));
	assert_int_equal(aliases_expand(held, SPAN("root"), &result), ALIASES_DONE);
	assert_string_equal(result.targets[0].address, "me@example.com");
	aliases_unref(held);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_file_and_what_it_includes_are_read),
		TEST(a_change_is_seen_within_a_second),
		TEST(files_that_stay_the_same_are_not_read_again),
		TEST(a_table_is_kept_while_the_file_cannot_be_read),
		TEST(a_table_is_kept_while_an_included_file_cannot_be_read),
		TEST(a_list_leads_to_no_other_file_by_links),
		TEST(without_a_table_before_the_good_lines_count),
		TEST(a_mistake_takes_its_own_line_only),
		TEST(only_regular_files_that_not_everybody_may_change_are_read),
		TEST(a_file_beyond_the_cap_is_not_read),
		TEST(a_configuration_without_aliases_has_no_table),
		TEST(another_name_of_the_machine_is_another_table),
		TEST(a_table_that_somebody_holds_outlives_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
