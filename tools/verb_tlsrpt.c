#include "verb_tlsrpt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "look.h"
#include "talk.h"

enum { CELL_SIZE = 1024, TYPE_WIDTH = 16 };

static void show_failure(const json_t *failure)
{
	const char *mx = talk_text(failure, "receiving-mx-hostname"), *ip = talk_text(failure, "receiving-ip"),
		   *reason = talk_text(failure, "failure-reason-code");
	char cell[CELL_SIZE];

	printf("    %" PRId64 " x %s", talk_number(failure, "failed-session-count"),
	       look_text(talk_text(failure, "result-type"), 0, cell, sizeof cell));
	if (mx[0])
		printf(" at %s", look_text(mx, 0, cell, sizeof cell));
	if (ip[0])
		printf(" [%s]", look_text(ip, 0, cell, sizeof cell));
	if (reason[0])
		printf(": %s", look_text(reason, 0, cell, sizeof cell));
	putchar('\n');
}

static void show_policy(const struct cli *cli, const json_t *policy)
{
	const json_t *summary = json_object_get(policy, "summary"), *failures;
	int64_t failed = talk_number(summary, "total-failure-session-count");
	char cell[CELL_SIZE];

	printf("  %-*s %" PRId64 " as they should be, %s%" PRId64 " not%s\n", TYPE_WIDTH,
	       look_text(talk_text(json_object_get(policy, "policy"), "policy-type"), 0, cell, sizeof cell),
	       talk_number(summary, "total-successful-session-count"), look_colour(cli, failed ? LOOK_RED : LOOK_PLAIN),
	       failed, look_colour(cli, LOOK_PLAIN));
	failures = json_object_get(policy, "failure-details");
	for (size_t i = 0; i < json_array_size(failures); i++)
		show_failure(json_array_get(failures, i));
}

static void on_row(void *arg, const json_t *row)
{
	const struct cli *cli = arg;
	const json_t *policies = json_object_get(json_object_get(row, "report"), "policies");
	char cell[CELL_SIZE];

	if (cli->json) {
		talk_print(row);
		return;
	}
	printf("%s%s%s\n", look_colour(cli, LOOK_BOLD), look_text(talk_text(row, "domain"), 0, cell, sizeof cell),
	       look_colour(cli, LOOK_PLAIN));
	for (size_t i = 0; i < json_array_size(policies); i++)
		show_policy(cli, json_array_get(policies, i));
}

int verb_tlsrpt_run(struct cli *cli)
{
	json_t *request = talk_request(cli, "tlsrpt"), *done = NULL;
	int status;

	json_object_del(request, "filter");
	if (cli->day)
		json_object_set_new(request, "day", json_string(cli->day));
	if (cli->word_count)
		json_object_set_new(request, "domain", json_string(cli->words[0]));
	status = talk_once(cli, request, on_row, cli, &done);
	if (done && cli->json)
		talk_print(done);
	else if (done && talk_number(done, "reports") == 0)
		printf("No TLS sessions%s%s on %s (UTC).%s\n", cli->word_count ? " towards " : "",
		       cli->word_count ? cli->words[0] : "", talk_text(done, "day"),
		       cli->day ? "" : " `--day today` shows those of today.");
	json_decref(done);
	return status;
}
