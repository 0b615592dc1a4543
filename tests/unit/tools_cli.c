/* The command line of sendoff(1), and how things look. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/look.h"
#include "tools/verb_list.h"
#include "tools/verbs.h"

#define ID1 "0000000000001"
#define ID2 "0000000000002"

/* Parses the words behind "sendoff", apart at blanks. What is said of mistakes goes nowhere. */
static int parse(struct cli *cli, char *line)
{
	static char *argv[32];
	int argc = 0, status;
	FILE *said = stderr;

	argv[argc++] = (char *)(uintptr_t) "sendoff";
	for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	stderr = fopen("/dev/null", "w");
	status = cli_parse(cli, argc, argv);
	fclose(stderr);
	stderr = said;
	return status;
}

static void options_stand_anywhere(void **state)
{
	static const char *const lines[] = {
		"--json --config f list --from a@x --limit 5 " ID1,
		"list --from=a@x --json " ID1 " --limit=5 --config=f",
		"-j -c f list " ID1 " --limit 5 --from a@x",
	};
	(void)state;

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		char line[128];
		struct cli cli;

		strcpy(line, lines[i]);
		assert_int_equal(parse(&cli, line), 0);
		assert_string_equal(cli.verb->name, "list");
		assert_true(cli.json);
		assert_string_equal(cli.config, "f");
		assert_string_equal(cli.filter.from, "a@x");
		assert_int_equal(cli.filter.limit, 5);
		assert_int_equal(cli.filter.id_count, 1);
		assert_string_equal(json_string_value(json_object_get(cli.said, "from")), "a@x");
		assert_int_equal(json_array_size(json_object_get(cli.said, "ids")), 1);
		cli_fini(&cli);
	}
}

static void mistakes_are_usage_errors(void **state)
{
	static const char *const lines[] = {
		"lst",
		"list --form a",
		"list --from",
		"list --older soon",
		"list nonsense",
		"list --yes",
		"list --all=yes",
		"status --from a",
		"status word",
		"status --timeout 5s",
		"remove --timeout 5s " ID1,
		"show",
		"show " ID1 " " ID2,
		"drain --timeout never",
		"hold --state asleep",
		"-x list",
		"--json=yes list",
		"list --uid 5",
		"list --host ::1",
		"explain --from a --to b --state held",
		"explain --from a --to b --all",
		"explain --from a --to b word",
		"explain --from a --to b --user=",
	};
	(void)state;

	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		char line[128];
		struct cli cli;

		strcpy(line, lines[i]);
		if (parse(&cli, line) != 64)
			fail_msg("%s", lines[i]);
		cli_fini(&cli);
	}
}

static void what_a_verb_takes_is_understood(void **state)
{
	char drain[] = "drain --timeout 90s --close", removal[] = "remove -n -y --to *@x --all",
	     raw[] = "sink --from x -y", pause[] = "pause work",
	     explain[] = "explain --from a@b --to c@d --user joe --uid 7 --listener office --host ::1",
	     after[] = "show -- " ID1;
	struct cli cli;
	(void)state;

	assert_int_equal(parse(&cli, drain), 0);
	assert_int_equal(cli.timeout_ms, 90000);
	assert_true(cli.close);
	cli_fini(&cli);
	assert_int_equal(parse(&cli, removal), 0);
	assert_true(cli.dry_run && cli.yes && cli.filter.all);
	cli_fini(&cli);
	assert_int_equal(parse(&cli, raw), 0);
	assert_int_equal(cli.rest_count, 3);
	cli_fini(&cli);
	assert_int_equal(parse(&cli, pause), 0);
	assert_string_equal(cli.words[0], "work");
	cli_fini(&cli);
	assert_int_equal(parse(&cli, explain), 0);
	assert_string_equal(cli.filter.to, "c@d");
	assert_string_equal(cli.explain.user, "joe");
	assert_string_equal(cli.explain.uid, "7");
	assert_string_equal(cli.explain.listener, "office");
	assert_string_equal(cli.explain.host, "::1");
	cli_fini(&cli);
	assert_int_equal(parse(&cli, after), 0);
	assert_string_equal(cli.words[0], ID1);
	cli_fini(&cli);
}

static void help_needs_no_arguments(void **state)
{
	char with[] = "show --help", alone[] = "-h";
	struct cli cli;
	(void)state;

	assert_int_equal(parse(&cli, with), 0);
	assert_true(cli.help);
	assert_string_equal(cli.verb->name, "show");
	cli_fini(&cli);
	assert_int_equal(parse(&cli, alone), 0);
	assert_true(cli.help);
	assert_null(cli.verb);
	cli_fini(&cli);
}

static void a_slip_in_a_verb_is_guessed(void **state)
{
	(void)state;
	assert_string_equal(verbs_nearest("lsit"), "list");
	assert_string_equal(verbs_nearest("stauts"), "status");
	assert_null(verbs_nearest("frobnicate"));
}

static void ages_have_one_unit(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0s" },       { 119000, "119s" },   { 120000, "2m" },    { 7199000, "119m" },
		{ 7200000, "2h" }, { 172799000, "47h" }, { 172800000, "2d" },
	};
	char out[LOOK_SIZE];
	(void)state;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_string_equal(look_age(1000, 1000 + rows[i].ms, out), rows[i].text);
	assert_string_equal(look_age(0, 5000, out), "-");
	assert_string_equal(look_age(9000, 5000, out), "0s"); /* the clock was set back */
	assert_string_equal(look_until(4000, 5000, out), "now");
	assert_string_equal(look_until(65000, 5000, out), "in 60s");
	assert_string_equal(look_until(5400, 5000, out), "now");
	assert_string_equal(look_until(5600, 5000, out), "in 1s");
	assert_string_equal(look_until(4 * 3600000 - 2000, 0, out), "in 4h");
	assert_string_equal(look_until(5 * 86400000LL - 2000, 0, out), "in 5d");
	assert_string_equal(look_until(599000, 0, out), "in 10m");
	assert_string_equal(look_age(1, INT64_MAX, out), "106751991167d");
}

static void text_is_cleaned_and_cut_at_characters(void **state)
{
	char out[64];
	(void)state;

	assert_string_equal(look_text("a\33[31mb\tc\nd", 0, out, sizeof out), "a?[31mb c d");
	assert_string_equal(look_text("häuser", 4, out, sizeof out), "häu…");
	assert_string_equal(look_text("häuser", 6, out, sizeof out), "häuser");
	assert_string_equal(look_text("\xff\xfe", 0, out, sizeof out), "??");
	assert_string_equal(look_text("", 3, out, sizeof out), "");
	memset(out, 0, sizeof out);
	look_text("0123456789012345678901234567890123456789012345678901234567890123456789", 0, out, sizeof out);
	assert_int_equal(strlen(out), sizeof out - 4);
}

static void counts_agree_with_their_nouns(void **state)
{
	char out[LOOK_SIZE];
	(void)state;

	assert_string_equal(look_count(1, "message", out), "1 message");
	assert_string_equal(look_count(0, "message", out), "0 messages");
	assert_string_equal(look_count(UINT64_MAX, "recipient", out), "18446744073709551615 recipients");
}

static void every_gate_has_words(void **state)
{
	(void)state;
	for (int gate = TRAFFIC_GATE_NONE; gate <= TRAFFIC_GATE_REPORT; gate++) {
		const char *name = traffic_gate_name((enum traffic_gate)gate);

		if (strcmp(look_gate(name), name) == 0)
			fail_msg("%s", name);
	}
}

static size_t characters(const char *text)
{
	size_t count = 0;

	for (; *text && *text != '\n'; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static void a_row_of_the_list_fits_the_terminal(void **state)
{
	static const int widths[] = { 80, 100, 132, 300, 0 };
	json_t *row = json_pack("{s:s,s:s,s:s,s:[s],s:i,s:i,s:s,s:s,s:I}", "id", ID1, "state", "waiting", "sender",
				"a.rather.long.name.of.a.sender@department.example.org", "to",
				"another.long.name@somewhere.example.net", "chosen", 12, "size_bytes", 123456, "gate",
				"account", "lane", "the-smart-host-of-the-office", "until_ms", (json_int_t)3600000);
	(void)state;

	for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
		struct cli cli = { .columns = widths[i] };
		size_t size;
		char *text;
		FILE *out = open_memstream(&text, &size);

		verb_list_row(&cli, out, row, 1000);
		fclose(out);
		if (widths[i] && characters(text) > (size_t)widths[i])
			fail_msg("%d: %s", widths[i], text);
		if (widths[i] == 0 || widths[i] == 300)
			assert_non_null(strstr(text, "account of the-smart-host-of-the-office, in 60m"));
		if (widths[i] == 0)
			assert_non_null(strstr(text, "a.rather.long.name.of.a.sender@department.example.org "));
		free(text);
	}
	json_decref(row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(mistakes_are_usage_errors),
		cmocka_unit_test(what_a_verb_takes_is_understood),
		cmocka_unit_test(help_needs_no_arguments),
		cmocka_unit_test(a_slip_in_a_verb_is_guessed),
		cmocka_unit_test(ages_have_one_unit),
		cmocka_unit_test(text_is_cleaned_and_cut_at_characters),
		cmocka_unit_test(counts_agree_with_their_nouns),
		cmocka_unit_test(every_gate_has_words),
		cmocka_unit_test(a_row_of_the_list_fits_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
