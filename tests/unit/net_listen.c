/* Listening sockets: TCP, Unix with stale files, inherited ones, and running out of descriptors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/listen.h"
#include "tests/unit/support/pump.h"

static struct loop *loop;
static struct listen *l;
static char folder[64], why[256];
static int taken[64];
static size_t taken_count;
static size_t pause_after; /* pauses itself when that many came */

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	l = NULL;
	taken_count = 0;
	pause_after = 0;
	why[0] = '\0';
	snprintf(folder, sizeof(folder), "/tmp/sendoff-net-XXXXXX");
	assert_non_null(mkdtemp(folder));
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	listen_free(l);
	for (size_t i = 0; i < taken_count; i++)
		close(taken[i]);
	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static char *path_of(const char *name)
{
	static char paths[2][128];
	static int turn;

	turn = !turn;
	snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", folder, name);
	return paths[turn];
}

static void on_accepted(void *arg, int fd)
{
	(void)arg;
	assert_true(taken_count < sizeof(taken) / sizeof(taken[0]));
	taken[taken_count++] = fd;
	if (taken_count == pause_after)
		listen_pause(l, true);
}

static int call_tcp(void)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd;

	assert_true(addr_parse(listen_name(l), 0, &addr, &len));
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, len), 0);
	return fd;
}

static int call_unix(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void tcp_connections_are_taken_once_it_is_started(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(listen_tcp(loop, "127.0.0.1:0", &l, why, sizeof(why)), 0);
	assert_int_equal(strncmp(listen_name(l), "127.0.0.1:", 10), 0);
	assert_string_not_equal(listen_name(l), "127.0.0.1:0");
	fd = call_tcp();
	PUMP_IDLE(loop, 20);
	assert_int_equal(taken_count, 0);
	listen_start(l, on_accepted, NULL);
	assert_true(PUMP(loop, taken_count == 1, 1000));
	assert_true(fcntl(taken[0], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(taken[0], F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void v6_does_not_take_the_v4_port(void **state)
{
	struct listen *v6 = NULL;
	char address[64];

	(void)state;
	assert_int_equal(listen_tcp(loop, "0.0.0.0:0", &l, why, sizeof(why)), 0);
	snprintf(address, sizeof(address), "[::]%s", strrchr(listen_name(l), ':'));
	if (listen_tcp(loop, address, &v6, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	listen_free(v6);
}

static void an_address_in_use_or_senseless_is_refused_with_words(void **state)
{
	struct listen *again = NULL;

	(void)state;
	assert_int_equal(listen_tcp(loop, "127.0.0.1:0", &l, why, sizeof(why)), 0);
	assert_int_equal(listen_tcp(loop, listen_name(l), &again, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, "another program listens there"));
	assert_non_null(strstr(why, listen_name(l)));
	assert_int_equal(listen_tcp(loop, "localhost:25", &again, why, sizeof(why)), -EINVAL);
	assert_int_equal(listen_tcp(loop, "192.0.2.1:25", &again, why, sizeof(why)), -EADDRNOTAVAIL);
	assert_null(again);
}

static void a_paused_listener_takes_nothing(void **state)
{
	int fds[3];

	(void)state;
	assert_int_equal(listen_tcp(loop, "127.0.0.1:0", &l, why, sizeof(why)), 0);
	for (int i = 0; i < 3; i++)
		fds[i] = call_tcp();
	pause_after = 2; /* from inside the callback */
	listen_start(l, on_accepted, NULL);
	assert_true(PUMP(loop, taken_count == 2, 3000));
	PUMP_IDLE(loop, 40);
	assert_int_equal(taken_count, 2);
	listen_pause(l, false);
	assert_true(PUMP(loop, taken_count == 3, 1000));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void a_unix_socket_has_its_mode_and_goes_with_its_listener(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(listen_unix(loop, path_of("made/submit"), 0666, &l, why, sizeof(why)), 0);
	assert_string_equal(listen_name(l), path_of("made/submit"));
	assert_int_equal(stat(path_of("made/submit"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(stat(path_of("made"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	listen_start(l, on_accepted, NULL);
	fd = call_unix(path_of("made/submit"));
	assert_true(fd >= 0);
	assert_true(PUMP(loop, taken_count == 1, 1000));
	close(fd);
	listen_free(l);
	l = NULL;
	assert_int_equal(stat(path_of("made/submit"), &st), -1);
}

static void a_unix_socket_is_given_to_whom_it_is_meant_for(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(listen_unix(loop, path_of("submit"), 0660, &l, why, sizeof(why)), 0);
	assert_int_equal(listen_give(l, NULL, NULL, why, sizeof(why)), 0);
	assert_int_equal(listen_give(l, "no-such-user-here", NULL, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "no-such-user-here"));
	assert_int_equal(listen_give(l, NULL, "no-such-group-here", why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "no-such-group-here"));
	if (getuid() != 0) {
		assert_int_equal(listen_give(l, "root", NULL, why, sizeof(why)), -EPERM);
		return;
	}
	assert_int_equal(listen_give(l, "daemon", "mail", why, sizeof(why)), 0);
	assert_int_equal(stat(path_of("submit"), &st), 0);
	assert_int_equal(st.st_uid, getpwnam("daemon")->pw_uid);
	assert_int_equal(st.st_gid, getgrnam("mail")->gr_gid);
	assert_int_equal(st.st_mode & 07777, 0660);
}

static void leave_a_stale_socket(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
}

static void a_stale_socket_is_replaced(void **state)
{
	int fd;

	(void)state;
	leave_a_stale_socket(path_of("submit"));
	if (listen_unix(loop, path_of("submit"), 0600, &l, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	fd = call_unix(path_of("submit"));
	assert_true(fd >= 0);
	close(fd);
}

static void a_socket_that_somebody_answers_is_not_taken_away(void **state)
{
	struct listen *second = NULL;
	int fd;

	(void)state;
	assert_int_equal(listen_unix(loop, path_of("submit"), 0600, &l, why, sizeof(why)), 0);
	assert_int_equal(listen_unix(loop, path_of("submit"), 0600, &second, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, "another program listens there"));
	fd = call_unix(path_of("submit"));
	assert_true(fd >= 0);
	close(fd);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
	FILE *f = fopen(path_of("submit"), "w");
	struct stat st;

	(void)state;
	fclose(f);
	assert_int_equal(listen_unix(loop, path_of("submit"), 0600, &l, why, sizeof(why)), -EEXIST);
	assert_non_null(strstr(why, "not a socket"));
	assert_int_equal(stat(path_of("submit"), &st), 0);
	assert_int_equal(unlink(path_of("submit")), 0);
	/* A link is no socket either, whatever it points at. */
	assert_int_equal(symlink("/nonexistent", path_of("submit")), 0);
	assert_int_equal(listen_unix(loop, path_of("submit"), 0600, &l, why, sizeof(why)), -EEXIST);
}

static void a_socket_made_by_a_successor_is_not_removed(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(listen_unix(loop, path_of("submit"), 0600, &l, why, sizeof(why)), 0);
	assert_int_equal(rename(path_of("submit"), path_of("old")), 0);
	leave_a_stale_socket(path_of("submit"));
	listen_free(l);
	l = NULL;
	assert_int_equal(stat(path_of("submit"), &st), 0);
}

static void paths_that_cannot_be_are_refused_with_words(void **state)
{
	char longest[200];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(listen_unix(loop, longest, 0600, &l, why, sizeof(why)), -ENAMETOOLONG);
	assert_int_equal(listen_unix(loop, path_of("a/b/c"), 0600, &l, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "a/b/c: No such file or directory"));
}

static void out_of_descriptors_it_waits_and_comes_back(void **state)
{
	struct rlimit old, few;
	int caller, hoard[256], held = 0;
	unsigned turns = 0;
	int64_t end;

	(void)state;
	assert_int_equal(listen_tcp(loop, "127.0.0.1:0", &l, why, sizeof(why)), 0);
	listen_start(l, on_accepted, NULL);
	caller = call_tcp();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ .rlim_cur = 100, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (held < 256 && (hoard[held] = dup(0)) >= 0)
		held++;
	for (end = clock_boot_ms() + 100; clock_boot_ms() < end; turns++)
		loop_turn(loop, 20);
	assert_int_equal(taken_count, 0);
	assert_in_range(turns, 1, 30); /* no busy loop */
	while (held)
		close(hoard[--held]);
	assert_true(PUMP(loop, taken_count == 1, 5000));
	setrlimit(RLIMIT_NOFILE, &old);
	close(caller);
}

static void an_end_of_a_pause_ends_the_wait_for_descriptors(void **state)
{
	struct rlimit old, few;
	int caller, hoard[256], held = 0;
	int64_t before;

	(void)state;
	assert_int_equal(listen_tcp(loop, "127.0.0.1:0", &l, why, sizeof(why)), 0);
	listen_start(l, on_accepted, NULL);
	caller = call_tcp();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ .rlim_cur = 100, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (held < 256 && (hoard[held] = dup(0)) >= 0)
		held++;
	loop_turn(loop, 20);
	while (held)
		close(hoard[--held]);
	before = clock_boot_ms();
	listen_pause(l, false);
	assert_true(PUMP(loop, taken_count == 1, 5000));
	assert_true(clock_boot_ms() - before < 900);
	setrlimit(RLIMIT_NOFILE, &old);
	close(caller);
}

static void inherited_sockets_are_taken_over_by_name(void **state)
{
	struct listen_inherited got[4];
	char pid[32];
	int saved[2], made;
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)state;
	/* systemd passes them from descriptor 3 on. */
	saved[0] = fcntl(3, F_DUPFD_CLOEXEC, 20);
	saved[1] = fcntl(4, F_DUPFD_CLOEXEC, 20);
	made = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(made, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(made, 5), 0);
	assert_int_equal(dup2(made, 3), 3);
	assert_int_equal(dup2(made, 4), 4);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "smtp:", 1);
	assert_int_equal(listen_inherit(got, 4), 2);
	assert_int_equal(got[0].fd, 3);
	assert_string_equal(got[0].name, "smtp");
	assert_int_equal(got[1].fd, 4);
	assert_string_equal(got[1].name, "");
	assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_int_equal(listen_inherit(got, 4), 0);
	for (int i = 0; i < 2; i++) {
		if (saved[i] >= 0)
			dup2(saved[i], 3 + i);
		else
			close(3 + i);
		if (saved[i] >= 0)
			close(saved[i]);
	}
	assert_int_equal(listen_fd(loop, made, &l, why, sizeof(why)), 0);
	listen_start(l, on_accepted, NULL);
	close(call_tcp());
	assert_true(PUMP(loop, taken_count == 1, 1000));
}

static void what_was_meant_for_others_is_not_inherited(void **state)
{
	struct listen_inherited got[4];
	int pair[2];

	(void)state;
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "2", 1);
	assert_int_equal(listen_inherit(got, 4), 0);
	setenv("LISTEN_PID", "x", 1);
	setenv("LISTEN_FDS", "99999999999", 1);
	assert_int_equal(listen_inherit(got, 4), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(listen_fd(loop, pair[0], &l, why, sizeof(why)), -EINVAL);
	assert_int_equal(listen_fd(loop, 9999, &l, why, sizeof(why)), -EINVAL);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(tcp_connections_are_taken_once_it_is_started),
		TEST(v6_does_not_take_the_v4_port),
		TEST(an_address_in_use_or_senseless_is_refused_with_words),
		TEST(a_paused_listener_takes_nothing),
		TEST(a_unix_socket_has_its_mode_and_goes_with_its_listener),
		TEST(a_unix_socket_is_given_to_whom_it_is_meant_for),
		TEST(a_stale_socket_is_replaced),
		TEST(a_socket_that_somebody_answers_is_not_taken_away),
		TEST(a_file_that_is_no_socket_is_left_alone),
		TEST(a_socket_made_by_a_successor_is_not_removed),
		TEST(paths_that_cannot_be_are_refused_with_words),
		TEST(out_of_descriptors_it_waits_and_comes_back),
		TEST(an_end_of_a_pause_ends_the_wait_for_descriptors),
		TEST(inherited_sockets_are_taken_over_by_name),
		TEST(what_was_meant_for_others_is_not_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
