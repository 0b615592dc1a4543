/*
 * Walks to a smart host, or to the MX of a domain, and says of each step what came of it. With a recipient it goes as far
 * as RCPT; no mail is sent.
 */
#include <sysexits.h>

#include "base/mem.h"
#include "control/answers.h"
#include "control/steps.h"

struct test {
	struct steps steps;
	char why[256]; /* nothing was started */
};

static void start(struct client *client)
{
	const struct request *request = &client->request;
	struct test *test = MEM_NEW(struct test);
	struct traffic_walk_setup setup = {
		.what = request->lane,
		.from = request->has_to || request->has_from ? request->from : NULL,
		.to = request->has_to ? request->to : NULL,
	};

	client->state = test;
	if (!steps_start(&test->steps, client, setup, test->why, sizeof test->why) && !test->why[0])
		test->why[0] = '?';
}

static enum client_step step(struct client *client, int *budget)
{
	struct test *test = client->state;

	--*budget;
	if (test->why[0])
		return client_fail(client, EX_USAGE, "usage", test->why);
	if (!steps_say(&test->steps))
		return CLIENT_WAIT;
	return client_done(client, json_pack("{s:b}", "well", test->steps.end != TRAFFIC_STEP_FAILED));
}

static void stop(struct client *client)
{
	struct test *test = client->state;

	steps_stop(&test->steps);
	mem_free(test);
}

const struct client_verb answer_test_verb = {
	.name = "test", .needs = CLIENT_ADMIN, .start = start, .step = step, .stop = stop
};
