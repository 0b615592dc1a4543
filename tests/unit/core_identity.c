#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "identity.h"

#define LIST(...)                                                                                               \
	{                                                                                                       \
		(const char *[]){ __VA_ARGS__ }, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *) \
	}

static struct who by_login(const char *login)
{
	struct who who = { .user = "", .host = "", .listener = "local", .has_uid = true, .uid = 7 };

	strcpy(who.login, login);
	return who;
}

static void the_first_submitter_that_fits_counts(void **state)
{
	struct config_submitter submitters[] = {
		{ .name = "web", .who = { .users = LIST("www-data") } },
		{ .name = "web again", .who = { .users = LIST("www-data", "joe") } },
	};
	struct config config = { .submitters = submitters, .submitter_count = 2 };
	struct who www = by_login("www-data"), joe = by_login("joe"), root = by_login("root");

	(void)state;
	assert_string_equal(identity_submitter(&config, &www)->name, "web");
	assert_string_equal(identity_submitter(&config, &joe)->name, "web again");
	assert_null(identity_submitter(&config, &root));
}

static void senders_bind_all_but_the_null_sender(void **state)
{
	struct config_submitter any = { .name = "any" },
				own = { .name = "own", .senders = LIST("*@example.com", "joe@*") };

	(void)state;
	assert_true(identity_allows(NULL, "x@y"));
	assert_true(identity_allows(&any, "x@y"));
	assert_true(identity_allows(&own, "boss@EXAMPLE.com"));
	assert_true(identity_allows(&own, "joe@elsewhere"));
	assert_true(identity_allows(&own, ""));
	assert_false(identity_allows(&own, "boss@example.com.evil"));
	assert_false(identity_allows(&own, "x@y"));
}

static void an_identity_is_found_by_person_and_sender(void **state)
{
	struct config_identity identities[] = {
		{ .name = "cron",
		  .who = { .users = LIST("root") },
		  .senders = LIST("root@*"),
		  .from = "alerts@example.com" },
		{ .name = "phone", .senders = LIST("+49*"), .from = "me@example.com", .envelope = "b@example.com" },
		{ .name = "root", .who = { .users = LIST("root") }, .to = "me@example.com" },
	};
	struct config config = { .identities = identities, .identity_count = 3 };
	struct who root = by_login("root"), joe = by_login("joe");

	(void)state;
	assert_string_equal(identity_find(&config, &root, "root@laptop")->name, "cron");
	assert_string_equal(identity_find(&config, &root, "other@laptop")->name, "root");
	assert_string_equal(identity_find(&config, &joe, "+49123@laptop")->name, "phone");
	assert_null(identity_find(&config, &joe, "joe@laptop"));
	assert_null(identity_find(&config, &root, ""));
	assert_string_equal(identity_sender(&identities[0], "root@laptop"), "alerts@example.com");
	assert_string_equal(identity_sender(&identities[1], "+49123@laptop"), "b@example.com");
	assert_string_equal(identity_sender(&identities[2], "other@laptop"), "other@laptop");
	assert_string_equal(identity_sender(&identities[0], ""), "");
	assert_string_equal(identity_sender(NULL, "joe@laptop"), "joe@laptop");
}

static void local_names_are_this_machines(void **state)
{
	static const struct {
		const char *address;
		bool is_local;
	} rows[] = {
		{ "root", true },
		{ "root@laptop.example.org", true },
		{ "root@LAPTOP.Example.org", true },
		{ "root@localhost", true },
		{ "root@localhost.localdomain", true },
		{ "\"odd@name\"", true },
		{ "root@example.org", false },
		{ "root@xlaptop.example.org", false },
		{ "\"x@localhost\"@example.org", false },
		{ "root@localhost.example.org", false },
	};
	struct config config = { .hostname = "laptop.example.org" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (identity_is_local(&config, rows[i].address) != rows[i].is_local)
			fail_msg("%s", rows[i].address);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_submitter_that_fits_counts),
		cmocka_unit_test(senders_bind_all_but_the_null_sender),
		cmocka_unit_test(an_identity_is_found_by_person_and_sender),
		cmocka_unit_test(local_names_are_this_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
