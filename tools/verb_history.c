#include "verb_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "look.h"
#include "talk.h"

enum { SCREEN_ROWS = 50, CELL_SIZE = 1024, NAME_WIDTH = 28, NAME_LEAST = 12, FIXED_WIDTH = 41 };

struct history {
	const struct cli *cli;
	int64_t now_ms;
};

static enum look_colour colour_of(const char *outcome)
{
	if (strcmp(outcome, "delivered") == 0)
		return LOOK_GREEN;
	return strcmp(outcome, "bounced") == 0 ? LOOK_RED : LOOK_YELLOW;
}

/* Of sender and recipient: what the terminal leaves; 0: whole addresses, for other programs. */
static size_t name_width(const struct cli *cli)
{
	int width = (cli->columns - FIXED_WIDTH) / 2;

	if (cli->columns == 0)
		return 0;
	return width > NAME_WIDTH ? NAME_WIDTH : width < NAME_LEAST ? NAME_LEAST : (size_t)width;
}

static void on_row(void *arg, const json_t *row)
{
	const struct history *history = arg;
	const struct cli *cli = history->cli;
	const char *sender = talk_text(row, "sender"), *outcome = talk_text(row, "outcome"),
		   *host = talk_text(row, "host"), *tls = talk_text(row, "tls");
	size_t cut = name_width(cli);
	char when[LOOK_SIZE], from[CELL_SIZE], to[CELL_SIZE], reply[CELL_SIZE], by[CELL_SIZE], proof[CELL_SIZE];

	if (cli->json) {
		talk_print(row);
		return;
	}
	printf("%-12s %s %s%-9s%s %s -> %s\n", look_time(talk_number(row, "at_ms"), history->now_ms, when),
	       talk_text(row, "id"), look_colour(cli, colour_of(outcome)), outcome, look_colour(cli, LOOK_PLAIN),
	       look_text(sender[0] ? sender : "<>", cut, from, sizeof from),
	       look_text(talk_text(row, "recipient"), cut, to, sizeof to));
	printf("%12s %s%s%s%s%s%s\n", "", look_text(talk_text(row, "reply"), 0, reply, sizeof reply),
	       host[0] ? "  - by " : "", look_text(host, 0, by, sizeof by), tls[0] ? " (" : "",
	       look_text(tls, 0, proof, sizeof proof), tls[0] ? ")" : "");
}

int verb_history_run(struct cli *cli)
{
	struct history history = { .cli = cli, .now_ms = clock_wall_ms() };
	json_t *done = NULL, *request;
	char limit[16];
	int status;

	if (cli->is_screen && !cli->json && cli->filter.limit == 0 && !cli->filter.all) {
		snprintf(limit, sizeof limit, "%d", SCREEN_ROWS);
		json_object_set_new(cli->said, "limit", json_string(limit));
	}
	request = talk_request(cli, "history");
	status = talk_once(cli, request, on_row, &history, &done);
	if (done && !cli->json && talk_number(done, "records") == 0)
		puts("Nothing in the history fits that.");
	if (done && !cli->json && talk_bool(done, "more"))
		puts("There is more: --limit N shows so many, --all everything.");
	json_decref(done);
	return status;
}
