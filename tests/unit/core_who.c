#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "who.h"

#define LIST(...)                                                                                               \
	{                                                                                                       \
		(const char *[]){ __VA_ARGS__ }, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *) \
	}

/* Joe at this machine, in groups 100 and 27. */
static struct who joe(void)
{
	return (struct who){ .user = "",
			     .host = "127.0.0.1",
			     .listener = "loopback",
			     .has_uid = true,
			     .uid = 1000,
			     .login = "joe",
			     .groups = { 100, 27 },
			     .group_count = 2 };
}

static struct who alice(void)
{
	return (struct who){ .user = "alice", .host = "192.0.2.7", .listener = "office" };
}

static struct who stranger(void)
{
	return (struct who){ .user = "", .host = "2001:db8::7", .listener = "office" };
}

static void a_rule_fits_when_each_of_its_lists_does(void **state)
{
	const struct {
		const char *name;
		struct config_who rule;
		bool joe, alice, stranger;
	} rows[] = {
		{ "no list at all", { .users = { NULL, 0 } }, true, true, true },
		{ "a login name", { .users = LIST("root", "joe") }, true, false, false },
		{ "a user of AUTH", { .users = LIST("alice") }, false, true, false },
		{ "names differ in case", { .users = LIST("Alice", "JOE") }, false, false, false },
		{ "wildcards", { .users = LIST("al*") }, false, true, false },
		{ "any user, which a stranger is not", { .users = LIST("*") }, true, true, false },
		{ "an empty name", { .users = LIST("") }, false, false, false },
		{ "a uid", { .uids = LIST("0", "1000") }, true, false, false },
		{ "a uid by name", { .uids = LIST("joe") }, true, false, false },
		{ "any uid", { .uids = LIST("*") }, true, false, false },
		{ "another uid", { .uids = LIST("0") }, false, false, false },
		{ "a group", { .gids = LIST("27") }, true, false, false },
		{ "another group", { .gids = LIST("28") }, false, false, false },
		{ "any group", { .gids = LIST("*") }, true, false, false },
		{ "a network", { .networks = LIST("192.0.2.0/24") }, false, true, false },
		{ "two networks", { .networks = LIST("10.0.0.0/8", "2001:db8::/32") }, false, false, true },
		{ "a host", { .networks = LIST("127.0.0.1") }, true, false, false },
		{ "half of v6, in which v4 lies too", { .networks = LIST("::/1") }, true, true, true },
		{ "a listener", { .listeners = LIST("office") }, false, true, true },
		{ "user and listener", { .users = LIST("*"), .listeners = LIST("office") }, false, true, false },
		{ "user and network, which do not meet",
		  { .users = LIST("joe"), .networks = LIST("192.0.2.0/24") },
		  false,
		  false,
		  false },
		{ "nonsense in a list", { .networks = LIST("everything") }, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct who j = joe(), a = alice(), s = stranger();

		if (who_fits(&rows[i].rule, &j) != rows[i].joe || who_fits(&rows[i].rule, &a) != rows[i].alice ||
		    who_fits(&rows[i].rule, &s) != rows[i].stranger)
			fail_msg("%s: joe %d, alice %d, stranger %d", rows[i].name, who_fits(&rows[i].rule, &j),
				 who_fits(&rows[i].rule, &a), who_fits(&rows[i].rule, &s));
	}
}

static void nobody_on_a_socket_is_in_a_network(void **state)
{
	struct who who = joe();
	struct config_who rule = { .networks = LIST("0.0.0.0/0", "::/0") };

	(void)state;
	who.host = "";
	assert_false(who_fits(&rule, &who));
}

static void without_a_uid_no_login_counts(void **state)
{
	struct who who = joe();
	struct config_who by_name = { .users = LIST("joe") }, by_uid = { .uids = LIST("1000", "joe", "*") },
			  by_gid = { .gids = LIST("100", "*") };

	(void)state;
	who.has_uid = false;
	assert_false(who_fits(&by_name, &who));
	assert_false(who_fits(&by_uid, &who));
	assert_false(who_fits(&by_gid, &who));
}

static void who_logs_in_is_still_the_uid_too(void **state)
{
	struct who who = joe();
	struct config_who rule = { .users = LIST("alice"), .uids = LIST("1000") };

	(void)state;
	who_set_user(&who, "alice");
	assert_true(who_fits(&rule, &who));
}

static void the_system_is_asked_for_name_and_groups(void **state)
{
	uid_t uid = getuid();
	const struct passwd *entry = getpwuid(uid);
	struct config_who own_group = { .gids = LIST("0") };
	char text[16];
	struct who who;

	(void)state;
	who_init(&who, "local", "", &uid);
	assert_true(who.has_uid);
	assert_int_equal(who.uid, uid);
	assert_string_equal(who.user, "");
	if (!entry)
		skip();
	assert_string_equal(who.login, entry->pw_name);
	assert_true(who.group_count > 0);
	snprintf(text, sizeof(text), "%lu", (unsigned long)entry->pw_gid);
	own_group.gids.list[0] = text;
	assert_true(who_fits(&own_group, &who));
}

static void a_uid_without_a_name_is_known_by_its_number(void **state)
{
	uid_t uid = 4000000000;
	struct who who;
	char text[WHO_TEXT_SIZE];

	(void)state;
	/* More of them than are remembered. */
	for (uid_t other = uid + 1; other < uid + 40; other++)
		who_init(&who, "local", "", &other);
	who_init(&who, "local", "", &uid);
	assert_string_equal(who.login, "");
	assert_int_equal(who.group_count, 0);
	assert_string_equal(who_text(&who, text, sizeof(text)), "uid 4000000000");
}

static void everybody_has_a_text(void **state)
{
	struct who who = joe();
	char text[WHO_TEXT_SIZE];

	(void)state;
	assert_string_equal(who_text(&who, text, sizeof(text)), "uid 1000 (joe)");
	who = alice();
	assert_string_equal(who_text(&who, text, sizeof(text)), "user alice");
	who = stranger();
	assert_string_equal(who_text(&who, text, sizeof(text)), "2001:db8::7");
	who.host = "";
	assert_string_equal(who_text(&who, text, sizeof(text)), "somebody unknown");
	assert_string_equal(who_text(&who, text, 5), "some");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_fits_when_each_of_its_lists_does),
		cmocka_unit_test(nobody_on_a_socket_is_in_a_network),
		cmocka_unit_test(without_a_uid_no_login_counts),
		cmocka_unit_test(who_logs_in_is_still_the_uid_too),
		cmocka_unit_test(the_system_is_asked_for_name_and_groups),
		cmocka_unit_test(a_uid_without_a_name_is_known_by_its_number),
		cmocka_unit_test(everybody_has_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
