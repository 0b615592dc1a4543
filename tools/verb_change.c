#include "verb_change.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/text.h"
#include "look.h"
#include "route.h"
#include "talk.h"
#include "verb_list.h"
#include "verbs.h"

struct words {
	const char *verb, *done;
	const char *question; /* NULL: it does no harm, so it is not asked */
};

static const struct words words[] = {
	{ "flush", "due now", NULL },
	{ "hold", "held", "Hold them?" },
	{ "release", "released", "Release them?" },
	{ "remove", "removed", "Remove them for good?" },
};

struct change {
	const struct cli *cli;
	int64_t now_ms;
	uint64_t shown;
};

static const struct words *words_of(const struct cli *cli)
{
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(words[i].verb, cli->verb->name) == 0)
			return &words[i];
	abort();
}

static void on_row(void *arg, const json_t *row)
{
	struct change *change = arg;

	if (change->cli->json && change->cli->dry_run)
		talk_print(row);
	if (change->cli->json)
		return;
	if (change->shown++ == 0)
		verb_list_head(change->cli, stdout);
	verb_list_row(change->cli, stdout, row, change->now_ms);
}

static void on_progress(void *arg, const json_t *row)
{
	const struct change *change = arg;

	if (!change->cli->json && change->cli->is_screen && talk_is(row, "progress"))
		printf("  %" PRId64 " done\r", talk_number(row, "messages"));
	fflush(stdout);
}

/* "3 messages (4 recipients, 12K)" */
static void tell_chosen(const struct change *change, const json_t *found)
{
	uint64_t messages = (uint64_t)talk_number(found, "messages");
	char count[LOOK_SIZE], rcpts[LOOK_SIZE], size[TEXT_SIZE_SIZE];

	if (change->shown < messages)
		printf("... and %" PRIu64 " more\n", messages - change->shown);
	printf("%s: %s (%s, %s)\n", change->cli->verb->name, look_count(messages, "message", count),
	       look_count((uint64_t)talk_number(found, "recipients"), "recipient", rcpts),
	       text_size_print((uint64_t)talk_number(found, "bytes"), size));
	if (talk_number(found, "sending"))
		printf("%" PRId64 " of the recipients %s being sent to just now and may still get it.\n",
		       talk_number(found, "sending"), talk_number(found, "sending") == 1 ? "is" : "are");
	fflush(stdout);
}

static void tell_missing(const json_t *found)
{
	if (talk_number(found, "missing"))
		verb_list_missing(talk_number(found, "missing"));
}

/* What came meanwhile was not shown, so it is not changed. */
static json_t *request_up_to(const struct cli *cli, const char *last)
{
	json_t *request = talk_request(cli, cli->verb->name), *filter;

	filter = json_object_get(request, "filter") ? json_deep_copy(json_object_get(request, "filter"))
						    : json_pack("{s:b}", "all", 1);
	json_object_set_new(filter, "until", json_string(last));
	json_object_set_new(request, "filter", filter);
	return request;
}

static int tell_done(const struct change *change, const json_t *done)
{
	uint64_t messages = (uint64_t)talk_number(done, "messages"), failed = (uint64_t)talk_number(done, "failed");
	char count[LOOK_SIZE];

	if (change->cli->json)
		talk_print(done);
	else
		printf("%s %s.\n", look_count(messages, "message", count), words_of(change->cli)->done);
	if (failed)
		return cli_fail(EX_TEMPFAIL, "%" PRIu64 " could not be changed: %s", failed, talk_text(done, "why"));
	return 0;
}

static int act(struct change *change, struct talk *talk, const json_t *found)
{
	json_t *done = NULL;
	int status;

	if (words_of(change->cli)->question && !cli_agrees(change->cli, words_of(change->cli)->question))
		return cli_fail(EX_TEMPFAIL, "nothing was changed");
	status = talk_ask(talk, request_up_to(change->cli, talk_text(found, "last")), on_progress, change, &done);
	if (done)
		status = tell_done(change, done);
	json_decref(done);
	return status;
}

static int nothing(const struct change *change, const json_t *found, struct talk *talk)
{
	bool is_flush = strcmp(change->cli->verb->name, "flush") == 0;
	json_t *done = NULL;
	int status;

	if (change->cli->json && (!is_flush || change->cli->dry_run))
		talk_print(found);
	else if (!change->cli->json && is_flush && !filter_chooses(&change->cli->filter))
		puts("There is no mail to flush; smart hosts that failed are tried again with the next.");
	else if (!change->cli->json)
		printf("There is nothing to %s that fits.\n", change->cli->verb->name);
	/* Smart hosts that wait are tried again although no mail waits for them. */
	if (is_flush && !change->cli->dry_run) {
		status = talk_ask(talk, talk_request(change->cli, "flush"), NULL, NULL, &done);
		if (done && change->cli->json)
			talk_print(done);
		json_decref(done);
		return status;
	}
	return talk_number(found, "missing") ? EX_NOINPUT : 0;
}

static int look_and_act(struct change *change, struct talk *talk)
{
	json_t *request = talk_request(change->cli, change->cli->verb->name), *found = NULL;
	int status;

	json_object_set_new(request, "dry_run", json_true());
	status = talk_ask(talk, request, on_row, change, &found);
	if (status)
		return status;
	tell_missing(found);
	if (talk_number(found, "messages") == 0) {
		status = nothing(change, found, talk);
	} else {
		if (!change->cli->json)
			tell_chosen(change, found);
		else if (change->cli->dry_run)
			talk_print(found);
		status = change->cli->dry_run ? 0 : act(change, talk, found);
	}
	json_decref(found);
	return status;
}

int verb_change_run(struct cli *cli)
{
	struct change change = { .cli = cli, .now_ms = clock_wall_ms() };
	struct talk *talk = NULL;
	int status;

	if (words_of(cli)->question && !filter_chooses(&cli->filter))
		return cli_fail(EX_USAGE, "%s: say which messages: ids, a filter, or --all", cli->verb->name);
	status = talk_open(cli, &talk);
	if (status == 0)
		status = look_and_act(&change, talk);
	talk_close(talk);
	return status;
}

int verb_change_lane(struct cli *cli)
{
	json_t *request = talk_request(cli, cli->verb->name), *done = NULL;
	bool is_pause = strcmp(cli->verb->name, "pause") == 0;
	const char *name = cli->word_count ? cli->words[0] : "";
	bool is_mx = strncasecmp(name, ROUTE_MX, sizeof ROUTE_MX - 1) == 0;
	const char *what = !name[0] ? "All delivery" : is_mx ? "Mail to the domain " : "Smart host ";
	int status;

	if (name[0])
		json_object_set_new(request, "lane", json_string(name));
	if (cli->dry_run)
		json_object_set_new(request, "dry_run", json_true());
	status = talk_once(cli, request, NULL, NULL, &done);
	if (done && cli->json)
		talk_print(done);
	else if (done)
		printf("%s%s %s %s.\n", what, talk_text(done, "lane") + (is_mx ? sizeof ROUTE_MX - 1 : 0),
		       cli->dry_run ? "would be" : "is", is_pause ? "paused" : "resumed");
	json_decref(done);
	return status;
}
