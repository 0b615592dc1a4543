/* Commands through the whole way: agent's side, socket, process, shell. This program is its own sendoff-helper. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/helper.h"
#include "helper/serve.h"
#include "tests/unit/support/pump.h"

static struct loop *loop;
static struct helper *helper;
static unsigned answers;
static bool ok;
static char output[70000], error[512];
static char program[256];

static void on_done(void *arg, bool was_ok, struct span text, const char *why)
{
	(void)arg;
	answers++;
	ok = was_ok;
	snprintf(output, sizeof(output), "%.*s", SPAN_ARGS(text));
	snprintf(error, sizeof(error), "%s", why);
}

static int setup(void **state)
{
	char why[256] = "";

	(void)state;
	loop = loop_new();
	answers = 0;
	helper = helper_start(loop, program, why, sizeof(why));
	if (!helper)
		fail_msg("%s", why);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	helper_free(helper);
	loop_free(loop);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left behind */
	return 0;
}

static void ask(const char *command, int64_t timeout_ms)
{
	answers = 0;
	helper_command(helper, command, timeout_ms, on_done, NULL);
	assert_int_equal(answers, 0);
	assert_true(PUMP(loop, answers, 10000));
	assert_int_equal(answers, 1);
}

static void expect_output(const char *command, const char *want)
{
	ask(command, 0);
	if (!ok)
		fail_msg("%s: %s", command, error);
	assert_string_equal(output, want);
}

static void expect_failure(const char *command, int64_t timeout_ms, const char *words)
{
	ask(command, timeout_ms);
	if (ok)
		fail_msg("%s: went well", command);
	assert_string_equal(output, "");
	if (!strstr(error, words))
		fail_msg("%s: \"%s\" is not in \"%s\"", command, words, error);
}

static void the_first_line_is_the_secret(void **state)
{
	(void)state;
	expect_output("echo secret", "secret");
	expect_output("printf 'no end of line'", "no end of line");
	expect_output("printf 'first\\nsecond\\n'", "first");
	expect_output("printf 'dos\\r\\n'", "dos");
	expect_output("printf ' blanks stay '", " blanks stay ");
	expect_output("echo noise >&2; echo secret", "secret");
	expect_output("echo a b | tr ' ' -", "a-b");
}

static void failures_say_why(void **state)
{
	(void)state;
	expect_failure("exit 3", 0, "the command failed with exit status 3");
	expect_failure("echo 'gpg: no \033[1mkey' >&2; echo more >&2; echo secret; exit 2", 0,
		       "exit status 2: gpg: no ?[1mkey");
	expect_failure("/nonexistent/program", 0, "exit status 127");
	expect_failure("kill -9 $$", 0, "the command was killed by signal 9");
	expect_failure("true", 0, "the command printed nothing");
	expect_failure("echo; echo second", 0, "the command printed nothing");
}

static void too_much_output_is_a_failure_and_does_not_block(void **state)
{
	(void)state;
	expect_failure("head -c 70000 /dev/zero | tr '\\0' x", 0, "printed more than 64 KiB");
	expect_failure("head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero >&2", 0, "more than 64 KiB");
	ask("head -c 65536 /dev/zero | tr '\\0' x", 0);
	assert_true(ok);
	assert_int_equal(strlen(output), 65536);
}

static void a_timeout_ends_the_whole_group(void **state)
{
	char mark[64] = "/tmp/sendoff-helper-XXXXXX", command[256];
	int fd = mkstemp(mark);
	int64_t before = clock_boot_ms();

	(void)state;
	assert_true(fd >= 0);
	snprintf(command, sizeof(command), "(sleep 0.5; echo alive > %s) & sleep 60; echo secret", mark);
	expect_failure(command, 100, "the command took longer than 0s");
	assert_true(clock_boot_ms() - before < 3000);
	PUMP_IDLE(loop, 700);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	close(fd);
	unlink(mark);
}

static void what_a_command_leaves_running_does_not_hold_up_its_answer(void **state)
{
	int64_t before = clock_boot_ms();

	(void)state;
	expect_output("setsid sleep 2 & echo secret", "secret"); /* keeps the pipe open, as gpg-agent might */
	assert_true(clock_boot_ms() - before < 1500);
}

static void commands_find_no_descriptor_and_no_variable_of_ours(void **state)
{
	(void)state;
	expect_output("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "); /* 3 is the open folder itself */
	expect_output("readlink /proc/self/fd/0", "/dev/null");
	expect_output("echo \"<$NOTIFY_SOCKET$LISTEN_FDS>$KEPT\"", "<>kept");
}

static void signals_are_as_usual_in_commands(void **state)
{
	(void)state;
	/* The helper ignores SIGTERM; what it runs must not. */
	expect_failure("kill -TERM $$; echo alive", 0, "killed by signal 15");
}

static int most; /* how many were seen running at once */

static void on_counted(void *arg, bool was_ok, struct span text, const char *why)
{
	on_done(arg, was_ok, text, why);
	if (atoi(output) > most)
		most = atoi(output);
}

static void many_run_at_once_but_not_all(void **state)
{
	char folder[64] = "/tmp/sendoff-helper-XXXXXX", command[256];

	(void)state;
	assert_non_null(mkdtemp(folder));
	most = 0;
	snprintf(command, sizeof(command), "cd %s; mkdir $$; sleep 0.3; ls | wc -l; rmdir $$", folder);
	for (int i = 0; i < 20; i++)
		helper_command(helper, command, 20000, on_counted, NULL);
	assert_true(PUMP(loop, answers == 20, 20000));
	assert_true(ok);
	assert_in_range(most, 2, 8);
	assert_int_equal(rmdir(folder), 0);
}

static void too_many_are_refused_softly(void **state)
{
	unsigned good = 0;

	(void)state;
	for (int i = 0; i < 80; i++)
		helper_command(helper, "echo x", 5000, on_done, NULL);
	for (unsigned seen = 0; answers < 80; seen = answers) {
		loop_turn(loop, 1000);
		good += answers > seen && ok;
	}
	assert_int_equal(answers, 80);
	assert_true(good > 0);
	expect_output("echo again", "again");
}

static void a_command_that_is_too_long_fails(void **state)
{
	static char longest[100000];

	(void)state;
	memset(longest, ' ', sizeof(longest) - 1);
	expect_failure(longest, 0, "the command is too long");
}

static void after_cancel_nothing_is_told(void **state)
{
	struct helper_request *request;

	(void)state;
	request = helper_command(helper, "sleep 30; echo x", 0, on_done, NULL);
	PUMP_IDLE(loop, 50);
	helper_cancel(request);
	request = helper_command(helper, "echo x", 0, on_done, NULL);
	helper_cancel(request);
	PUMP_IDLE(loop, 150);
	assert_int_equal(answers, 0);
	helper_cancel(NULL);
	expect_output("echo y", "y");
}

static void when_the_helper_dies_requests_fail_and_so_do_later_ones(void **state)
{
	(void)state;
	expect_output("echo $PPID", output);
	helper_command(helper, "sleep 30", 0, on_done, NULL);
	PUMP_IDLE(loop, 30);
	answers = 0;
	assert_int_equal(kill((pid_t)atoi(output), SIGKILL), 0);
	assert_true(PUMP(loop, answers == 1, 2000));
	assert_false(ok);
	assert_non_null(strstr(error, "sendoff-helper"));
	assert_false(helper_is_alive(helper));
	expect_failure("echo x", 0, "restart sendoffd");
}

static void a_signal_to_all_processes_does_not_end_the_helper(void **state)
{
	(void)state;
	expect_output("echo $PPID", output);
	kill((pid_t)atoi(output), SIGTERM);
	kill((pid_t)atoi(output), SIGINT);
	expect_output("echo still", "still");
}

static bool polls(int fd, short event, int ms)
{
	struct pollfd p = { .fd = fd, .events = event };

	return poll(&p, 1, ms) == 1 && p.revents & event;
}

static void what_runs_ends_with_the_helper(void **state)
{
	char folder[] = "/tmp/sendoff-helper-XXXXXX", pipe[64], command[256], byte;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(pipe, sizeof(pipe), "%s/pipe", folder);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	fd = open(pipe, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	/* The shell and its child keep the pipe open for as long as they live. */
	snprintf(command, sizeof(command), "exec 9>%s; echo >&9; sleep 30", pipe);
	helper_command(helper, command, 0, on_done, NULL);
	assert_true(PUMP(loop, polls(fd, POLLIN, 0), 10000));
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_false(polls(fd, POLLHUP, 0));
	helper_free(helper);
	helper = NULL;
	assert_true(polls(fd, POLLHUP, 10000));
	close(fd);
	unlink(pipe);
	rmdir(folder);
}

static void a_program_that_is_not_there_is_told_with_its_name(void **state)
{
	char why[256] = "";

	(void)state;
	assert_null(helper_start(loop, "/nonexistent/sendoff-helper", why, sizeof(why)));
	assert_string_equal(why, "/nonexistent/sendoff-helper: No such file or directory");
	assert_null(helper_start_as(loop, program, "no-such-user-here", why, sizeof(why)));
	assert_non_null(strstr(why, "no user \"no-such-user-here\""));
}

static void it_can_run_as_another_user(void **state)
{
	char why[256] = "";

	(void)state;
	if (geteuid() != 0)
		skip();
	helper_free(helper);
	/* The build folder may be closed to others. */
	helper = helper_start_as(loop, program, "nobody", why, sizeof(why));
	if (!helper)
		skip();
	expect_output("id -un", "nobody");
	expect_output("id -G", "65534");
	expect_output("echo $HOME $USER $LOGNAME", "/nonexistent nobody nobody");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_first_line_is_the_secret),
		TEST(failures_say_why),
		TEST(too_much_output_is_a_failure_and_does_not_block),
		TEST(a_timeout_ends_the_whole_group),
		TEST(what_a_command_leaves_running_does_not_hold_up_its_answer),
		TEST(commands_find_no_descriptor_and_no_variable_of_ours),
		TEST(signals_are_as_usual_in_commands),
		TEST(many_run_at_once_but_not_all),
		TEST(too_many_are_refused_softly),
		TEST(a_command_that_is_too_long_fails),
		TEST(after_cancel_nothing_is_told),
		TEST(when_the_helper_dies_requests_fail_and_so_do_later_ones),
		TEST(a_signal_to_all_processes_does_not_end_the_helper),
		TEST(what_runs_ends_with_the_helper),
		TEST(a_program_that_is_not_there_is_told_with_its_name),
		TEST(it_can_run_as_another_user),
	};
	ssize_t n;

	if (argc == 1 && strcmp(argv[0], "sendoff-helper") == 0) {
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		serve_until_closed(3);
		return 0;
	}
	setenv("NOTIFY_SOCKET", "/x", 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("KEPT", "kept", 1);
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = '\0';
	return cmocka_run_group_tests(tests, NULL, NULL);
}
