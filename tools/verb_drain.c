#include "verb_drain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "look.h"
#include "talk.h"
#include "verb_list.h"

enum {
	BAR_WIDTH = 40,
	LEFT_ROWS = 10,
	LINE_MS = 5000, /* between two lines where there is no terminal */
};

struct drain {
	const struct cli *cli;
	uint64_t first; /* recipients that were to go; rises when more come in */
	int64_t told_ms;
	uint64_t left, messages;
};

static void draw_bar(const struct drain *drain, const json_t *row)
{
	uint64_t gone = drain->first - drain->left;
	int filled = drain->first ? (int)(gone * BAR_WIDTH / drain->first) : BAR_WIDTH;
	char bar[BAR_WIDTH + 1];

	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', (size_t)filled);
	bar[BAR_WIDTH] = '\0';
	printf("\r\33[K[%s%s%s] %" PRIu64 "/%" PRIu64 ", %" PRId64 " being sent%s", look_colour(drain->cli, LOOK_GREEN),
	       bar, look_colour(drain->cli, LOOK_PLAIN), gone, drain->first, talk_number(row, "sending"),
	       talk_bool(row, "offline") ? ", offline" : "");
	fflush(stdout);
}

static void print_line(struct drain *drain, const json_t *row)
{
	int64_t now_ms = clock_boot_ms();

	if (drain->told_ms && now_ms - drain->told_ms < LINE_MS && drain->left)
		return;
	drain->told_ms = now_ms;
	printf("%" PRIu64 " of %" PRIu64 " recipients left, %" PRId64 " being sent%s\n", drain->left, drain->first,
	       talk_number(row, "sending"), talk_bool(row, "offline") ? ", offline" : "");
	fflush(stdout);
}

static void on_progress(void *arg, const json_t *row)
{
	struct drain *drain = arg;

	if (!talk_is(row, "progress"))
		return;
	drain->left = (uint64_t)talk_number(row, "recipients");
	drain->messages = (uint64_t)talk_number(row, "messages");
	if (drain->left > drain->first)
		drain->first = drain->left;
	if (drain->cli->json)
		talk_print(row);
	else if (drain->cli->is_screen)
		draw_bar(drain, row);
	else
		print_line(drain, row);
}

static void on_left(void *arg, const json_t *row)
{
	const struct cli *cli = arg;

	verb_list_row(cli, stdout, row, clock_wall_ms());
}

static const char *end_words(const char *end)
{
	if (strcmp(end, "stuck") == 0)
		return ", and none of them can move until somebody acts";
	return strcmp(end, "timeout") == 0 ? " when the time was up" : "";
}

/* What is left and why; `sendoff status` says the rest. */
static int tell_left(const struct cli *cli, const char *end, uint64_t left)
{
	json_t *request = talk_request(cli, "list");
	char count[LOOK_SIZE];

	printf("%s left%s:\n", look_count(left, "message", count), end_words(end));
	verb_list_head(cli, stdout);
	json_object_set_new(request, "filter", json_pack("{s:s}", "limit", "10"));
	talk_once(cli, request, on_left, (void *)(uintptr_t)cli, NULL);
	if (left > LEFT_ROWS)
		printf("... and %" PRIu64 " more\n", left - LEFT_ROWS);
	puts("`sendoff status` says what they wait for, `sendoff why ID` tells of one.");
	return EX_TEMPFAIL;
}

static int drain_all(struct drain *drain, struct talk *talk)
{
	const struct cli *cli = drain->cli;
	json_t *request = talk_request(cli, "drain"), *done = NULL;
	bool is_empty;
	int status;

	json_object_set_new(request, "timeout_ms", json_integer(cli->timeout_ms));
	json_object_set_new(request, "close", json_boolean(cli->close));
	talk_catch_interrupt();
	status = talk_ask(talk, request, on_progress, drain, &done);
	if (cli->is_screen && !cli->json)
		putchar('\n');
	if (status == TALK_INTERRUPTED && !cli->json)
		return tell_left(cli, "interrupted", drain->messages);
	if (status)
		return status == TALK_INTERRUPTED ? EX_TEMPFAIL : status;
	is_empty = strcmp(talk_text(done, "end"), "empty") == 0;
	if (cli->json)
		talk_print(done);
	else if (is_empty)
		puts("The queue is empty.");
	else
		tell_left(cli, talk_text(done, "end"), (uint64_t)talk_number(done, "messages"));
	json_decref(done);
	return is_empty ? 0 : EX_TEMPFAIL;
}

int verb_drain_run(struct cli *cli)
{
	struct drain drain = { .cli = cli };
	struct talk *talk = NULL;
	int status = talk_open(cli, &talk);

	if (status == 0)
		status = talk_ask(talk, talk_request(cli, "flush"), NULL, NULL, NULL);
	if (status == 0)
		status = drain_all(&drain, talk);
	talk_close(talk);
	return status;
}
