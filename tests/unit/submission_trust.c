#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "submission/trust.h"

static const char *const loopback[] = { "127.0.0.0/8", "::1" };

static struct trust *make(const char *uid)
{
	static const char *uids[1];
	struct config_trust config = { .networks = { (const char **)loopback, 2 } };

	uids[0] = uid;
	config.uids.list = uids;
	config.uids.count = uid ? 1 : 0;
	return trust_new(&config);
}

static bool judge(struct trust *trust, struct trust_peer peer, struct trust_submitter *out)
{
	char why[160] = "";
	bool trusted = trust_judge(trust, &peer, out, why, sizeof(why));

	assert_int_equal(trusted, why[0] == '\0');
	return trusted;
}

static void every_user_of_the_machine_is_trusted_by_default(void **state)
{
	struct trust *trust = make("*");
	struct trust_submitter who;

	(void)state;
	assert_true(
		judge(trust, (struct trust_peer){ .is_unix = true, .has_uid = true, .uid = 1000, .host = "" }, &who));
	assert_string_equal(who.name, "uid:1000");
	assert_int_equal(who.uid, 1000);
	assert_true(judge(trust, (struct trust_peer){ .has_uid = true, .uid = 33, .host = "127.0.0.1" }, &who));
	assert_string_equal(who.name, "uid:33");
	trust_free(trust);
}

static void a_loopback_client_without_a_known_uid_is_a_network_client(void **state)
{
	struct trust *trust = make("*");
	struct trust_submitter who;

	(void)state;
	assert_true(judge(trust, (struct trust_peer){ .is_loopback = true, .host = "::1" }, &who));
	assert_string_equal(who.name, "net:::1");
	assert_int_equal(who.uid, UINT32_MAX);
	trust_free(trust);
}

static void a_uid_that_is_not_listed_is_refused_on_every_way_in(void **state)
{
	struct trust *trust = make("1000");
	struct trust_submitter who;

	(void)state;
	assert_true(
		judge(trust, (struct trust_peer){ .is_unix = true, .has_uid = true, .uid = 1000, .host = "" }, &who));
	assert_false(judge(trust, (struct trust_peer){ .is_unix = true, .has_uid = true, .uid = 0, .host = "" }, &who));
	assert_false(judge(trust, (struct trust_peer){ .has_uid = true, .uid = 1001, .host = "127.0.0.1" }, &who));
	trust_free(trust);
}

static void nobody_gets_in_by_hiding_who_they_are(void **state)
{
	struct trust *trust = make("1000");
	struct trust_submitter who;

	(void)state;
	/* Its socket was closed before it was asked about. */
	assert_false(judge(trust, (struct trust_peer){ .is_loopback = true, .host = "127.0.0.1" }, &who));
	trust_free(trust);
}

static void users_may_be_listed_by_name(void **state)
{
	struct trust *trust = make("root");
	struct trust_submitter who;

	(void)state;
	assert_true(judge(trust, (struct trust_peer){ .is_unix = true, .has_uid = true, .uid = 0, .host = "" }, &who));
	trust_free(trust);
	trust = make("no-such-user-here");
	assert_false(judge(trust, (struct trust_peer){ .is_unix = true, .has_uid = true, .uid = 0, .host = "" }, &who));
	trust_free(trust);
}

static void a_stranger_is_refused_whatever_it_claims(void **state)
{
	struct trust *trust = make("*");
	struct trust_submitter who;

	(void)state;
	assert_false(judge(trust, (struct trust_peer){ .host = "192.0.2.7" }, &who));
	assert_false(judge(trust, (struct trust_peer){ .has_uid = true, .uid = 0, .host = "192.0.2.7" }, &who));
	assert_false(judge(trust, (struct trust_peer){ .host = "128.0.0.1" }, &who));
	assert_false(judge(trust, (struct trust_peer){ .host = "" }, &who));
	assert_false(judge(trust, (struct trust_peer){ .is_unix = true, .host = "" }, &who));
	trust_free(trust);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_user_of_the_machine_is_trusted_by_default),
		cmocka_unit_test(a_loopback_client_without_a_known_uid_is_a_network_client),
		cmocka_unit_test(a_uid_that_is_not_listed_is_refused_on_every_way_in),
		cmocka_unit_test(nobody_gets_in_by_hiding_who_they_are),
		cmocka_unit_test(users_may_be_listed_by_name),
		cmocka_unit_test(a_stranger_is_refused_whatever_it_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
