#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "trust.h"

static const char *loopback[] = { "127.0.0.0/8", "::1" };

static struct config_trust rules(const char *uid, const char *gid)
{
	static const char *uids[1], *gids[1];

	uids[0] = uid;
	gids[0] = gid;
	return (struct config_trust){ .networks = { loopback, 2 },
				      .uids = { uids, uid != NULL },
				      .gids = { gids, gid != NULL } };
}

enum { NO_UID = -1 };

struct caller {
	struct trust_peer peer;
	const char *host;
	long uid; /* NO_UID: unknown */
	gid_t gid;
};

static bool judge(struct config_trust trust, struct caller caller)
{
	char why[200] = "";
	struct who who;
	bool trusted;

	who_init(&who, "local", caller.host ? caller.host : "", NULL);
	if (caller.uid != NO_UID) {
		who.has_uid = true;
		who.uid = (uid_t)caller.uid;
		who.groups[0] = caller.gid;
		who.group_count = 1;
	}
	trusted = trust_judge(&trust, &caller.peer, &who, why, sizeof(why));
	assert_int_equal(trusted, why[0] == '\0');
	return trusted;
}

static const struct trust_peer by_unix = { .is_unix = true }, by_loopback = { .is_loopback = true }, by_tcp = { 0 },
			       by_proxy = { .is_proxied = true }, by_check = { .is_proxied = true, .is_unnamed = true };

static void every_user_of_the_machine_is_trusted_by_default(void **state)
{
	(void)state;
	assert_true(judge(rules("*", NULL), (struct caller){ by_unix, "", 1000, 1000 }));
	assert_true(judge(rules("*", NULL), (struct caller){ by_loopback, "127.0.0.1", 33, 33 }));
}

static void a_loopback_client_without_a_known_uid_is_a_network_client(void **state)
{
	(void)state;
	assert_true(judge(rules("*", NULL), (struct caller){ by_loopback, "::1", NO_UID, 0 }));
	assert_true(judge(rules(NULL, "*"), (struct caller){ by_loopback, "::1", NO_UID, 0 }));
}

static void a_uid_that_is_not_listed_is_refused_on_every_way_in(void **state)
{
	(void)state;
	assert_true(judge(rules("1000", NULL), (struct caller){ by_unix, "", 1000, 1 }));
	assert_false(judge(rules("1000", NULL), (struct caller){ by_unix, "", 0, 0 }));
	assert_false(judge(rules("1000", NULL), (struct caller){ by_loopback, "127.0.0.1", 1001, 1 }));
	assert_false(judge(rules(NULL, NULL), (struct caller){ by_unix, "", 1000, 1 }));
}

static void a_group_lets_in_beside_the_users(void **state)
{
	(void)state;
	assert_true(judge(rules("1000", "50"), (struct caller){ by_unix, "", 7, 50 }));
	assert_true(judge(rules("1000", "50"), (struct caller){ by_unix, "", 1000, 7 }));
	assert_true(judge(rules(NULL, "50"), (struct caller){ by_loopback, "127.0.0.1", 7, 50 }));
	assert_false(judge(rules("1000", "50"), (struct caller){ by_unix, "", 7, 51 }));
}

static void nobody_gets_in_by_hiding_who_they_are(void **state)
{
	(void)state;
	/* Its socket was closed before it was asked about. */
	assert_false(judge(rules("1000", NULL), (struct caller){ by_loopback, "127.0.0.1", NO_UID, 0 }));
	assert_false(judge(rules(NULL, "50"), (struct caller){ by_loopback, "127.0.0.1", NO_UID, 0 }));
	assert_false(judge(rules("*", NULL), (struct caller){ by_unix, "", NO_UID, 0 }));
}

static void nobody_escapes_the_rules_about_users_by_hiding_who_they_are(void **state)
{
	struct config_trust trust = rules("*", "*");

	(void)state;
	trust.tells_users_apart = true;
	assert_false(judge(trust, (struct caller){ by_loopback, "127.0.0.1", NO_UID, 0 }));
	assert_true(judge(trust, (struct caller){ by_loopback, "127.0.0.1", 1000, 0 }));
}

static void users_may_be_listed_by_name(void **state)
{
	char why[200];
	struct config_trust trust = rules("root", NULL);
	uid_t root = 0;
	struct who who;

	(void)state;
	who_init(&who, "local", "", &root);
	assert_true(trust_judge(&trust, &by_unix, &who, why, sizeof(why)));
	trust = rules("no-such-user-here", NULL);
	assert_false(trust_judge(&trust, &by_unix, &who, why, sizeof(why)));
}

static void a_stranger_is_refused_whatever_it_claims(void **state)
{
	(void)state;
	assert_false(judge(rules("*", NULL), (struct caller){ by_tcp, "192.0.2.7", NO_UID, 0 }));
	assert_false(judge(rules("*", NULL), (struct caller){ by_tcp, "192.0.2.7", 0, 0 }));
	assert_false(judge(rules("*", NULL), (struct caller){ by_tcp, "128.0.0.1", NO_UID, 0 }));
	assert_false(judge(rules("*", NULL), (struct caller){ by_tcp, "", NO_UID, 0 }));
}

static void a_network_may_be_one_loopback_address(void **state)
{
	static const char *one[] = { "127.0.0.1/32" };
	struct config_trust trust = rules("*", NULL);

	(void)state;
	trust.networks = (struct config_strings){ one, 1 };
	assert_true(judge(trust, (struct caller){ by_loopback, "127.0.0.1", 1000, 1 }));
	assert_false(judge(trust, (struct caller){ by_loopback, "127.0.0.2", 1000, 1 }));
	assert_false(judge(trust, (struct caller){ by_loopback, "::1", 1000, 1 }));
}

static void a_proxy_makes_nobody_local(void **state)
{
	static const char *office[] = { "192.0.2.0/24", "127.0.0.0/8" };
	struct config_trust trust = rules("*", NULL);

	(void)state;
	trust.networks = (struct config_strings){ office, 2 };
	assert_true(judge(trust, (struct caller){ by_proxy, "192.0.2.7", NO_UID, 0 }));
	assert_false(judge(trust, (struct caller){ by_proxy, "127.0.0.1", NO_UID, 0 }));
	assert_false(judge(trust, (struct caller){ by_proxy, "::1", NO_UID, 0 }));
	assert_false(judge(trust, (struct caller){ by_proxy, "198.51.100.1", NO_UID, 0 }));
	assert_false(judge(trust, (struct caller){ by_check, "192.0.2.7", NO_UID, 0 }));
}

static void a_submitter_is_named_after_the_best_that_is_known(void **state)
{
	char name[TRUST_NAME_SIZE], other[TRUST_NAME_SIZE], longer[400];
	uid_t uid = 4000000;
	struct who who;

	(void)state;
	who_init(&who, "office", "192.0.2.7", NULL);
	trust_name(&who, false, name);
	assert_string_equal(name, "net:192.0.2.7");
	who_set_user(&who, "alice");
	trust_name(&who, false, name);
	assert_string_equal(name, "user:alice");
	trust_name(&who, true, name);
	assert_string_equal(name, "cert:alice");
	who_init(&who, "local", "", &uid);
	trust_name(&who, false, name);
	assert_string_equal(name, "uid:4000000");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	who_set_user(&who, longer);
	trust_name(&who, false, name);
	longer[sizeof(longer) - 2] = 'y';
	trust_name(&who, false, other);
	assert_string_not_equal(name, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_user_of_the_machine_is_trusted_by_default),
		cmocka_unit_test(a_loopback_client_without_a_known_uid_is_a_network_client),
		cmocka_unit_test(a_uid_that_is_not_listed_is_refused_on_every_way_in),
		cmocka_unit_test(a_group_lets_in_beside_the_users),
		cmocka_unit_test(nobody_gets_in_by_hiding_who_they_are),
		cmocka_unit_test(nobody_escapes_the_rules_about_users_by_hiding_who_they_are),
		cmocka_unit_test(users_may_be_listed_by_name),
		cmocka_unit_test(a_stranger_is_refused_whatever_it_claims),
		cmocka_unit_test(a_network_may_be_one_loopback_address),
		cmocka_unit_test(a_proxy_makes_nobody_local),
		cmocka_unit_test(a_submitter_is_named_after_the_best_that_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
