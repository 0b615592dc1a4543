/* Walks the table of agent/smtp/REPLIES.md: what it says is what the scripts show, and nothing is missing in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "smtp/client.h"
#include "tests/unit/support/script.h"
#include "tests/unit/support/table.h"

#define TABLE "agent/smtp/REPLIES.md"

/* What a script comes to. */
struct facts {
	char recipients[128]; /* outcomes besides delivered, in the order of their names; "-" */
	char session[64];
};

static const char *const outcomes[] = { "doubtful", "permanent", "temporary", "untried" };

static bool says(const struct script_line *line, const char *start, const char *part)
{
	return line->kind == SCRIPT_ACTION && strncmp(line->text, start, strlen(start)) == 0 &&
	       strstr(line->text, part);
}

static bool any(const struct script *script, const char *start, const char *part)
{
	for (size_t i = 0; i < script->count; i++)
		if (says(&script->lines[i], start, part))
			return true;
	return false;
}

static bool wants_to_quit(const struct script *script)
{
	for (size_t i = 0; i < script->count; i++)
		if (script->lines[i].kind == SCRIPT_EVENT && strcmp(script->lines[i].text, "quit") == 0)
			return true;
	return false;
}

static struct facts facts_of(const struct script *script)
{
	static const char *const objects[] = { "lane", "parked", "throttled" };
	struct facts f = { .session = "goes on" };
	bool closes = any(script, "close", "") && !wants_to_quit(script);

	for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
		char part[32];

		snprintf(part, sizeof part, " %s at ", outcomes[i]);
		if (any(script, "rcpt ", part))
			snprintf(f.recipients + strlen(f.recipients), sizeof f.recipients - strlen(f.recipients),
				 "%s%s", f.recipients[0] ? ", " : "", outcomes[i]);
	}
	if (!f.recipients[0])
		strcpy(f.recipients, "-");
	if (closes)
		strcpy(f.session, "closes");
	for (size_t i = 0; i < 3; i++) {
		char start[32];

		snprintf(start, sizeof start, "failed %s", objects[i]);
		if (any(script, start, ""))
			strcpy(f.session, objects[i]);
	}
	if (closes && any(script, "close without pipelining", ""))
		strcat(f.session, " without pipelining");
	return f;
}

static void compare(const struct table *t, const char *name)
{
	char path[256];
	struct script *script;
	struct facts f;
	FILE *file;

	snprintf(path, sizeof path, "tests/scripts/client/%s.smtp", name);
	file = fopen(path, "r");
	if (!file)
		fail_msg(TABLE ":%d: there is no script %s", t->number, path);
	fclose(file);
	script = script_read(path);
	f = facts_of(script);
	script_free(script);
	if (strcmp(f.recipients, t->cells[1]) != 0 || strcmp(f.session, t->cells[2]) != 0)
		fail_msg(TABLE ":%d: %s shows '%s', '%s' and not '%s', '%s'", t->number, path, f.recipients, f.session,
			 t->cells[1], t->cells[2]);
}

static void each_row_is_what_its_scripts_show(void **state)
{
	struct table t;
	int rows = 0;

	(void)state;
	assert_true(table_open(&t, TABLE, "## Conclusions"));
	while (table_next(&t)) {
		char *save, *name;

		assert_int_equal(t.count, 4);
		if (!t.cells[1][0])
			continue; /* the name of a phase */
		rows++;
		name = strtok_r(t.cells[3], ", ", &save);
		if (!name)
			fail_msg(TABLE ":%d: no script shows it", t.number);
		for (; name; name = strtok_r(NULL, ", ", &save))
			compare(&t, name);
	}
	assert_true(rows > 60);
}

static bool has_row(const char *script)
{
	struct table t;
	bool found = false;

	assert_true(table_open(&t, TABLE, "## Conclusions"));
	while (table_next(&t)) {
		char *save, *name;

		for (name = strtok_r(t.cells[3], ", ", &save); name; name = strtok_r(NULL, ", ", &save))
			found |= strcmp(name, script) == 0;
	}
	return found;
}

static void whatever_goes_wrong_in_a_script_stands_in_a_row(void **state)
{
	size_t count;
	char **paths = script_find("tests/scripts/client", &count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct script *script = script_read(paths[i]);
		struct facts f = facts_of(script);
		char name[256];

		snprintf(name, sizeof name, "%s", strrchr(paths[i], '/') + 1);
		*strrchr(name, '.') = '\0';
		if ((strcmp(f.recipients, "-") != 0 || strcmp(f.session, "goes on") != 0) && !has_row(name))
			fail_msg("%s shows '%s', '%s', and no row of " TABLE " names it", paths[i], f.recipients,
				 f.session);
		script_free(script);
	}
	script_free_paths(paths, count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_is_what_its_scripts_show),
		cmocka_unit_test(whatever_goes_wrong_in_a_script_stands_in_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
