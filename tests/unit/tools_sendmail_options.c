#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tools/sendmail_options.h"

enum { WORDS = 16 };

/* Words of a command line, cut at blanks; '_' stands for an empty argument. */
static bool parse(const char *line, struct sendmail_options *o, char *error)
{
	static char text[512];
	static char *argv[WORDS + 1];
	int argc = 0;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word && argc < WORDS; word = strtok(NULL, " "))
		argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
	argv[argc] = NULL;
	memset(o, 0, sizeof(*o));
	error[0] = '\0';
	return sendmail_options_parse(argc, argv, o, error);
}

static void good(const char *line, struct sendmail_options *o)
{
	char error[SENDMAIL_OPTIONS_ERROR_SIZE];

	if (!parse(line, o, error))
		fail_msg("%s: %s", line, error);
}

static void the_callers_that_matter_are_understood(void **state)
{
	struct sendmail_options o;

	(void)state;
	good("/usr/sbin/sendmail -i -FCronDaemon -B8BITMIME -oem root", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_DELIVER);
	assert_true(o.dot_is_text);
	assert_string_equal(o.full_name, "CronDaemon");
	assert_int_equal(o.body, SENDMAIL_OPTIONS_8BITMIME);
	assert_int_equal(o.recipient_count, 1);
	assert_string_equal(o.recipients[0], "root");
	assert_false(o.header_recipients);
	assert_null(o.sender);

	good("sendmail -t -i", &o); /* PHP */
	assert_true(o.header_recipients && o.dot_is_text);
	assert_int_equal(o.recipient_count, 0);
	good("sendmail -ti -f a@b", &o);
	assert_true(o.header_recipients && o.dot_is_text);
	assert_string_equal(o.sender, "a@b");
	good("sendmail -oem -oi -f a@b -- c@d -x", &o); /* mutt */
	assert_true(o.dot_is_text);
	assert_int_equal(o.recipient_count, 2);
	assert_string_equal(o.recipients[1], "-x");
	good("sendmail -bs", &o); /* Symfony */
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_SMTP);
	good("sendmail -i -- a@b c@d", &o); /* git */
	assert_int_equal(o.recipient_count, 2);
	good("sendmail -i -oi -odb -om -r a@b x", &o); /* s-nail */
	assert_string_equal(o.sender, "a@b");
}

static void the_name_of_the_program_counts(void **state)
{
	struct sendmail_options o;

	(void)state;
	good("/usr/bin/mailq", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_LIST);
	good("newaliases", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_ALIASES);
	good("sendmail -bp", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_LIST);
	good("sendmail -bi", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_ALIASES);
	good("sendmail -I", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_ALIASES);
	good("sendmail -q", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_FLUSH);
	good("sendmail --version", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_VERSION);
	good("sendmail --help", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_HELP);
}

static void reports_are_asked_for(void **state)
{
	struct sendmail_options o;

	(void)state;
	good("sendmail -N success,Delay -R hdrs -V x+1 -v a@b", &o);
	assert_string_equal(o.notify, "success,Delay");
	assert_string_equal(o.ret, "HDRS");
	assert_string_equal(o.envid, "x+1");
	assert_true(o.verbose);
	good("sendmail -NNEVER -RFULL a@b", &o);
	assert_string_equal(o.notify, "NEVER");
	assert_string_equal(o.ret, "FULL");
}

static void nothing_behind_the_first_address_is_an_option(void **state)
{
	struct sendmail_options o;

	(void)state;
	good("sendmail a@b -t -f evil@x -bs", &o);
	assert_false(o.header_recipients);
	assert_null(o.sender);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_DELIVER);
	assert_int_equal(o.recipient_count, 5);
	good("sendmail - -t", &o); /* a dash alone is no option */
	assert_int_equal(o.recipient_count, 2);
}

static void options_that_would_name_files_do_nothing(void **state)
{
	struct sendmail_options o, plain;

	(void)state;
	good("sendmail a@b", &plain);
	good("sendmail -C/etc/x -X /tmp/log -OQueueDirectory=/tmp -oQ/tmp -d99 -DX=y a@b", &o);
	assert_int_equal(o.recipient_count, 1);
	o.recipients = plain.recipients;
	assert_memory_equal(&o, &plain, sizeof(o));
}

static void what_cannot_be_done_is_refused(void **state)
{
	static const struct {
		const char *line, *words;
	} rows[] = {
		{ "sendmail", "no recipients" },
		{ "sendmail -i", "no recipients" },
		{ "sendmail -bd", "sendoffd" },
		{ "sendmail -bv a@b", "not verified" },
		{ "sendmail -bt", "no such mode" },
		{ "sendmail -q30m", "by itself" },
		{ "sendmail -Mrm", "not supported" },
		{ "sendmail -Z a@b", "no such option" },
		{ "sendmail -iZ a@b", "no such option" },
		{ "sendmail --unknown a@b", "no such option" },
		{ "sendmail -f", "a value must follow" },
		{ "sendmail -b", "a value must follow" },
		{ "sendmail -B 9BIT a@b", "7BIT or 8BITMIME" },
		{ "sendmail -N never,success a@b", "must be never" },
		{ "sendmail -N success, a@b", "comma" },
		{ "sendmail -N ,success a@b", "must be never" },
		{ "sendmail -N _ a@b", "must be never" },
		{ "sendmail -R all a@b", "full or hdrs" },
		{ "sendmail -V _ a@b", "1 to 100" },
		{ "sendmail -V \xc3\xbc a@b", "ASCII" },
		{ "sendmail -V a\r\nb a@b", "ASCII" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char error[SENDMAIL_OPTIONS_ERROR_SIZE];
		struct sendmail_options o;

		if (parse(rows[i].line, &o, error))
			fail_msg("%s: was taken", rows[i].line);
		if (!strstr(error, rows[i].words))
			fail_msg("%s: %s", rows[i].line, error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_callers_that_matter_are_understood),
		cmocka_unit_test(the_name_of_the_program_counts),
		cmocka_unit_test(reports_are_asked_for),
		cmocka_unit_test(nothing_behind_the_first_address_is_an_option),
		cmocka_unit_test(options_that_would_name_files_do_nothing),
		cmocka_unit_test(what_cannot_be_done_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
