/* Passwords checked by sendoff-helper, which this program is for itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/scram.h"
#include "helper/helper.h"
#include "helper/serve.h"
#include "tests/unit/support/pump.h"

/* "pencil" by libcrypt; the costs are the least it takes. */
#define YESCRYPT "$y$j75$WrLUwDLJ01SdChzTQv6LX.$MJ.CS3r9uE45EQO9mCzsWOHfPUZ/eCk//Xd5IxnwcND"
#define SHA512 \
	"$6$rounds=1000$saltsalt$bbY.T.ZpN43KapLdmlSbP6MmxBlkMSbhrh.Y1rmY0fYaRO/t.4sKqUiU.Z8byKf8Oa1yagMn/0fncuHSYrb9h."
#define BCRYPT "$2b$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2"

enum { PATIENCE_MS = 60000 }; /* of a machine that has much else to do */

static struct loop *loop;
static struct helper *helper;
static unsigned answers, counts[3];
static enum helper_verdict verdict;
static char why[512];
static char program[256];
static char *scram;

static void on_checked(void *arg, enum helper_verdict was, const char *text)
{
	(void)arg;
	answers++;
	counts[was]++;
	verdict = was;
	snprintf(why, sizeof(why), "%s", text);
}

static int setup(void **state)
{
	char error[256] = "";

	(void)state;
	loop = loop_new();
	answers = 0;
	memset(counts, 0, sizeof(counts));
	helper = helper_start(loop, program, error, sizeof(error));
	if (!helper)
		fail_msg("%s", error);
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

static void ask(const char *secret, const char *password)
{
	answers = 0;
	helper_check(helper, secret, password, on_checked, NULL);
	assert_int_equal(answers, 0);
	assert_true(PUMP(loop, answers, PATIENCE_MS));
	assert_int_equal(answers, 1);
}

static char *make_scram(uint32_t iterations)
{
	struct scram_verifier verifier = { .iterations = iterations, .salt = "salt", .salt_len = 4 };
	struct buf text;

	buf_init(&text, SCRAM_TEXT_MAX);
	scram_derive(&verifier, SPAN("pencil"));
	scram_write(&text, &verifier);
	return buf_take(&text);
}

static void the_right_password_and_no_other_is_one(void **state)
{
	char *two = mem_printf("%s SCRAM-SHA-1$4096:x", scram);
	const char *secrets[] = { YESCRYPT, SHA512, BCRYPT, scram, two };

	(void)state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		ask(secrets[i], "pencil");
		if (verdict != HELPER_YES)
			fail_msg("%s: %d %s", secrets[i], verdict, why);
		ask(secrets[i], "pencil ");
		assert_int_equal(verdict, HELPER_NO);
		ask(secrets[i], "");
		assert_int_equal(verdict, HELPER_NO);
	}
	mem_free(two);
}

static void what_cannot_be_checked_is_no_no(void **state)
{
	static const char *const secrets[] = { "$9$nothing$known", "$y$", "wonderland", "", "SCRAM-SHA-256$1:x", "*" };
	char *large = mem_calloc(1, 70000);

	(void)state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		ask(secrets[i], "wonderland");
		if (verdict != HELPER_UNDONE)
			fail_msg("%s: %d", secrets[i], verdict);
		assert_string_equal(why, "the password could not be checked");
	}
	memset(large, 'x', 69999);
	ask(YESCRYPT, large);
	assert_int_equal(verdict, HELPER_UNDONE);
	assert_string_equal(why, "the password is too long");
	mem_free(large);
}

static void many_are_checked_and_too_many_are_put_off(void **state)
{
	(void)state;
	answers = 0;
	for (int i = 0; i < 80; i++)
		helper_check(helper, scram, "pencil", on_checked, NULL);
	assert_true(PUMP(loop, answers == 80, PATIENCE_MS));
	assert_int_equal(counts[HELPER_YES], 64);
	assert_int_equal(counts[HELPER_UNDONE], 16);
	assert_string_equal(why, ""); /* the last one to come was checked */
	ask(scram, "pencil");
	assert_int_equal(verdict, HELPER_YES);
}

static void on_output(void *arg, bool ok, struct span output, const char *error)
{
	(void)error;
	*(bool *)arg = ok && span_equals(output, SPAN("secret"));
}

static void checks_take_no_place_from_commands(void **state)
{
	bool told = false;

	(void)state;
	for (int i = 0; i < 80; i++)
		helper_check(helper, scram, "pencil", on_checked, NULL);
	helper_command(helper, "echo secret", 0, on_output, &told);
	assert_true(PUMP(loop, told, PATIENCE_MS));
}

static void after_cancel_nothing_is_told_and_others_go_on(void **state)
{
	int64_t before = clock_boot_ms(), one_ms;
	char *slow = make_scram(SCRAM_ITERATIONS_MAX); /* seconds, as a check of it is */
	struct helper_request *requests[8];

	(void)state;
	one_ms = clock_boot_ms() - before;
	before = clock_boot_ms();
	for (int i = 0; i < 8; i++)
		requests[i] = helper_check(helper, slow, "pencil", on_checked, NULL);
	PUMP_IDLE(loop, 50);
	for (int i = 0; i < 8; i++)
		helper_cancel(requests[i]);
	ask(scram, "pencil");
	assert_int_equal(verdict, HELPER_YES);
	/* Behind those it could not begin before the first of them ends. */
	assert_true(clock_boot_ms() - before < one_ms);
	/* What still runs ends with the helper: see teardown. */
	helper_check(helper, slow, "pencil", on_checked, NULL);
	PUMP_IDLE(loop, 50);
	mem_free(slow);
}

static void on_pid(void *arg, bool ok, struct span output, const char *error)
{
	char text[32];

	(void)error;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(span_first(output, sizeof(text) - 1)));
	*(pid_t *)arg = ok ? atoi(text) : -1;
}

static void a_dead_helper_checks_nothing(void **state)
{
	pid_t pid = 0;

	(void)state;
	helper_command(helper, "echo $PPID", 0, on_pid, &pid);
	assert_true(PUMP(loop, pid, PATIENCE_MS));
	assert_true(pid > 1);
	/* One that it will never read. */
	kill(pid, SIGSTOP);
	helper_check(helper, scram, "pencil", on_checked, NULL);
	kill(pid, SIGKILL);
	assert_true(PUMP(loop, answers, PATIENCE_MS));
	assert_int_equal(answers, 1);
	assert_int_equal(verdict, HELPER_UNDONE);
	assert_non_null(strstr(why, "restart sendoffd"));
	assert_false(helper_is_alive(helper));
	ask(scram, "pencil");
	assert_int_equal(verdict, HELPER_UNDONE);
	assert_non_null(strstr(why, "restart sendoffd"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_right_password_and_no_other_is_one),        TEST(what_cannot_be_checked_is_no_no),
		TEST(many_are_checked_and_too_many_are_put_off),     TEST(checks_take_no_place_from_commands),
		TEST(after_cancel_nothing_is_told_and_others_go_on), TEST(a_dead_helper_checks_nothing),
	};
	ssize_t n;
	int failed;

	if (argc == 1 && strcmp(argv[0], "sendoff-helper") == 0) {
		serve_until_closed(3);
		return 0;
	}
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = '\0';
	scram = make_scram(SCRAM_ITERATIONS_MIN);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	mem_free(scram);
	return failed;
}
