#include "verb_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "look.h"
#include "talk.h"

enum { CELL_SIZE = 2048, WHAT_WIDTH = 8, TIME_WIDTH = 8 };

struct test {
	const struct cli *cli;
	char host[512];         /* whom the steps so far were taken with */
	char result[CELL_SIZE]; /* what the last one said */
	char advice[CELL_SIZE]; /* and what to do, or "" */
};

/* A line for each host that the walk comes to. */
static void show_host(struct test *test, const char *host)
{
	char cell[CELL_SIZE];

	if (!host[0] || strcmp(host, test->host) == 0)
		return;
	snprintf(test->host, sizeof test->host, "%s", host);
	printf("%s%s%s\n", look_colour(test->cli, LOOK_BOLD), look_text(host, 0, cell, sizeof cell),
	       look_colour(test->cli, LOOK_PLAIN));
}

void verb_test_step(const struct cli *cli, const json_t *row)
{
	const char *end = talk_text(row, "end"), *advice = talk_text(row, "advice");
	bool is_bad = strcmp(end, "failed") == 0, is_well = strcmp(end, "well") == 0;
	char cell[CELL_SIZE], took[LOOK_SIZE] = "";

	if (json_object_get(row, "took_ms"))
		snprintf(took, sizeof took, "%" PRId64 " ms", talk_number(row, "took_ms"));
	printf("  %s%-4s%s %-*s %*s  %s\n",
	       look_colour(cli, is_bad    ? LOOK_RED
				: is_well ? LOOK_GREEN
					  : LOOK_YELLOW),
	       is_bad    ? "NO"
	       : is_well ? "ok"
			 : "--",
	       look_colour(cli, LOOK_PLAIN), WHAT_WIDTH, talk_text(row, "what"), TIME_WIDTH, took,
	       look_text(talk_text(row, "text"), 0, cell, sizeof cell));
	if (advice[0])
		printf("  %*s%s\n", WHAT_WIDTH + TIME_WIDTH + 8, "", look_text(advice, 0, cell, sizeof cell));
}

static void on_row(void *arg, const json_t *row)
{
	struct test *test = arg;

	if (!talk_is(row, "step"))
		return;
	if (test->cli->json) {
		talk_print(row);
		return;
	}
	if (strcmp(talk_text(row, "what"), "result") == 0) {
		look_text(talk_text(row, "text"), 0, test->result, sizeof test->result);
		look_text(talk_text(row, "advice"), 0, test->advice, sizeof test->advice);
		return;
	}
	show_host(test, talk_text(row, "host"));
	verb_test_step(test->cli, row);
	fflush(stdout);
}

int verb_test_run(struct cli *cli)
{
	struct test test = { .cli = cli };
	json_t *request = talk_request(cli, "test"), *done = NULL;
	bool is_well = false;
	int status;

	json_object_del(request, "filter");
	json_object_set_new(request, "lane", json_string(cli->words[0]));
	json_object_set(request, "from", json_object_get(cli->said, "from"));
	json_object_set(request, "to", json_object_get(cli->said, "to"));
	status = talk_once(cli, request, on_row, &test, &done);
	if (status == 0) {
		is_well = talk_bool(done, "well");
		if (cli->json)
			talk_print(done);
		else
			printf("\n%sMail %s go this way:%s %s\n%s%s", look_colour(cli, is_well ? LOOK_GREEN : LOOK_RED),
			       is_well ? "can" : "cannot", look_colour(cli, LOOK_PLAIN), test.result, test.advice,
			       test.advice[0] ? "\n" : "");
	}
	json_decref(done);
	return status ? status : is_well ? 0 : EX_TEMPFAIL;
}
