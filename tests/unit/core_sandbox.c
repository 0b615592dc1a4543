#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "notify.h"
#include "sandbox.h"

static char why[256];

static void an_unknown_user_is_refused_with_its_name(void **state)
{
	struct sandbox_user user;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_true(sandbox_find("nobody-of-that-name", &user, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "nobody-of-that-name"));
}

static void without_a_user_the_process_stays_who_it_is(void **state)
{
	struct sandbox_user user;

	(void)state;
	assert_int_equal(sandbox_find(NULL, &user, why, sizeof(why)), 0);
	assert_null(user.name);
	assert_int_equal(user.uid, geteuid());
	assert_int_equal(sandbox_become(&user, why, sizeof(why)), 0);
	assert_int_equal(user.uid, geteuid());
}

/* In a child, since there is no way back. */
static void root_is_given_up_with_all_groups(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct sandbox_user user;
		gid_t groups[64] = { 0, 4242 };
		int count;

		if (setgroups(2, groups) < 0)
			_exit(4);
		if (sandbox_find("nobody", &user, why, sizeof(why)) || sandbox_become(&user, why, sizeof(why)))
			_exit(1);
		sandbox_seal();
		count = getgroups(64, groups);
		for (int i = 0; i < count; i++)
			if (groups[i] == 0 || groups[i] == 4242)
				_exit(2);
		_exit(getuid() == user.uid && getgid() == user.gid && setuid(0) < 0 && setgid(0) < 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void directories_are_made_with_their_mode_and_left_alone_if_there(void **state)
{
	char folder[] = "/tmp/sendoff-sandbox-XXXXXX", path[128], command[128];
	struct sandbox_user user;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(sandbox_find(NULL, &user, why, sizeof(why)), 0);
	snprintf(path, sizeof(path), "%s/a/b", folder);
	assert_true(sandbox_directory(path, 0755, false, &user, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, path));
	assert_int_equal(sandbox_directory(path, 0755, true, &user, why, sizeof(why)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(sandbox_directory(path, 0700, true, &user, why, sizeof(why)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	assert_int_equal(system(command), 0);
}

static void descriptors_are_raised_as_far_as_allowed(void **state)
{
	struct rlimit before, after;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(sandbox_descriptors(before.rlim_cur) >= before.rlim_cur);
	sandbox_descriptors(1 << 30);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	assert_true(after.rlim_cur >= before.rlim_cur);
	assert_int_equal(after.rlim_max, before.rlim_max);
}

static void the_service_manager_hears_what_it_asked_for(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[32] = "";

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_send("READY=1"), 0);
	snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "sendoff-test-%d", (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&sun,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(sun.sun_path + 1))),
			 0);
	sun.sun_path[0] = '@';
	setenv("NOTIFY_SOCKET", sun.sun_path, 1);
	assert_int_equal(notify_send("READY=1"), 0);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 7);
	assert_string_equal(text, "READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_true(notify_send("READY=1") < 0);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_user_is_refused_with_its_name),
		cmocka_unit_test(without_a_user_the_process_stays_who_it_is),
		cmocka_unit_test(root_is_given_up_with_all_groups),
		cmocka_unit_test(directories_are_made_with_their_mode_and_left_alone_if_there),
		cmocka_unit_test(descriptors_are_raised_as_far_as_allowed),
		cmocka_unit_test(the_service_manager_hears_what_it_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
