/* Requests: good ones, wrong ones, and good ones cut at every byte; and who may ask. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/permit.h"
#include "control/request.h"

static bool parse(const char *line, struct request *out, char why[256])
{
	/* A copy of just this length, so that a sanitizer sees a read behind the end. */
	size_t len = strlen(line);
	char *copy = malloc(len ? len : 1);
	bool is_good;

	memcpy(copy, line, len);
	is_good = request_parse(span_of(copy, len), out, why, 256);
	free(copy);
	return is_good;
}

static const char *const good[] = {
	"{\"v\":1,\"verb\":\"status\"}",
	"{\"v\":1,\"verb\":\"list\",\"filter\":{\"from\":\"*@example.org\",\"older\":\"2h\",\"limit\":\"10\"}}",
	"{\"v\":1,\"verb\":\"remove\",\"filter\":{\"ids\":[\"0000000000001\",\"0000000000002\"]},\"dry_run\":true}",
	"{\"verb\":\"drain\",\"v\":1,\"timeout_ms\":60000,\"close\":true}",
	"{\"v\":1,\"verb\":\"pause\",\"lane\":\"work\"}",
	"{\"v\":1,\"verb\":\"show\",\"id\":\"0000000000001\"}",
	"{\"v\":1,\"verb\":\"list\",\"filter\":{\"all\":true,\"state\":\"held,account\"}}",
	" { \"v\" : 1 , \"verb\" : \"list\" } ",
};

static void good_requests_are_understood(void **state)
{
	struct request request;
	char why[256] = "";
	(void)state;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		if (!parse(good[i], &request, why))
			fail_msg("%s: %s", good[i], why);
		request_fini(&request);
	}
	assert_true(parse(good[1], &request, why));
	assert_string_equal(request.verb, "list");
	assert_string_equal(request.filter.from, "*@example.org");
	assert_int_equal(request.filter.older_ms, 7200000);
	assert_int_equal(request.filter.limit, 10);
	request_fini(&request);
	assert_true(parse(good[2], &request, why));
	assert_int_equal(request.filter.id_count, 2);
	assert_true(request.dry_run);
	request_fini(&request);
	assert_true(parse(good[3], &request, why));
	assert_int_equal(request.timeout_ms, 60000);
	assert_true(request.close);
	request_fini(&request);
	assert_true(parse(good[5], &request, why));
	assert_int_equal(request.id, 1);
	request_fini(&request);
}

static void a_request_cut_anywhere_is_refused(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		size_t whole = strlen(good[i]);

		while (good[i][whole - 1] != '}')
			whole--;
		for (size_t len = 0; len < whole; len++) {
			struct request request;
			char cut[256], why[256] = "";

			memcpy(cut, good[i], len);
			cut[len] = '\0';
			if (parse(cut, &request, why))
				fail_msg("taken: %s", cut);
			assert_string_not_equal(why, "");
		}
	}
}

static void wrong_requests_are_refused_with_a_word(void **state)
{
	static const char *const wrong[] = {
		"",
		"null",
		"[]",
		"\"list\"",
		"{}",
		"{\"v\":1}",
		"{\"verb\":\"list\"}",
		"{\"v\":1,\"verb\":\"\"}",
		"{\"v\":2,\"verb\":\"list\"}",
		"{\"v\":\"1\",\"verb\":\"list\"}",
		"{\"v\":1.0,\"verb\":\"list\"}",
		"{\"v\":1,\"verb\":1}",
		"{\"v\":1,\"verb\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
		"{\"v\":1,\"verb\":\"list\",\"verb\":\"remove\"}",
		"{\"v\":1,\"verb\":\"list\",\"fitler\":{}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":[]}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"form\":\"x\"}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"from\":true}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"from\":{}}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"limit\":10}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"all\":\"yes\"}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"ids\":\"0000000000001\"}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"ids\":[1]}}",
		"{\"v\":1,\"verb\":\"list\",\"filter\":{\"ids\":[\"zzz\"]}}",
		"{\"v\":1,\"verb\":\"show\",\"id\":1}",
		"{\"v\":1,\"verb\":\"show\",\"id\":\"x\"}",
		"{\"v\":1,\"verb\":\"list\",\"dry_run\":1}",
		"{\"v\":1,\"verb\":\"drain\",\"timeout_ms\":-1}",
		"{\"v\":1,\"verb\":\"drain\",\"timeout_ms\":9223372036854775807}",
		"{\"v\":1,\"verb\":\"drain\",\"timeout_ms\":99999999999999999999}",
		"{\"v\":1,\"verb\":\"list\",\"lane\":\"a\\u0000b\"}",
		"{\"v\":1,\"verb\":\"list\",\"lane\":\"\xff\"}",
		"{\"v\":1,\"verb\":\"list\"} {\"v\":1,\"verb\":\"list\"}",
	};
	(void)state;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct request request;
		char why[256] = "";

		if (parse(wrong[i], &request, why))
			fail_msg("taken: %s", wrong[i]);
		if (!why[0])
			fail_msg("no word about: %s", wrong[i]);
	}
}

static void deep_nesting_is_refused(void **state)
{
	enum { DEPTH = 60000 };
	char *line = malloc(DEPTH + 64), why[256] = "";
	size_t len = (size_t)sprintf(line, "{\"v\":1,\"verb\":\"list\",\"filter\":");
	struct request request;
	(void)state;

	memset(line + len, '[', DEPTH);
	assert_false(request_parse(span_of(line, len + DEPTH), &request, why, sizeof why));
	free(line);
}

static void root_the_agents_user_and_the_group_may_do_everything(void **state)
{
	enum { AGENT = 990, GROUP = 880 };
	static const gid_t with[] = { 100, 27, GROUP }, without[] = { 100, 27 };
	struct permit permit;
	(void)state;

	assert_true(permit_of(0, without, 2, AGENT, GROUP).all);
	assert_true(permit_of(AGENT, without, 2, AGENT, GROUP).all);
	assert_true(permit_of(1000, with, 3, AGENT, GROUP).all);
	assert_false(permit_of(1000, without, 2, AGENT, GROUP).all);
	/* Where the group does not exist, nobody is in it. */
	assert_false(permit_of(1000, (gid_t[]){ (gid_t)-1 }, 1, AGENT, (gid_t)-1).all);
	permit = permit_of(1000, without, 2, AGENT, GROUP);
	assert_true(permit_sees(&permit, 1000));
	assert_false(permit_sees(&permit, 1001));
	assert_false(permit_sees(&permit, 0));
	assert_false(permit_sees(&permit, UINT32_MAX));
}

static void mail_of_nobody_is_seen_by_administrators_only(void **state)
{
	struct permit nobody = { .uid = UINT32_MAX }, admin = { .uid = 0, .all = true };
	(void)state;

	assert_false(permit_sees(&nobody, UINT32_MAX));
	assert_true(permit_sees(&admin, UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests_are_understood),
		cmocka_unit_test(a_request_cut_anywhere_is_refused),
		cmocka_unit_test(wrong_requests_are_refused_with_a_word),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(root_the_agents_user_and_the_group_may_do_everything),
		cmocka_unit_test(mail_of_nobody_is_seen_by_administrators_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
