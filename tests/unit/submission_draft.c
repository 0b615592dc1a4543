/* What the rules make of an envelope, and what the queue is told of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "submission/draft.h"

enum { HOUR = 3600000, DAY = 86400000 };

static const int64_t wall = INT64_C(1764000000000);

static const char *shop[] = { "*@shop.example.com", "info@example.com" }, *lab[] = { "*@lab.example" };

struct bench {
	struct config config;
	struct config_submitter submitter;
	struct config_identity identity;
	struct config_route routes[2];
	struct aliases *aliases;
	struct who who;
	struct draft *draft;
	struct server_envelope envelope;
	struct server_reply reply;
	struct fixup_facts facts;
	struct queue_envelope sealed;
	const struct queue_rcpt *rcpts;
};

static void read_aliases(struct bench *b, const char *text)
{
	struct buf errors;

	buf_init(&errors, 4096);
	b->aliases = aliases_new();
	aliases_read(b->aliases, "/etc/aliases", span_str(text), &errors);
	assert_string_equal(buf_cstr(&errors), "");
	buf_fini(&errors);
}

static int set_up(void **state)
{
	struct bench *b = MEM_NEW(struct bench);

	b->routes[0] = (struct config_route){
		.name = "lab", .to = { lab, 1 }, .target = "lab", .lifetime_ms = HOUR, .warn_after_ms = HOUR / 2
	};
	b->routes[1] = (struct config_route){
		.name = "rest", .target = "home", .lifetime_ms = 5 * DAY, .warn_after_ms = 4 * HOUR
	};
	b->config = (struct config){ .references = 1,
				     .hostname = "agent.example.org",
				     .routes = b->routes,
				     .route_count = 2,
				     .submitters = &b->submitter,
				     .identities = &b->identity };
	b->submitter =
		(struct config_submitter){ .name = "web", .at = { "/etc/sendoff.conf", 7 }, .senders = { shop, 2 } };
	who_init(&b->who, "office", "192.0.2.7", NULL);
	b->envelope = (struct server_envelope){ .sender = "alice@example.org", .envid = "" };
	b->facts = (struct fixup_facts){ .message_id = "", .subject = "" };
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	draft_free(b->draft);
	aliases_unref(b->aliases);
	mem_free(b);
	return 0;
}

static bool begin(struct bench *b)
{
	draft_free(b->draft);
	b->draft = draft_new(&b->config, b->aliases, wall);
	return draft_sender(b->draft, &b->who, &b->envelope, &b->reply);
}

static bool to_with(struct bench *b, const char *address, uint8_t notify, const char *orcpt)
{
	struct server_rcpt rcpt = { .address = address, .notify = notify, .orcpt = orcpt };

	return draft_to(b->draft, &rcpt, 10, &b->reply);
}

static bool to(struct bench *b, const char *address)
{
	return to_with(b, address, 0, "");
}

static void seal(struct bench *b)
{
	b->rcpts = draft_seal(b->draft,
			      &(struct draft_end){ .routes = &b->config,
						   .envelope = &b->envelope,
						   .facts = &b->facts,
						   .id = 1,
						   .submitter = "net:192.0.2.7",
						   .uid = UINT32_MAX,
						   .origin = "office",
						   .wall_ms = wall + 1000 },
			      &b->sealed);
}

/* "a@example.org b@example.net": all recipients, in order. */
static const char *addresses(struct bench *b)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < draft_count(b->draft); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", b->rcpts[i].address);
	return text;
}

static void a_plain_envelope_goes_as_it_came(void **state)
{
	struct bench *b = *state;

	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	assert_true(to(b, "carol@lab.example"));
	seal(b);
	assert_string_equal(b->sealed.sender, "alice@example.org");
	assert_string_equal(addresses(b), "bob@example.net carol@lab.example");
	assert_string_equal(b->rcpts[0].orcpt, "");
	assert_string_equal(b->rcpts[0].flow.target, "home");
	assert_string_equal(b->rcpts[1].flow.target, "lab");
	assert_int_equal(b->rcpts[0].flow.band, 1);
	assert_int_equal(b->sealed.flags, 0);
	assert_int_equal(b->sealed.body, QUEUE_BODY_7BIT);
	/* The most patient route, the first to warn. */
	assert_int_equal(b->sealed.expires_ms - wall - 1000, 5 * (int64_t)DAY);
	assert_int_equal(b->sealed.warn_ms - wall - 1000, HOUR / 2);
	assert_int_equal(b->rcpts[0].due_ms, wall + 1000);
}

static void bare_names_are_this_machines(void **state)
{
	struct bench *b = *state;

	b->envelope.sender = "cron";
	assert_true(begin(b));
	assert_true(to(b, "root"));
	assert_true(to(b, "postmaster"));
	seal(b);
	assert_string_equal(b->sealed.sender, "cron@agent.example.org");
	assert_string_equal(addresses(b), "root@agent.example.org postmaster@agent.example.org");
	/* What the report is to name. */
	assert_string_equal(b->rcpts[0].orcpt, "");
}

static void bare_names_follow_the_aliases(void **state)
{
	struct bench *b = *state;

	read_aliases(b, "root: me@example.com, bob@example.net\npostmaster: root\n");
	assert_true(begin(b));
	assert_true(to(b, "root"));
	assert_true(to(b, "postmaster@agent.example.org"));
	assert_true(to(b, "root@localhost"));
	assert_true(to(b, "bob@example.net"));
	assert_true(to(b, "nobody"));
	seal(b);
	assert_string_equal(addresses(b), "me@example.com bob@example.net nobody@agent.example.org");
	assert_string_equal(b->rcpts[0].orcpt, "rfc822;root@agent.example.org");
	assert_string_equal(b->rcpts[2].orcpt, "");
}

static void an_orcpt_of_the_clients_stays(void **state)
{
	struct bench *b = *state;

	read_aliases(b, "root: me@example.com\n");
	assert_true(begin(b));
	assert_true(to_with(b, "root", SERVER_NOTIFY_NEVER, "rfc822;first@example.org"));
	assert_true(
		to_with(b, "carol@example.net", SERVER_NOTIFY_SUCCESS | SERVER_NOTIFY_DELAY, "rfc822;c@example.org"));
	seal(b);
	assert_string_equal(b->rcpts[0].orcpt, "rfc822;first@example.org");
	assert_int_equal(b->rcpts[0].notify, QUEUE_NOTIFY_NEVER);
	assert_string_equal(b->rcpts[1].orcpt, "rfc822;c@example.org");
	assert_int_equal(b->rcpts[1].notify, QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY);
}

static void a_recipient_named_twice_gets_it_once(void **state)
{
	static const struct {
		uint8_t first, second, both;
	} rows[] = {
		{ 0, 0, 0 },
		{ SERVER_NOTIFY_NEVER, SERVER_NOTIFY_NEVER, SERVER_NOTIFY_NEVER },
		{ SERVER_NOTIFY_NEVER, 0, SERVER_NOTIFY_FAILURE | SERVER_NOTIFY_DELAY },
		{ SERVER_NOTIFY_NEVER, SERVER_NOTIFY_SUCCESS, SERVER_NOTIFY_SUCCESS },
		{ SERVER_NOTIFY_SUCCESS, 0, SERVER_NOTIFY_SUCCESS | SERVER_NOTIFY_FAILURE | SERVER_NOTIFY_DELAY },
		{ SERVER_NOTIFY_FAILURE, SERVER_NOTIFY_SUCCESS, SERVER_NOTIFY_SUCCESS | SERVER_NOTIFY_FAILURE },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(begin(b));
		assert_true(to_with(b, "Bob@example.net", rows[i].first, ""));
		assert_true(to_with(b, "Bob@EXAMPLE.net", rows[i].second, ""));
		assert_true(to_with(b, "bob@example.net", 0, "")); /* perhaps somebody else */
		seal(b);
		assert_string_equal(addresses(b), "Bob@example.net bob@example.net");
		assert_int_equal(b->rcpts[0].notify, rows[i].both);
	}
}

static void domains_in_other_letters_are_the_same(void **state)
{
	struct bench *b = *state;

	assert_true(begin(b));
	assert_true(to(b, "bob@b\xc3\xbc"
			  "cher.example"));
	assert_true(to(b, "bob@xn--bcher-kva.example"));
	seal(b);
	assert_int_equal(draft_count(b->draft), 1);
}

static void the_number_of_recipients_counts_what_aliases_lead_to(void **state)
{
	struct bench *b = *state;

	read_aliases(b, "team: a@x.example, b@x.example, c@x.example, d@x.example, e@x.example, f@x.example\n"
			"all: team, g@x.example, h@x.example, i@x.example, j@x.example, k@x.example\n");
	assert_true(begin(b));
	assert_true(to(b, "team"));
	assert_true(to(b, "team"));
	for (int i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), "r%d@example.net", i);
		assert_true(to(b, name));
	}
	assert_false(to(b, "one-more@example.net"));
	assert_int_equal(b->reply.code, 452);
	assert_true(to(b, "a@x.example")); /* is in it */
	assert_int_equal(draft_count(b->draft), 10);
	/* Alone it will never do. */
	assert_true(begin(b));
	assert_false(to(b, "all"));
	assert_int_equal(b->reply.code, 550);
	assert_int_equal(draft_count(b->draft), 0);
	assert_true(to(b, "g@x.example"));
	seal(b);
	assert_string_equal(addresses(b), "g@x.example");
}

static void thousands_of_recipients_are_found_again(void **state)
{
	struct bench *b = *state;
	struct server_reply reply;
	char name[32];

	assert_true(begin(b));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 5000; i++) {
			struct server_rcpt rcpt = { .address = name };

			snprintf(name, sizeof(name), "r%d@example.net", i);
			assert_true(draft_to(b->draft, &rcpt, 5000, &reply));
		}
	assert_int_equal(draft_count(b->draft), 5000);
	draft_cut(b->draft, 17);
	assert_int_equal(draft_count(b->draft), 17);
	snprintf(name, sizeof(name), "r16@example.net");
	assert_true(draft_to(b->draft, &(struct server_rcpt){ .address = name }, 17, &reply));
	snprintf(name, sizeof(name), "r17@example.net");
	assert_false(draft_to(b->draft, &(struct server_rcpt){ .address = name }, 17, &reply));
}

static void an_alias_in_a_circle_is_told_at_once(void **state)
{
	struct bench *b = *state;

	read_aliases(b, "gone: :include:/nowhere\n");
	while (aliases_wanted(b->aliases)) {
		struct buf errors;

		buf_init(&errors, 4096);
		aliases_supply(b->aliases, aliases_wanted(b->aliases), NULL, "no such file", &errors);
		buf_fini(&errors);
	}
	assert_true(begin(b));
	assert_false(to(b, "gone"));
	assert_int_equal(b->reply.code, 451);
	assert_string_equal(b->reply.text, "the alias <gone> leads to no address: its line is wrong, or a file that it "
					   "includes is empty or cannot be read; `sendoff status` says more");
	assert_int_equal(draft_count(b->draft), 0);
}

static void a_sender_that_is_not_theirs_is_refused_with_the_rule(void **state)
{
	struct bench *b = *state;

	b->config.submitter_count = 1;
	assert_false(begin(b));
	assert_int_equal(b->reply.code, 553);
	assert_string_equal(b->reply.status, "5.7.1");
	assert_string_equal(b->reply.text,
			    "192.0.2.7 may not send as <alice@example.org>; allowed are *@shop.example.com, "
			    "info@example.com (submitter \"web\" at /etc/sendoff.conf:7)");
	b->envelope.sender = "x@SHOP.example.com";
	assert_true(begin(b));
	b->envelope.sender = "";
	assert_true(begin(b));
	b->envelope.sender = "bare";
	assert_false(begin(b));
}

static void an_identity_gives_the_sender_and_the_way(void **state)
{
	struct bench *b = *state;

	b->identity = (struct config_identity){
		.from = "alerts@example.com", .envelope = "bounces@example.com", .to = "me@example.com", .route = "lab"
	};
	b->config.identity_count = 1;
	b->envelope.sender = "root";
	assert_true(begin(b));
	assert_true(to(b, "root"));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_string_equal(b->sealed.sender, "bounces@example.com");
	assert_string_equal(b->sealed.route, "lab");
	assert_string_equal(addresses(b), "me@example.com bob@example.net");
	assert_string_equal(b->rcpts[0].orcpt, "rfc822;root@agent.example.org");
	assert_string_equal(b->rcpts[1].flow.target, "lab");
}

static void the_null_sender_stays_whoever_sends(void **state)
{
	struct bench *b = *state;

	b->identity = (struct config_identity){ .from = "alerts@example.com", .to = "me@example.com" };
	b->config.identity_count = 1;
	b->envelope.sender = "";
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_string_equal(b->sealed.sender, "");
	assert_string_equal(b->sealed.route, "");
}

static void a_name_too_long_with_the_machines_is_refused(void **state)
{
	struct bench *b = *state;
	char host[256];

	memset(host, 'h', 250);
	host[250] = '\0';
	b->config.hostname = host;
	b->envelope.sender = "somebody";
	assert_false(begin(b));
	assert_int_equal(b->reply.code, 553);
	assert_string_equal(b->reply.status, "5.1.7");
	b->envelope.sender = "";
	assert_true(begin(b));
	assert_false(to(b, "somebody"));
	assert_string_equal(b->reply.status, "5.1.3");
}

static void priorities_become_bands(void **state)
{
	static const int8_t given[] = { -9, -1, 0, 1, 9 };
	static const uint8_t band[] = { 2, 2, 1, 0, 0 };
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(given); i++) {
		b->envelope.priority = given[i];
		assert_true(begin(b));
		assert_true(to(b, "bob@example.net"));
		seal(b);
		assert_int_equal(b->rcpts[0].flow.band, band[i]);
		assert_int_equal(b->sealed.priority, given[i]);
	}
}

static void a_held_message_lives_from_its_release_on(void **state)
{
	struct bench *b = *state;

	b->envelope.hold_for_ms = 10 * (int64_t)DAY;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_true(b->sealed.hold_until_ms == wall + 10 * (int64_t)DAY);
	assert_true(b->rcpts[0].due_ms == b->sealed.hold_until_ms);
	assert_int_equal(b->sealed.expires_ms - b->sealed.hold_until_ms, 5 * (int64_t)DAY);
	assert_int_equal(b->sealed.warn_ms - b->sealed.hold_until_ms, 4 * HOUR);
	b->envelope.hold_for_ms = 0;
	b->envelope.hold_until_ms = wall + HOUR;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_true(b->sealed.hold_until_ms == wall + HOUR);
	b->envelope.hold_until_ms = wall - HOUR; /* has passed */
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_int_equal(b->sealed.hold_until_ms, 0);
	assert_true(b->rcpts[0].due_ms == wall + 1000);
}

static void nothing_is_held_for_longer_than_was_promised(void **state)
{
	struct bench *b = *state;

	b->envelope.hold_until_ms = wall + DRAFT_HOLD_MAX_DAYS * (int64_t)DAY;
	assert_true(begin(b));
	b->envelope.hold_until_ms++;
	assert_false(begin(b));
	assert_int_equal(b->reply.code, 501);
	b->envelope.hold_until_ms = 0;
	b->envelope.hold_for_ms = DRAFT_HOLD_MAX_DAYS * (int64_t)DAY + 1;
	assert_false(begin(b));
}

static void deliver_by_is_an_end_or_a_warning(void **state)
{
	struct bench *b = *state;

	b->envelope.by = SERVER_BY_RETURN;
	b->envelope.by_trace = true;
	b->envelope.by_ms = HOUR;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_int_equal(b->sealed.flags, QUEUE_BY_RETURN | QUEUE_BY_TRACE);
	assert_true(b->sealed.deliver_by_ms == wall + HOUR && b->sealed.expires_ms == wall + HOUR);
	b->envelope.by_ms = 30 * (int64_t)DAY;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_true(b->sealed.expires_ms == wall + 1000 + 5 * (int64_t)DAY);
	b->envelope.by = SERVER_BY_NOTIFY;
	b->envelope.by_ms = HOUR;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_int_equal(b->sealed.flags, QUEUE_BY_NOTIFY | QUEUE_BY_TRACE);
	assert_true(b->sealed.warn_ms == wall + HOUR);
	assert_true(b->sealed.expires_ms == wall + 1000 + 5 * (int64_t)DAY);
	/* Whoever had it when the time passed has told. */
	b->envelope.by_ms = -HOUR;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_true(b->sealed.deliver_by_ms == wall - HOUR);
	assert_true(b->sealed.warn_ms == wall + 1000 + 4 * (int64_t)HOUR);
}

static void a_message_must_not_be_due_before_it_is_released(void **state)
{
	struct bench *b = *state;

	b->envelope.hold_for_ms = 2 * HOUR;
	b->envelope.by = SERVER_BY_RETURN;
	b->envelope.by_ms = HOUR;
	assert_false(begin(b));
	assert_int_equal(b->reply.code, 501);
	b->envelope.by_ms = 3 * HOUR;
	assert_true(begin(b));
}

static void smtputf8_is_asked_only_where_it_is_needed(void **state)
{
	struct bench *b = *state;

	b->envelope.smtputf8 = b->envelope.has_8bit = true;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_int_equal(b->sealed.flags, 0);
	assert_int_equal(b->sealed.body, QUEUE_BODY_8BIT);
	assert_true(to(b, "j\xc3\xb6rg@example.net"));
	seal(b);
	assert_int_equal(b->sealed.flags, QUEUE_SMTPUTF8);
	/* An alias may need it, whatever the client said. */
	b->envelope.smtputf8 = false;
	read_aliases(b, "root: j\xc3\xb6rg@example.net\n");
	assert_true(begin(b));
	assert_true(to(b, "root"));
	seal(b);
	assert_int_equal(b->sealed.flags, QUEUE_SMTPUTF8);
}

static void the_rest_is_handed_on(void **state)
{
	struct bench *b = *state;

	b->envelope.envid = "QQ314159";
	b->envelope.ret = SERVER_RET_HDRS;
	b->envelope.requiretls = true;
	b->envelope.body = SERVER_BODY_BINARYMIME;
	assert_true(begin(b));
	assert_true(to(b, "bob@example.net"));
	seal(b);
	assert_string_equal(b->sealed.envid, "QQ314159");
	assert_int_equal(b->sealed.ret, QUEUE_RET_HDRS);
	assert_int_equal(b->sealed.flags, QUEUE_REQUIRETLS);
	assert_int_equal(b->sealed.body, QUEUE_BODY_BINARY);
	b->envelope.body = SERVER_BODY_7BIT;
	b->envelope.has_nul = true;
	seal(b);
	assert_int_equal(b->sealed.body, QUEUE_BODY_BINARY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_plain_envelope_goes_as_it_came),
		TEST(bare_names_are_this_machines),
		TEST(bare_names_follow_the_aliases),
		TEST(an_orcpt_of_the_clients_stays),
		TEST(a_recipient_named_twice_gets_it_once),
		TEST(domains_in_other_letters_are_the_same),
		TEST(the_number_of_recipients_counts_what_aliases_lead_to),
		TEST(thousands_of_recipients_are_found_again),
		TEST(an_alias_in_a_circle_is_told_at_once),
		TEST(a_sender_that_is_not_theirs_is_refused_with_the_rule),
		TEST(an_identity_gives_the_sender_and_the_way),
		TEST(the_null_sender_stays_whoever_sends),
		TEST(a_name_too_long_with_the_machines_is_refused),
		TEST(priorities_become_bands),
		TEST(a_held_message_lives_from_its_release_on),
		TEST(nothing_is_held_for_longer_than_was_promised),
		TEST(deliver_by_is_an_end_or_a_warning),
		TEST(a_message_must_not_be_due_before_it_is_released),
		TEST(smtputf8_is_asked_only_where_it_is_needed),
		TEST(the_rest_is_handed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
