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

static void exim_and_sendmail_spell_some_of_it_otherwise(void **state)
{
	struct sendmail_options o;

	(void)state;
	good("sendmail -oitrue a@b", &o);
	assert_true(o.dot_is_text);
	good("sendmail -O IgnoreDots=True a@b", &o);
	assert_true(o.dot_is_text);
	good("sendmail -OIgnoreDots=False a@b", &o);
	assert_false(o.dot_is_text);
	good("sendmail -ov a@b", &o);
	assert_true(o.verbose);
	good("sendmail -oeq -odi -oQ/x -om -o7 -oAfile -oiX a@b", &o);
	assert_false(o.dot_is_text || o.verbose);
	good("sendmail -oMrUUCP a@b", &o);
	assert_int_equal(o.recipient_count, 1);
	good("sendmail -bV", &o);
	assert_int_equal(o.mode, SENDMAIL_OPTIONS_VERSION);
}

static void parts_of_the_queue_can_be_flushed(void **state)
{
	static const struct {
		const char *line;
		enum sendmail_options_flush by;
		const char *what;
	} rows[] = {
		{ "sendmail -q", SENDMAIL_OPTIONS_ALL, NULL },
		{ "sendmail -qf", SENDMAIL_OPTIONS_ALL, NULL },
		{ "sendmail -qff", SENDMAIL_OPTIONS_ALL, NULL },
		{ "sendmail -qI0dy5mq3c2a0g1", SENDMAIL_OPTIONS_ID, "0dy5mq3c2a0g1" },
		{ "sendmail -qRexample.net", SENDMAIL_OPTIONS_TO, "example.net" },
		{ "sendmail -qSme@", SENDMAIL_OPTIONS_FROM, "me@" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sendmail_options o;

		good(rows[i].line, &o);
		assert_int_equal(o.mode, SENDMAIL_OPTIONS_FLUSH);
		assert_int_equal(o.flush_by, rows[i].by);
		if (rows[i].what)
			assert_string_equal(o.flush_what, rows[i].what);
	}
}

static void what_cannot_be_done_is_refused(void **state)
{
	static const struct {
		const char *line, *words;
	} rows[] = {
		{ "sendmail", "no recipients" },
		{ "sendmail -i", "no recipients" },
		{ "sendmail -bd", "sendoffd" },
		{ "sendmail -bd -q30m", "sendoffd" },
		{ "sendmail -bD", "sendoffd" },
		{ "sendmail -bl", "sendoffd" },
		{ "sendmail -bv a@b", "sendoff explain" },
		{ "sendmail -bt", "sendoff explain" },
		{ "sendmail -bh", "sendoff status" },
		{ "sendmail -bH", "sendoff flush" },
		{ "sendmail -ba", "-bs" },
		{ "sendmail -bS", "-bs" },
		{ "sendmail -bP", "sendoff status" },
		{ "sendmail -bpc", "sendoff status" },
		{ "sendmail -bz", "no such mode" },
		{ "sendmail -q30m", "by itself" },
		{ "sendmail -qI", "not supported" },
		{ "sendmail -q!Ix", "not supported" },
		{ "sendmail -qp", "not supported" },
		{ "sendmail -M 0dy", "sendoff flush" },
		{ "sendmail -Mrm 0dy", "sendoff remove" },
		{ "sendmail -Mf 0dy", "sendoff hold" },
		{ "sendmail -Mt 0dy", "sendoff release" },
		{ "sendmail -Mg 0dy", "sendoff remove" },
		{ "sendmail -Mvb 0dy", "sendoff cat" },
		{ "sendmail -Mvl 0dy", "sendoff show" },
		{ "sendmail -MxValue a@b", "sendoff help" },
		{ "sendmail -Q a@b", "sendoff hold" },
		{ "sendmail -S a@b", "-qS" },
		{ "sendmail -T a@b", "tests" },
		{ "sendmail -s hello a@b", "no subject" },
		{ "sendmail -oMr smtp a@b", "not supported" },
		{ "sendmail -oX 25 a@b", "not supported" },
		{ "sendmail -Z a@b", "no such option" },
		{ "sendmail -a work a@b", "no such option" },
		{ "sendmail -iZ a@b", "no such option" },
		{ "sendmail --unknown a@b", "no such option" },
		{ "sendmail -f", "a value must follow" },
		{ "sendmail -b", "a value must follow" },
		{ "sendmail -B 9BIT a@b", "7BIT or 8BITMIME" },
		{ "sendmail -B BINARYMIME a@b", "7BIT or 8BITMIME" },
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

/* Whatever programs pass on of a stranger's, nothing is read beyond the arguments and nothing else can come out. */
static void no_option_of_a_single_letter_or_two_is_forgotten(void **state)
{
	(void)state;
	for (int a = 1; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char error[SENDMAIL_OPTIONS_ERROR_SIZE] = "", word[4] = { '-', (char)a, (char)b, '\0' };
			char *argv[] = { "sendmail", word, "x", "a@b", NULL };
			struct sendmail_options o = { .mode = SENDMAIL_OPTIONS_HELP };

			if (sendmail_options_parse(4, argv, &o, error))
				assert_true(o.recipient_count <= 3 && error[0] == '\0');
			else
				assert_true(error[0] && !strchr(error, '\n'));
		}
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
		cmocka_unit_test(exim_and_sendmail_spell_some_of_it_otherwise),
		cmocka_unit_test(parts_of_the_queue_can_be_flushed),
		cmocka_unit_test(what_cannot_be_done_is_refused),
		cmocka_unit_test(no_option_of_a_single_letter_or_two_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
