#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "envelope.h"

#define LIST(...)                                                                                               \
	{                                                                                                       \
		(const char *[]){ __VA_ARGS__ }, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *) \
	}

static const char table[] = "root: me@example.com\n"
			    "staff: root, joe, ann@example.org\n"
			    "\"odd name\": odd@example.com\n"
			    "self: self, me@example.com\n"
			    "twice: joe, joe@localhost, joe@laptop.example.org\n"
			    "broken: :include:/nowhere\n"
			    "loop: pool\npool: loop\n";

struct fixture {
	struct aliases *aliases;
	struct mem_arena arena;
};

static int set_up(void **state)
{
	static struct fixture f;
	struct buf errors;

	buf_init(&errors, 65536);
	f.aliases = aliases_new();
	aliases_local(f.aliases, "laptop.example.org");
	aliases_read(f.aliases, "aliases", span_str(table), &errors);
	while (aliases_wanted(f.aliases))
		aliases_supply(f.aliases, aliases_wanted(f.aliases), NULL, "no such file", &errors);
	buf_fini(&errors);
	mem_arena_init(&f.arena, 1 << 20);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	aliases_unref(f->aliases);
	mem_arena_fini(&f->arena);
	return 0;
}

static struct config_submitter submitters[] = {
	{ .name = "web", .who = { .uids = LIST("33") }, .senders = LIST("*@shop.example.com") },
};
static struct config_identity identities[] = {
	{ .name = "cron", .who = { .users = LIST("root") }, .from = "alerts@example.com", .route = "lab" },
	{ .name = "sink", .who = { .uids = LIST("7") }, .to = "me@example.com" },
	{ .name = "gone", .who = { .uids = LIST("8") }, .from = "x@example.com", .route = "gone" },
};
static struct config_route routes[] = {
	{ .name = "lab", .to = LIST("*@lab") },
	{ .name = "work", .from = LIST("*@example.com") },
	{ .name = "rest", .to = LIST("*@*.com") },
};
static const struct config config = {
	.hostname = "laptop.example.org",
	.submitters = submitters,
	.submitter_count = 1,
	.identities = identities,
	.identity_count = 3,
	.routes = routes,
	.route_count = 3,
};

static struct who by_uid(uid_t uid, const char *login)
{
	struct who who = { .user = "", .host = "", .listener = "local", .has_uid = true, .uid = uid };

	strcpy(who.login, login);
	return who;
}

static void the_sender_is_qualified_checked_and_replaced(void **state)
{
	static const struct {
		const char *name;
		uid_t uid;
		const char *login, *sender;
		enum envelope_verdict verdict;
		const char *given, *address, *route;
	} rows[] = {
		{ "plain", 1000, "joe", "joe@x.org", ENVELOPE_OK, "joe@x.org", "joe@x.org", "" },
		{ "bare", 1000, "joe", "joe", ENVELOPE_OK, "joe@laptop.example.org", "joe@laptop.example.org", "" },
		{ "null", 0, "root", "", ENVELOPE_OK, "", "", "" },
		{ "identity", 0, "root", "root", ENVELOPE_OK, "root@laptop.example.org", "alerts@example.com", "lab" },
		{ "no address of its own", 7, "x", "x", ENVELOPE_OK, "x@laptop.example.org", "x@laptop.example.org",
		  "" },
		{ "allowed", 33, "www", "a@shop.example.com", ENVELOPE_OK, "a@shop.example.com", "a@shop.example.com",
		  "" },
		{ "not allowed", 33, "www", "a@example.com", ENVELOPE_NOT_ALLOWED, "a@example.com", "a@example.com",
		  "" },
		{ "null is allowed", 33, "www", "", ENVELOPE_OK, "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct who who = by_uid(rows[i].uid, rows[i].login);
		struct envelope_from from;
		enum envelope_verdict verdict = envelope_from(&config, &who, rows[i].sender, &from);

		if (verdict != rows[i].verdict || strcmp(from.given, rows[i].given) != 0 ||
		    strcmp(from.address, rows[i].address) != 0 || strcmp(from.route, rows[i].route) != 0)
			fail_msg("%s: %d, %s, %s, %s", rows[i].name, verdict, from.given, from.address, from.route);
	}
}

static void a_name_too_long_to_be_qualified_is_no_path(void **state)
{
	struct who who = by_uid(1000, "joe");
	struct envelope_from from;
	char sender[300], out[ADDRESS_SIZE];
	size_t most = ADDRESS_PATH_MAX - 2 - strlen("@laptop.example.org");

	(void)state;
	memset(sender, 'a', sizeof(sender));
	sender[most] = '\0';
	assert_int_equal(envelope_from(&config, &who, sender, &from), ENVELOPE_OK);
	assert_int_equal(strlen(from.given), ADDRESS_PATH_MAX - 2);
	sender[most] = 'a';
	sender[most + 1] = '\0';
	assert_int_equal(envelope_from(&config, &who, sender, &from), ENVELOPE_LONG);
	assert_false(envelope_qualify(&config, sender, out));
}

/* "address<line>[route]", "+" where it was the identity's; blank-separated. */
static const char *becomes(struct fixture *f, uid_t uid, const char *login, const char *recipient)
{
	static char text[512];
	struct who who = by_uid(uid, login);
	struct envelope_from from;
	struct envelope_to to = { 0 };

	text[0] = '\0';
	assert_int_equal(envelope_from(&config, &who, login, &from), ENVELOPE_OK);
	switch (envelope_to(&config, &from, f->aliases, recipient, &f->arena, &to)) {
	case ENVELOPE_OK: break;
	case ENVELOPE_NOT_ALLOWED: return "not allowed";
	case ENVELOPE_LONG: return "long";
	case ENVELOPE_MANY: return "many";
	case ENVELOPE_LOST: return "lost";
	}
	for (size_t i = 0; i < to.count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%s<%d>[%s]", i ? " " : "",
			 to.list[i].address, to.list[i].by_identity ? "+" : "", to.list[i].alias_line,
			 to.list[i].route ? to.list[i].route->name : "");
	return text;
}

static void each_recipient_becomes_what_the_rules_say(void **state)
{
	static const struct {
		uid_t uid;
		const char *login, *recipient, *expected;
	} rows[] = {
		{ 1000, "joe", "you@x.org", "you@x.org<0>[]" },
		{ 1000, "joe", "you@x.com", "you@x.com<0>[rest]" },
		{ 1000, "joe", "ann", "ann@laptop.example.org<0>[]" },
		{ 1000, "joe", "root", "me@example.com<1>[rest]" },
		{ 1000, "joe", "ROOT@Laptop.Example.Org", "me@example.com<1>[rest]" },
		{ 1000, "joe", "root@localhost", "me@example.com<1>[rest]" },
		{ 1000, "joe", "root@example.org", "root@example.org<0>[]" },
		{ 1000, "joe", "staff", "me@example.com<1>[rest] joe@laptop.example.org<2>[] ann@example.org<2>[]" },
		{ 1000, "joe", "\"odd name\"", "odd@example.com<3>[rest]" },
		{ 1000, "joe", "self", "self@laptop.example.org<4>[] me@example.com<4>[rest]" },
		{ 1000, "joe", "broken", "lost" },
		/* an identity's route */
		{ 0, "root", "you@x.org", "you@x.org<0>[lab]" },
		{ 0, "root", "root", "me@example.com<1>[lab]" },
		/* one that is not there */
		{ 8, "x", "you@x.com", "you@x.com<0>[work]" },
		/* an identity's `to` */
		{ 7, "x", "ann", "me@example.com+<0>[rest]" },
		{ 7, "x", "ann@localhost", "me@example.com+<0>[rest]" },
		{ 7, "x", "staff", "me@example.com<1>[rest] ann@example.org<2>[]" },
		{ 7, "x", "you@x.org", "you@x.org<0>[]" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = becomes(*state, rows[i].uid, rows[i].login, rows[i].recipient);

		if (strcmp(got, rows[i].expected) != 0)
			fail_msg("uid %u to %s: %s", (unsigned)rows[i].uid, rows[i].recipient, got);
	}
}

static void names_that_lead_to_one_address_are_one_recipient(void **state)
{
	const char *got = becomes(*state, 1000, "joe", "twice");

	if (strstr(got + 1, "joe@laptop.example.org<"))
		fail_msg("%s", got);
}

static void a_full_arena_is_too_many(void **state)
{
	struct fixture *f = *state;
	struct who who = by_uid(1000, "joe");
	struct envelope_from from;
	struct envelope_to to = { 0 };
	struct mem_arena small;

	mem_arena_init(&small, 64);
	assert_int_equal(envelope_from(&config, &who, "joe", &from), ENVELOPE_OK);
	assert_int_equal(envelope_to(&config, &from, f->aliases, "staff", &small, &to), ENVELOPE_MANY);
	assert_null(to.list);
	mem_arena_fini(&small);
}

static void without_aliases_names_stay(void **state)
{
	struct fixture *f = *state;
	struct who who = by_uid(1000, "joe");
	struct envelope_from from;
	struct envelope_to to = { 0 };

	assert_int_equal(envelope_from(&config, &who, "joe", &from), ENVELOPE_OK);
	assert_int_equal(envelope_to(&config, &from, NULL, "root", &f->arena, &to), ENVELOPE_OK);
	assert_int_equal(to.count, 1);
	assert_string_equal(to.list[0].address, "root@laptop.example.org");
	assert_null(to.list[0].alias_file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_sender_is_qualified_checked_and_replaced),
		TEST(a_name_too_long_to_be_qualified_is_no_path),
		TEST(each_recipient_becomes_what_the_rules_say),
		TEST(names_that_lead_to_one_address_are_one_recipient),
		TEST(a_full_arena_is_too_many),
		TEST(without_aliases_names_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
