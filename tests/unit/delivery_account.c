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

#include "delivery/account.h"

struct got {
	bool is_done, is_ok;
	char secret[64], why[512];
};

static void note(void *arg, struct span secret, const char *why)
{
	struct got *got = arg;

	assert_false(got->is_done);
	got->is_done = true;
	got->is_ok = !why;
	snprintf(got->secret, sizeof got->secret, "%.*s", SPAN_ARGS(secret));
	snprintf(got->why, sizeof got->why, "%s", why ? why : "");
}

static struct got fetch(const struct config_smarthost *host, const char *directory)
{
	struct loop *loop = loop_new();
	struct account_setup setup = { .loop = loop, .credentials_directory = directory };
	struct got got = { .is_done = false };

	assert_non_null(account_fetch(&setup, host, note, &got));
	assert_false(got.is_done); /* never from inside */
	for (int i = 0; i < 10 && !got.is_done; i++)
		loop_turn(loop, 10);
	assert_true(got.is_done);
	loop_free(loop);
	return got;
}

static const char *file(const char *content, mode_t mode)
{
	static char path[64];
	FILE *out;

	snprintf(path, sizeof path, "/tmp/delivery-secret-%d", getpid());
	unlink(path);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(content, out);
	fclose(out);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void only_the_first_line_counts(void **state)
{
	static const struct {
		const char *content, *secret;
	} rows[] = {
		{ "hello", "hello" },
		{ "hello\n", "hello" },
		{ "hello\r\nnext\n", "hello" },
		{ " a b \n", " a b " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct config_smarthost host = { .host = "x",
						 .user = "me",
						 .secret_file = file(rows[i].content, 0600) };
		struct got got = fetch(&host, NULL);

		assert_true(got.is_ok);
		assert_string_equal(got.secret, rows[i].secret);
		unlink(host.secret_file);
	}
}

static void what_cannot_be_used_is_said_with_the_files_name(void **state)
{
	struct config_smarthost host = { .host = "x", .user = "me" };
	char big[ACCOUNT_SECRET_MAX + 100];
	struct got got;

	(void)state;
	host.secret_file = file("hello\n", 0644);
	got = fetch(&host, NULL);
	assert_false(got.is_ok);
	assert_non_null(strstr(got.why, "everybody"));
	assert_non_null(strstr(got.why, host.secret_file));
	host.secret_file = file("hello\n", 0640);
	assert_non_null(strstr(fetch(&host, NULL).why, "group"));
	host.secret_file = file("hello\n", 0602);
	assert_non_null(strstr(fetch(&host, NULL).why, "everybody"));
	host.secret_file = file("\n", 0600);
	assert_non_null(strstr(fetch(&host, NULL).why, "empty"));
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	host.secret_file = file(big, 0600);
	assert_non_null(strstr(fetch(&host, NULL).why, "longer"));
	unlink(host.secret_file);
	assert_non_null(strstr(fetch(&host, NULL).why, "No such file"));
	host.secret_file = "/tmp";
	assert_non_null(strstr(fetch(&host, NULL).why, "not a file"));
	host.secret_file = NULL;
	assert_false(fetch(&host, NULL).is_ok);
	host.secret_command = "echo hello";
	assert_non_null(strstr(fetch(&host, NULL).why, "sendoff-helper"));
	host.secret_command = NULL;
	host.secret_credential = "work";
	assert_non_null(strstr(fetch(&host, NULL).why, "LoadCredential"));
}

static void a_link_is_not_the_file(void **state)
{
	const char *path = file("hello\n", 0600);
	char link[96];
	struct config_smarthost host = { .host = "x", .user = "me", .secret_file = link };

	(void)state;
	snprintf(link, sizeof link, "%s-link", path);
	unlink(link);
	assert_int_equal(symlink(path, link), 0);
	assert_non_null(strstr(fetch(&host, NULL).why, "symbolic link"));
	unlink(link);
	unlink(path);
}

static void a_file_of_somebody_else_is_not_used(void **state)
{
	const char *path = file("hello\n", 0600);
	struct config_smarthost host = { .host = "x", .user = "me", .secret_file = path };

	(void)state;
	if (geteuid() != 0) {
		unlink(path);
		print_message("only root can give a file away: skipped\n");
		skip();
	}
	assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
	assert_non_null(strstr(fetch(&host, NULL).why, "somebody else"));
	unlink(path);
}

static void who_wants_a_secret_and_who_can_have_another(void **state)
{
	struct config_smarthost host = { .host = "x", .auth = CONFIG_AUTH_ANY };

	(void)state;
	assert_false(account_wants_secret(&host));
	host.user = "me";
	assert_true(account_wants_secret(&host));
	host.auth = CONFIG_AUTH_EXTERNAL;
	assert_false(account_wants_secret(&host));
	host.auth = CONFIG_AUTH_EXTERNAL | CONFIG_AUTH_PLAIN;
	assert_true(account_wants_secret(&host));
	host.auth = 0;
	assert_false(account_wants_secret(&host));
	host.secret_command = "true";
	assert_false(account_is_renewable(&host));
	host.auth = CONFIG_AUTH_ANY;
	assert_false(account_is_renewable(&host));
	host.auth = CONFIG_AUTH_OAUTHBEARER;
	assert_true(account_is_renewable(&host));
	host.secret_command = NULL;
	host.secret_file = "token";
	assert_false(account_is_renewable(&host));
}

static void a_refused_token_is_not_used_again(void **state)
{
	struct config_smarthost host = { .host = "x", .user = "me", .secret_file = file("token-1\n", 0600) };
	struct loop *loop = loop_new();
	struct account_refused refused;
	struct account_setup setup = { .loop = loop, .refused = &refused };
	struct got got = { .is_done = false };

	(void)state;
	account_refuse(&refused, SPAN("token-1"), "mx.example.org: AUTH: 535 5.7.8 no");
	assert_non_null(account_fetch(&setup, &host, note, &got));
	while (!got.is_done)
		loop_turn(loop, 10);
	assert_false(got.is_ok);
	assert_string_equal(got.why,
			    "mx.example.org: AUTH: 535 5.7.8 no; secret_command gave the same token once more");
	file("token-2\n", 0600);
	got = (struct got){ .is_done = false };
	assert_non_null(account_fetch(&setup, &host, note, &got));
	while (!got.is_done)
		loop_turn(loop, 10);
	assert_true(got.is_ok);
	assert_string_equal(got.secret, "token-2");
	loop_free(loop);
	unlink(host.secret_file);
}

static void a_credential_lies_in_the_services_folder(void **state)
{
	const char *path = file("hello\n", 0400);
	struct config_smarthost host = { .host = "x", .user = "me", .secret_credential = strrchr(path, '/') + 1 };

	(void)state;
	assert_string_equal(fetch(&host, "/tmp").secret, "hello");
	assert_int_equal(chmod(path, 0440), 0); /* as systemd leaves it, with an access list */
	assert_string_equal(fetch(&host, "/tmp").secret, "hello");
	host.secret_credential = "../etc/passwd";
	assert_false(fetch(&host, "/tmp").is_ok);
	unlink(path);
}

static void the_mark_changes_with_account_and_file(void **state)
{
	struct config_smarthost host = { .host = "x", .port = 25, .user = "me", .secret_file = file("one\n", 0600) };
	uint64_t mark = account_mark(&host, NULL);

	(void)state;
	assert_true(account_mark(&host, NULL) == mark);
	host.user = "you";
	assert_true(account_mark(&host, NULL) != mark);
	host.user = "me";
	file("another\n", 0600);
	assert_true(account_mark(&host, NULL) != mark);
	unlink(host.secret_file);
	assert_true(account_mark(&host, NULL) != mark);
}

static void a_cancelled_fetch_never_answers(void **state)
{
	struct loop *loop = loop_new();
	struct account_setup setup = { .loop = loop };
	struct config_smarthost host = { .host = "x", .user = "me", .secret_file = "/nowhere" };
	struct got got = { .is_done = false };

	(void)state;
	account_cancel(account_fetch(&setup, &host, note, &got));
	account_cancel(NULL);
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	assert_false(got.is_done);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_first_line_counts),
		cmocka_unit_test(what_cannot_be_used_is_said_with_the_files_name),
		cmocka_unit_test(a_link_is_not_the_file),
		cmocka_unit_test(a_file_of_somebody_else_is_not_used),
		cmocka_unit_test(who_wants_a_secret_and_who_can_have_another),
		cmocka_unit_test(a_refused_token_is_not_used_again),
		cmocka_unit_test(a_credential_lies_in_the_services_folder),
		cmocka_unit_test(the_mark_changes_with_account_and_file),
		cmocka_unit_test(a_cancelled_fetch_never_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
