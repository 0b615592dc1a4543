/* The filter grammar: what is understood, what is refused, what fits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "control/filter.h"

enum { NOW = 100000000 };

struct pair {
	const char *name, *value;
};

/* Everything of a row is said; the list ends with a NULL name. */
static void say(struct filter *f, const struct pair *pairs)
{
	filter_init(f);
	for (; pairs->name; pairs++) {
		const char *wrong = filter_set(f, pairs->name, pairs->value);

		if (wrong)
			fail_msg("--%s %s: %s", pairs->name, pairs->value ? pairs->value : "", wrong);
	}
}

static struct queue_envelope some_message(void)
{
	return (struct queue_envelope){
		.id = 42, .arrival_ms = NOW - 60 * 60 * 1000, .sender = "Alice@Example.org", .submitter = "uid:1000"
	};
}

static struct queue_rcpt some_rcpt(void)
{
	return (struct queue_rcpt){ .n = 3,
				    .address = "bob@lab.internal",
				    .state = QUEUE_RCPT_WAITING,
				    .flow = { .target = "work=3,mx:example.net=1,backup" },
				    .reply = "450 4.2.0 Greylisted, come back",
				    .host = "mx.lab.internal [192.0.2.1]" };
}

static void messages_are_chosen_by_sender_submitter_and_age(void **state)
{
	static const struct {
		const char *name;
		struct pair said[3];
		bool fits;
	} rows[] = {
		{ "nothing said", { { NULL, NULL } }, true },
		{ "sender by glob, case folded", { { "from", "*@example.ORG" } }, true },
		{ "another sender", { { "from", "bob@*" } }, false },
		{ "not the null sender", { { "from", "<>" } }, false },
		{ "older", { { "older", "30m" } }, true },
		{ "not older than its age", { { "older", "1h" } }, false },
		{ "newer", { { "newer", "2h" } }, true },
		{ "not newer", { { "newer", "59m" } }, false },
		{ "submitter whole", { { "submitter", "uid:1000" } }, true },
		{ "submitter without its kind", { { "submitter", "1000" } }, true },
		{ "submitter of another kind", { { "submitter", "user:1000" } }, false },
		{ "both must fit", { { "from", "alice*" }, { "older", "2h" } }, false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct queue_envelope message = some_message();
		struct filter f;

		say(&f, rows[i].said);
		if (filter_fits_message(&f, &message, NOW) != rows[i].fits)
			fail_msg("%s", rows[i].name);
		filter_fini(&f);
	}
}

static void recipients_are_chosen_by_address_route_and_error(void **state)
{
	static const struct {
		const char *name;
		struct pair said[3];
		bool fits;
	} rows[] = {
		{ "address", { { "to", "*@lab.*" } }, true },
		{ "another address", { { "to", "*@example.org" } }, false },
		{ "the rule's name", { { "route", "lab" } }, true },
		{ "the first smart host", { { "route", "work" } }, true },
		{ "the second smart host", { { "route", "back*" } }, true },
		{ "the MX of a domain", { { "route", "mx:example.net" } }, true },
		{ "the MX of any domain", { { "route", "mx" } }, true },
		{ "a weight", { { "route", "work=3" } }, false },
		{ "another route", { { "route", "home" } }, false },
		{ "words of the reply in any case", { { "error", "greyLISTED" } }, true },
		{ "the end of the reply", { { "error", "back" } }, true },
		{ "who said it", { { "error", "192.0.2.1" } }, true },
		{ "words that were not said", { { "error", "mailbox full" } }, false },
		{ "no words at all", { { "error", "" } }, true },
	};
	(void)state;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct queue_rcpt rcpt = some_rcpt();
		struct filter f;

		say(&f, rows[i].said);
		if (filter_fits_rcpt(&f, &rcpt, "lab") != rows[i].fits)
			fail_msg("%s", rows[i].name);
		filter_fini(&f);
	}
}

static void states_and_gates_are_words_of_one_list(void **state)
{
	static const struct {
		const char *words;
		uint32_t flags;
		enum queue_rcpt_state rcpt;
		enum traffic_gate gate;
		bool fits;
	} rows[] = {
		{ "waiting", 0, QUEUE_RCPT_WAITING, TRAFFIC_GATE_LANE, true },
		{ "waiting", QUEUE_HELD, QUEUE_RCPT_WAITING, TRAFFIC_GATE_HELD, false },
		{ "held", QUEUE_HELD, QUEUE_RCPT_WAITING, TRAFFIC_GATE_HELD, true },
		{ "held", 0, QUEUE_RCPT_WAITING, TRAFFIC_GATE_LANE, false },
		{ "doubtful", 0, QUEUE_RCPT_DOUBTFUL, TRAFFIC_GATE_RETRY, true },
		{ "failed, doubtful", 0, QUEUE_RCPT_FAILED, TRAFFIC_GATE_REPORT, true },
		{ "delivered", 0, QUEUE_RCPT_DELIVERED, TRAFFIC_GATE_REPORT, true },
		{ "damaged", QUEUE_HELD | QUEUE_DAMAGED_BODY, QUEUE_RCPT_WAITING, TRAFFIC_GATE_DAMAGED, true },
		{ "account", 0, QUEUE_RCPT_WAITING, TRAFFIC_GATE_ACCOUNT, true },
		{ "account,route", 0, QUEUE_RCPT_WAITING, TRAFFIC_GATE_ROUTE, true },
		{ "account,held", 0, QUEUE_RCPT_WAITING, TRAFFIC_GATE_LANE, false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct queue_envelope message = some_message();
		struct queue_rcpt rcpt = some_rcpt();
		struct filter f;

		say(&f, (struct pair[]){ { "state", rows[i].words }, { NULL, NULL } });
		message.flags = rows[i].flags;
		rcpt.state = rows[i].rcpt;
		if (filter_fits_state(&f, &message, &rcpt, rows[i].gate) != rows[i].fits)
			fail_msg("%s, row %zu", rows[i].words, i);
		filter_fini(&f);
	}
}

static void ids_are_kept_in_order_and_once(void **state)
{
	static const uint64_t given[] = { 9, 3, 7, 3, 1, 9, 12, 11, 10, 8, 2 };
	struct queue_envelope message = some_message();
	char text[TEXT_ID_SIZE];
	struct filter f;
	(void)state;

	filter_init(&f);
	for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
		assert_null(filter_add_id(&f, span_str(text_id_print(given[i], text))));
	assert_int_equal(f.id_count, 9);
	for (size_t i = 1; i < f.id_count; i++)
		assert_true(f.ids[i - 1] < f.ids[i]);
	for (message.id = 1; message.id <= 13; message.id++) {
		bool is_given = message.id != 4 && message.id != 5 && message.id != 6 && message.id != 13;

		assert_int_equal(filter_fits_message(&f, &message, NOW), is_given);
	}
	filter_fini(&f);
}

static void ids_are_bounded(void **state)
{
	char text[TEXT_ID_SIZE];
	struct filter f;
	(void)state;

	filter_init(&f);
	for (uint64_t id = 1; id <= FILTER_IDS_MAX; id++)
		assert_null(filter_add_id(&f, span_str(text_id_print(id, text))));
	assert_non_null(filter_add_id(&f, span_str(text_id_print(FILTER_IDS_MAX + 1, text))));
	assert_null(filter_add_id(&f, span_str(text_id_print(5, text)))); /* it is there already */
	filter_fini(&f);
}

static void ranges_of_ids_bound_what_fits(void **state)
{
	struct queue_envelope message = some_message();
	char after[TEXT_ID_SIZE], until[TEXT_ID_SIZE];
	struct filter f;
	(void)state;

	say(&f, (struct pair[]){ { "after", text_id_print(41, after) }, { "until", text_id_print(42, until) }, { 0 } });
	assert_true(filter_fits_message(&f, &message, NOW));
	message.id = 41;
	assert_false(filter_fits_message(&f, &message, NOW));
	message.id = 43;
	assert_false(filter_fits_message(&f, &message, NOW));
	filter_fini(&f);
}

static void mistakes_are_refused(void **state)
{
	static const struct pair rows[] = {
		{ "form", "x" },
		{ "from", NULL },
		{ "all", "yes" },
		{ "older", "soon" },
		{ "newer", "-5m" },
		{ "limit", "ten" },
		{ "limit", "-1" },
		{ "state", "sleeping" },
		{ "state", "held,"
			   "," },
		{ "state", "" },
		{ "after", "nothing" },
		{ "until", "0" },
	};
	struct filter f;
	(void)state;

	filter_init(&f);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (!filter_set(&f, rows[i].name, rows[i].value))
			fail_msg("--%s %s was taken", rows[i].name, rows[i].value ? rows[i].value : "");
	assert_non_null(filter_add_id(&f, span_str("0123456789abcd")));
	assert_non_null(filter_add_id(&f, span_str("../../etc")));
	filter_fini(&f);
}

static void a_pattern_too_long_is_refused(void **state)
{
	char pattern[FILTER_TEXT_MAX + 2];
	struct filter f;
	(void)state;

	memset(pattern, 'a', sizeof pattern);
	pattern[sizeof pattern - 1] = '\0';
	filter_init(&f);
	assert_non_null(filter_set(&f, "from", pattern));
	pattern[FILTER_TEXT_MAX] = '\0';
	assert_null(filter_set(&f, "from", pattern));
	filter_fini(&f);
}

static void a_limit_alone_chooses_nothing(void **state)
{
	struct filter f;
	(void)state;

	say(&f, (struct pair[]){ { "limit", "5" }, { 0 } });
	assert_false(filter_chooses(&f));
	assert_null(filter_set(&f, "all", NULL));
	assert_true(filter_chooses(&f));
	filter_fini(&f);
	say(&f, (struct pair[]){ { "to", "*" }, { 0 } });
	assert_true(filter_chooses(&f));
	assert_true(filter_splits(&f));
	filter_fini(&f);
}

static void long_patterns_cost_more(void **state)
{
	char pattern[FILTER_TEXT_MAX + 1];
	struct filter f;
	(void)state;

	say(&f, (struct pair[]){ { 0 } });
	assert_int_equal(filter_cost(&f), 1);
	memset(pattern, '*', FILTER_TEXT_MAX);
	pattern[FILTER_TEXT_MAX] = '\0';
	assert_null(filter_set(&f, "from", pattern));
	assert_int_equal(filter_cost(&f), 1 + FILTER_TEXT_MAX / 32);
	assert_null(filter_set(&f, "error", pattern));
	assert_int_equal(filter_cost(&f), 1 + 2 * FILTER_TEXT_MAX / 32);
	filter_fini(&f);
}

static void history_is_chosen_by_when_it_ended_and_how(void **state)
{
	struct queue_outcome outcome = { .id = 42,
					 .kind = QUEUE_BOUNCED,
					 .at_ms = NOW - 60000,
					 .arrival_ms = NOW - 10 * 60 * 60 * 1000,
					 .sender = "alice@example.org",
					 .address = "bob@lab.internal",
					 .lane = "work",
					 .submitter = "uid:1000",
					 .reply = "550 5.1.1 no such user",
					 .host = "mx" };
	static const struct {
		struct pair said[3];
		bool fits;
	} rows[] = {
		{ { { "newer", "2m" } }, true },         { { { "older", "2m" } }, false },
		{ { { "state", "bounced" } }, true },    { { { "state", "failed" } }, true },
		{ { { "state", "delivered" } }, false }, { { { "state", "removed" } }, false },
		{ { { "route", "wor?" } }, true },       { { { "error", "5.1.1" } }, true },
		{ { { "to", "bob*" } }, true },          { { { "from", "bob*" } }, false },
		{ { { "state", "account" } }, false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct filter f;

		say(&f, rows[i].said);
		if (filter_fits_outcome(&f, &outcome, NOW) != rows[i].fits)
			fail_msg("--%s %s", rows[i].said[0].name, rows[i].said[0].value);
		filter_fini(&f);
	}
}

static void every_option_has_its_setter(void **state)
{
	static const struct pair good[] = {
		{ "from", "a" },
		{ "to", "a" },
		{ "route", "a" },
		{ "state", "held" },
		{ "submitter", "a" },
		{ "older", "1h" },
		{ "newer", "1h" },
		{ "error", "a" },
		{ "limit", "1" },
		{ "after", "0000000000001" },
		{ "until", "0000000000001" },
		{ "all", NULL },
	};
	size_t count;
	const struct filter_option *options = filter_options(&count);
	struct filter f;
	(void)state;

	assert_int_equal(count, sizeof good / sizeof good[0]);
	filter_init(&f);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(options[i].name, good[i].name);
		assert_int_equal(options[i].value != NULL, good[i].value != NULL);
		assert_null(filter_set(&f, good[i].name, good[i].value));
	}
	assert_string_equal(f.from, "a");
	assert_string_equal(f.to, "a");
	assert_string_equal(f.route, "a");
	assert_string_equal(f.submitter, "a");
	assert_string_equal(f.error, "a");
	assert_int_equal(f.older_ms, 3600000);
	assert_int_equal(f.newer_ms, 3600000);
	assert_int_equal(f.limit, 1);
	assert_int_equal(f.after, 1);
	assert_int_equal(f.until, 1);
	assert_true(f.all);
	assert_int_equal(f.states, 1U << FILTER_HELD);
	filter_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_chosen_by_sender_submitter_and_age),
		cmocka_unit_test(recipients_are_chosen_by_address_route_and_error),
		cmocka_unit_test(states_and_gates_are_words_of_one_list),
		cmocka_unit_test(ids_are_kept_in_order_and_once),
		cmocka_unit_test(ids_are_bounded),
		cmocka_unit_test(ranges_of_ids_bound_what_fits),
		cmocka_unit_test(mistakes_are_refused),
		cmocka_unit_test(a_pattern_too_long_is_refused),
		cmocka_unit_test(a_limit_alone_chooses_nothing),
		cmocka_unit_test(long_patterns_cost_more),
		cmocka_unit_test(history_is_chosen_by_when_it_ended_and_how),
		cmocka_unit_test(every_option_has_its_setter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
