#include "verb_list.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "look.h"
#include "route.h"
#include "talk.h"

enum {
	SCREEN_ROWS = 200, /* on a terminal, where nothing else was said */
	NAME_WIDTH = 32,
	NAME_LEAST = 12,  /* on a narrow terminal */
	FIXED_WIDTH = 37, /* the columns before the names */
	GATE_WIDTH = 26,  /* room for "smart host work, in 12m" */
	CELL_SIZE = 1024,
};

struct list {
	const struct cli *cli;
	int64_t now_ms;
	bool is_headed;
};

/* Of each of the two columns of names: what the terminal leaves. */
static size_t name_width(const struct cli *cli)
{
	int width = (cli->columns - FIXED_WIDTH - GATE_WIDTH) / 2 - 1;

	if (cli->columns == 0 || width > NAME_WIDTH)
		return NAME_WIDTH;
	return width < NAME_LEAST ? NAME_LEAST : (size_t)width;
}

/* What is left for the last column; 0: all it takes. */
static size_t gate_width(const struct cli *cli)
{
	int left = cli->columns - FIXED_WIDTH - 2 * ((int)name_width(cli) + 1);

	return left > 0 ? (size_t)left : 0;
}

void verb_list_head(const struct cli *cli, FILE *out)
{
	int width = (int)name_width(cli);

	fprintf(out, "%s%-13s %5s %6s %-9s %-*s %-*s %s%s\n", look_colour(cli, LOOK_BOLD), "ID", "AGE", "SIZE", "STATE",
		width, "FROM", width, "TO", "WAITS FOR", look_colour(cli, LOOK_PLAIN));
}

static enum look_colour colour_of(const char *state)
{
	if (strcmp(state, "sending") == 0)
		return LOOK_GREEN;
	if (strcmp(state, "held") == 0 || strcmp(state, "doubtful") == 0)
		return LOOK_YELLOW;
	return strcmp(state, "damaged") == 0 || strcmp(state, "failed") == 0 ? LOOK_RED : LOOK_PLAIN;
}

/* "bob@example.org", "bob@example.org +2". */
static char *recipients(const json_t *row, char *out, size_t size)
{
	const char *first = json_string_value(json_array_get(json_object_get(row, "to"), 0));
	int64_t more = talk_number(row, "chosen") - 1;
	char name[CELL_SIZE];

	look_text(first ? first : "", 0, name, sizeof name);
	if (more > 0)
		snprintf(out, size, "%s +%" PRId64, name, more);
	else
		snprintf(out, size, "%s", name);
	return out;
}

/* "smart host work, in 12m"; named only where it is the smart host that makes mail wait. */
static void gate(const json_t *row, int64_t now_ms, char *out, size_t size)
{
	int64_t until_ms = talk_number(row, "until_ms");
	const char *word = talk_text(row, "gate"), *lane = talk_text(row, "lane");
	char until[LOOK_SIZE], what[CELL_SIZE], name[CELL_SIZE];

	look_text(lane, 64, name, sizeof name);
	if (strcmp(word, "lane") == 0 && name[0])
		snprintf(what, sizeof what, "%s%.300s",
			 strncmp(name, ROUTE_MX, sizeof ROUTE_MX - 1) ? "smart host " : "", name);
	else if (strcmp(word, "account") == 0 && name[0])
		snprintf(what, sizeof what, "account of %.300s", name);
	else
		snprintf(what, sizeof what, "%s", look_gate(word));
	snprintf(out, size, "%s%s%s", what, until_ms ? ", " : "", until_ms ? look_until(until_ms, now_ms, until) : "");
}

/* printf counts bytes; columns are characters. */
static void put_cell(FILE *out, const char *text, size_t width)
{
	size_t seen = 0;

	for (const char *at = text; *at; at++)
		seen += ((unsigned char)*at & 0xc0) != 0x80;
	fprintf(out, "%s%*s ", text, seen < width ? (int)(width - seen) : 0, "");
}

void verb_list_row(const struct cli *cli, FILE *out, const json_t *row, int64_t now_ms)
{
	const char *state = talk_text(row, "state"), *sender = talk_text(row, "sender");
	size_t width = name_width(cli), cut = cli->columns ? width : 0; /* whole addresses for other programs */
	char age[LOOK_SIZE], size[TEXT_SIZE_SIZE], cell[CELL_SIZE], names[CELL_SIZE + 32];

	fprintf(out, "%-13s %5s %6s %s%-9s%s ", talk_text(row, "id"),
		look_age(talk_number(row, "arrival_ms"), now_ms, age),
		text_size_print((uint64_t)talk_number(row, "size_bytes"), size), look_colour(cli, colour_of(state)),
		state, look_colour(cli, LOOK_PLAIN));
	put_cell(out, look_text(sender[0] ? sender : "<>", cut, cell, sizeof cell), width);
	put_cell(out, look_text(recipients(row, names, sizeof names), cut, cell, sizeof cell), width);
	gate(row, now_ms, names, sizeof names);
	fprintf(out, "%s\n", look_text(names, cut ? gate_width(cli) : 0, cell, sizeof cell));
}

static void on_row(void *arg, const json_t *row)
{
	struct list *list = arg;

	if (list->cli->json) {
		talk_print(row);
		return;
	}
	if (!list->is_headed)
		verb_list_head(list->cli, stdout);
	list->is_headed = true;
	verb_list_row(list->cli, stdout, row, list->now_ms);
}

void verb_list_missing(int64_t count)
{
	fprintf(stderr,
		"sendoff: %" PRId64 " of these ids %s not in the queue; `sendoff show ID` looks in the history too\n",
		count, count == 1 ? "is" : "are");
}

static void tell_end(const struct cli *cli, const json_t *done)
{
	int64_t messages = talk_number(done, "messages"), missing = talk_number(done, "missing"),
		damaged = talk_number(done, "damaged");
	char records[LOOK_SIZE];

	if (messages == 0 && !cli->json)
		puts(cli->filter.all || !filter_chooses(&cli->filter) ? "No mail is waiting."
								      : "No mail that waits fits that.");
	if (talk_bool(done, "more") && !cli->json)
		printf("There is more: --limit N shows so many, --all everything.\n");
	if (missing)
		verb_list_missing(missing);
	if (damaged)
		fprintf(stderr, "sendoff: %s cannot be read: run `sendoff verify`\n",
			look_count((uint64_t)damaged, "record", records));
}

int verb_list_run(struct cli *cli)
{
	struct list list = { .cli = cli, .now_ms = clock_wall_ms() };
	json_t *done = NULL;
	char limit[16];
	int status;

	if (cli->is_screen && !cli->json && cli->filter.limit == 0 && !cli->filter.all) {
		snprintf(limit, sizeof limit, "%d", SCREEN_ROWS);
		json_object_set_new(cli->said, "limit", json_string(limit));
	}
	status = talk_once(cli, talk_request(cli, "list"), on_row, &list, &done);
	if (done)
		tell_end(cli, done);
	json_decref(done);
	return status;
}
