/* What sendmail keeps in a directory is what the agent reads there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "smtp/dropfile.h"
#include "tools/sendmail_drop.h"

static char folder[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/sendmail-drop-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

/* The one file in the directory; "" for none. */
static const char *only_file(void)
{
	static char path[400];
	DIR *dir = opendir(folder);

	path[0] = '\0';
	for (const struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.' || strlen(e->d_name) > 2)
			snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
	closedir(dir);
	return path;
}

static int tear_down(void **state)
{
	(void)state;
	if (*only_file())
		unlink(only_file());
	return rmdir(folder);
}

static const char *recipients[] = { "a@b", "-c@d", "\xc3\xbc@e" };

static struct sendmail_envelope envelope(uint64_t bytes)
{
	return (struct sendmail_envelope){ .sender = "me",
					   .recipients = (char *const *)(uintptr_t)recipients,
					   .recipient_count = 3,
					   .size_bytes = bytes,
					   .is_8bit = true,
					   .notify = "never",
					   .ret = "HDRS",
					   .envid = "x=y" };
}

static size_t read_all(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, out, size);

	assert_true(fd >= 0 && n >= 0);
	close(fd);
	return (size_t)n;
}

static void a_kept_message_is_a_transcript(void **state)
{
	struct sendmail_envelope e = envelope(8);
	struct sendmail_drop d;
	struct stat st;
	char text[1000];
	uint64_t count = 0;
	size_t len;

	(void)state;
	sendmail_drop_init(&d);
	assert_int_equal(sendmail_drop_begin(&d, folder, &e), EX_OK);
	assert_int_equal(sendmail_drop_data(&d, SPAN("\r\n.\r\n")), EX_OK);
	assert_int_equal(sendmail_drop_data(&d, SPAN("x\r\n")), EX_OK);
	assert_true(sendmail_drop_count(folder, &count) && count == 0); /* no name before it is whole */
	assert_int_equal(sendmail_drop_finish(&d), EX_OK);
	sendmail_drop_fini(&d);
	assert_true(sendmail_drop_count(folder, &count) && count == 1);
	len = read_all(only_file(), text, sizeof(text) - 1);
	text[len] = '\0';
	assert_string_equal(text, "SENDOFF-DROP 1\r\n"
				  "MAIL FROM:<me> SIZE=8 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+3Dy\r\n"
				  "RCPT TO:<a@b> NOTIFY=never\r\n"
				  "RCPT TO:<-c@d> NOTIFY=never\r\n"
				  "RCPT TO:<\xc3\xbc@e> NOTIFY=never\r\n"
				  "BDAT 8 LAST\r\n"
				  "\r\n.\r\nx\r\n");
	assert_int_equal(stat(only_file(), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600); /* the directory's group is not given: it is our own agent's */
	assert_int_equal(st.st_nlink, 1);
}

static void the_group_of_the_directory_reads_it(void **state)
{
	struct sendmail_envelope e = envelope(0);
	struct sendmail_drop d;
	struct stat st;

	(void)state;
	assert_int_equal(chmod(folder, 03733), 0);
	sendmail_drop_init(&d);
	assert_int_equal(sendmail_drop_begin(&d, folder, &e), EX_OK);
	assert_int_equal(sendmail_drop_finish(&d), EX_OK);
	sendmail_drop_fini(&d);
	assert_int_equal(stat(only_file(), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void what_is_not_whole_gets_no_name(void **state)
{
	struct sendmail_envelope e = envelope(10);
	struct sendmail_drop d;

	(void)state;
	sendmail_drop_init(&d);
	assert_int_equal(sendmail_drop_begin(&d, folder, &e), EX_OK);
	assert_int_equal(sendmail_drop_data(&d, SPAN("12345")), EX_OK);
	assert_int_equal(sendmail_drop_finish(&d), EX_TEMPFAIL);
	sendmail_drop_fini(&d);
	sendmail_drop_init(&d);
	assert_int_equal(sendmail_drop_begin(&d, folder, &e), EX_OK);
	assert_int_equal(sendmail_drop_data(&d, SPAN("12345678901")), EX_TEMPFAIL);
	sendmail_drop_fini(&d);
	assert_string_equal(only_file(), "");
}

static void a_directory_that_is_not_there_is_told(void **state)
{
	struct sendmail_envelope e = envelope(10);
	struct sendmail_drop d;
	uint64_t count;

	(void)state;
	sendmail_drop_init(&d);
	assert_int_equal(sendmail_drop_begin(&d, "/nonexistent/drop", &e), EX_TEMPFAIL);
	assert_non_null(strstr(d.error, "/nonexistent/drop"));
	sendmail_drop_fini(&d);
	assert_false(sendmail_drop_count("/nonexistent/drop", &count));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_kept_message_is_a_transcript, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_group_of_the_directory_reads_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_whole_gets_no_name, set_up, tear_down),
		cmocka_unit_test(a_directory_that_is_not_there_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
