#include "verb_show.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "control/protocol.h"
#include "look.h"
#include "route.h"
#include "talk.h"

enum { CELL_SIZE = 2048 };

struct show {
	const struct cli *cli;
	int64_t now_ms;
	bool is_failed;
	bool is_headed;
};

/* A line "name   text", left out where there is none. */
static void line(const char *name, const char *text)
{
	char cell[CELL_SIZE];

	if (text[0])
		printf("%-12s %s\n", name, look_text(text, 0, cell, sizeof cell));
}

static void time_line(const char *name, int64_t then_ms, int64_t now_ms)
{
	char stamp[CLOCK_DATE_SIZE], length[LOOK_SIZE];

	if (then_ms == 0)
		return;
	if (then_ms > now_ms)
		printf("%-12s %s (%s)\n", name, clock_stamp(then_ms, stamp), look_until(then_ms, now_ms, length));
	else
		printf("%-12s %s (%s ago)\n", name, clock_stamp(then_ms, stamp), look_age(then_ms, now_ms, length));
}

/* "uid:1001 (alice)" where the uid is of a user of this machine. */
static void submitter_line(const char *submitter)
{
	const struct passwd *user = NULL;
	char text[CELL_SIZE], *end;
	unsigned long uid;

	if (strncmp(submitter, "uid:", 4) == 0) {
		uid = strtoul(submitter + 4, &end, 10);
		user = *end == '\0' ? getpwuid((uid_t)uid) : NULL;
	}
	snprintf(text, sizeof text, "%s%s%s%s", submitter, user ? " (" : "", user ? user->pw_name : "",
		 user ? ")" : "");
	line("submitter", text);
}

/* What its sender asked for beside delivery. */
static void demands_line(const json_t *row)
{
	char text[256] = "", priority[32] = "";

	if (talk_number(row, "priority"))
		snprintf(priority, sizeof priority, "  priority %" PRId64, talk_number(row, "priority"));
	snprintf(text, sizeof text, "%s%s%s%s%s", talk_bool(row, "requiretls") ? "  only under TLS" : "",
		 talk_bool(row, "smtputf8") ? "  UTF-8 addresses" : "", priority,
		 talk_text(row, "ret")[0] ? "  reports with " : "",
		 strcmp(talk_text(row, "ret"), "full") == 0 ? "all of it" : talk_text(row, "ret"));
	line("demands", text[0] ? text + 2 : "");
	line("its route", talk_text(row, "route_wanted"));
}

static void show_message(const struct show *show, const json_t *row)
{
	const char *sender = talk_text(row, "sender");
	char size[TEXT_SIZE_SIZE];

	printf("%s%s%s%s%s%s\n", look_colour(show->cli, LOOK_BOLD), talk_text(row, "id"),
	       look_colour(show->cli, LOOK_PLAIN),
	       talk_bool(row, "held_by_administrator") ? "  held by an administrator"
	       : talk_bool(row, "held")                ? "  held"
						       : "",
	       talk_bool(row, "damaged") ? "  damaged: the stored bytes do not match their checksum" : "",
	       talk_bool(row, "report") ? "  a report of our own" : "");
	line("from", sender[0] ? sender : "<> (the null sender)");
	line("subject", talk_text(row, "subject"));
	line("message-id", talk_text(row, "message_id"));
	printf("%-12s %s, %s\n", "size", text_size_print((uint64_t)talk_number(row, "size_bytes"), size),
	       talk_text(row, "body"));
	submitter_line(talk_text(row, "submitter"));
	line("came by", talk_text(row, "origin"));
	line("envid", talk_text(row, "envid"));
	time_line("arrived", talk_number(row, "arrival_ms"), show->now_ms);
	time_line("not before", talk_number(row, "hold_until_ms"), show->now_ms);
	time_line(strcmp(talk_text(row, "deliver_by"), "return") == 0 ? "by, or back" : "by, or told",
		  talk_number(row, "deliver_by_ms"), show->now_ms);
	demands_line(row);
	if (!talk_bool(row, "warned"))
		time_line("warning", talk_number(row, "warn_ms"), show->now_ms);
	else
		line("warning", "the sender has been told that it waits");
	time_line("given up", talk_number(row, "expires_ms"), show->now_ms);
	printf("%-12s %" PRId64 " when it was accepted\n", "recipients", talk_number(row, "recipients_accepted"));
}

static void show_why(const struct show *show, const json_t *row)
{
	const char *by = talk_text(row, "by"), *said = talk_text(row, "said"), *advice = talk_text(row, "advice");
	char cell[CELL_SIZE], name[CELL_SIZE];

	printf("  because    %s\n", talk_text(row, "text")[0] ? look_text(talk_text(row, "text"), 0, cell, sizeof cell)
							      : look_gate(talk_text(row, "gate")));
	if (talk_number(row, "since_ms"))
		printf("  since      %s\n", look_time(talk_number(row, "since_ms"), show->now_ms, cell));
	if (talk_number(row, "until_ms"))
		printf("  until      %s", look_time(talk_number(row, "until_ms"), show->now_ms, cell));
	if (talk_number(row, "until_ms"))
		printf(" (%s)\n", look_until(talk_number(row, "until_ms"), show->now_ms, cell));
	/* Without a name nobody said it: it is what we found. */
	if (said[0])
		printf("  %s %s%s%s\n", by[0] ? "said      " : "last error", look_text(said, 0, cell, sizeof cell),
		       by[0] ? "  - by " : "", look_text(by, 0, name, sizeof name));
	if (advice[0])
		printf("  do         %s%s%s\n", look_colour(show->cli, LOOK_YELLOW),
		       look_text(advice, 0, cell, sizeof cell), look_colour(show->cli, LOOK_PLAIN));
}

/* What is to be told about this recipient (DSN), where its sender said so. */
static void show_wishes(const json_t *row)
{
	const json_t *notify = json_object_get(row, "notify");
	char cell[CELL_SIZE];

	if (talk_text(row, "orcpt")[0])
		printf("  was to     %s\n", look_text(talk_text(row, "orcpt"), 0, cell, sizeof cell));
	for (size_t i = 0; i < json_array_size(notify); i++)
		printf("%s%s%s", i == 0 ? "  reports on " : ", ", json_string_value(json_array_get(notify, i)),
		       i + 1 == json_array_size(notify) ? "\n" : "");
}

static void show_rcpt(const struct show *show, const json_t *row)
{
	const char *route = talk_text(row, "route"), *target = talk_text(row, "target"),
		   *reply = talk_text(row, "reply");
	char cell[CELL_SIZE], name[CELL_SIZE], when[LOOK_SIZE], lanes[CELL_SIZE];

	/* What it waits for behind them is the route's affair: sendoff why says it. */
	snprintf(lanes, sizeof lanes, "%.*s",
		 SPAN_ARGS(span_first(span_str(target), span_find(span_str(target), ROUTE_CONDITION))));
	printf("\n%s%s%s  %s\n", look_colour(show->cli, LOOK_BOLD),
	       look_text(talk_text(row, "address"), 0, cell, sizeof cell), look_colour(show->cli, LOOK_PLAIN),
	       talk_text(row, "state"));
	if (route[0] || target[0])
		printf("  route      %s -> %s\n", route[0] ? look_text(route, 0, name, sizeof name) : "none",
		       target[0] ? look_text(lanes, 0, cell, sizeof cell) : "nowhere");
	show_wishes(row);
	if (reply[0])
		printf("  last try   %s: %s%s%s\n", look_time(talk_number(row, "last_ms"), show->now_ms, when),
		       look_text(reply, 0, cell, sizeof cell), talk_text(row, "host")[0] ? "  - by " : "",
		       look_text(talk_text(row, "host"), 0, name, sizeof name));
	if (talk_number(row, "attempts"))
		printf("  attempts   %" PRId64 ", next %s\n", talk_number(row, "attempts"),
		       look_until(talk_number(row, "due_ms"), show->now_ms, when));
	show_why(show, row);
}

static void show_history(const struct show *show, const json_t *row)
{
	const char *outcome = talk_text(row, "outcome"), *lane = talk_text(row, "lane"), *tls = talk_text(row, "tls");
	enum look_colour colour = strcmp(outcome, "delivered") == 0 ? LOOK_GREEN : LOOK_RED;
	char cell[CELL_SIZE], name[CELL_SIZE], when[LOOK_SIZE];

	printf("\n%s%s%s  %s%s%s %s after %s\n", look_colour(show->cli, LOOK_BOLD),
	       look_text(talk_text(row, "recipient"), 0, cell, sizeof cell), look_colour(show->cli, LOOK_PLAIN),
	       look_colour(show->cli, colour), outcome, look_colour(show->cli, LOOK_PLAIN),
	       look_time(talk_number(row, "at_ms"), show->now_ms, when),
	       look_age(talk_number(row, "arrival_ms"), talk_number(row, "at_ms"), name));
	if (lane[0])
		printf("  by way of  %s%s%s\n", look_text(lane, 0, cell, sizeof cell), tls[0] ? ", " : "",
		       look_text(tls, 0, name, sizeof name));
	if (talk_text(row, "reply")[0])
		printf("  said       %s%s%s\n", look_text(talk_text(row, "reply"), 0, cell, sizeof cell),
		       talk_text(row, "host")[0] ? "  - by " : "",
		       look_text(talk_text(row, "host"), 0, name, sizeof name));
}

/* What the history knows of a message that has left. */
static void show_past(const struct show *show, const json_t *row)
{
	const char *sender = talk_text(row, "sender");
	char size[TEXT_SIZE_SIZE];

	printf("%s%s%s  no longer queued\n", look_colour(show->cli, LOOK_BOLD), talk_text(row, "id"),
	       look_colour(show->cli, LOOK_PLAIN));
	line("from", sender[0] ? sender : "<> (the null sender)");
	line("subject", talk_text(row, "subject"));
	line("message-id", talk_text(row, "message_id"));
	printf("%-12s %s\n", "size", text_size_print((uint64_t)talk_number(row, "size_bytes"), size));
	submitter_line(talk_text(row, "submitter"));
	time_line("arrived", talk_number(row, "arrival_ms"), show->now_ms);
}

static void on_show(void *arg, const json_t *row)
{
	struct show *show = arg;

	if (show->cli->json) {
		talk_print(row);
		return;
	}
	if (talk_is(row, "message"))
		show_message(show, row);
	else if (talk_is(row, "history") && !show->is_headed)
		show_past(show, row);
	show->is_headed = true;
	if (talk_is(row, "recipient"))
		show_rcpt(show, row);
	else if (talk_is(row, "history"))
		show_history(show, row);
}

/* why: only the recipients and what holds them. */
static void on_why(void *arg, const json_t *row)
{
	const struct show *show = arg;
	char cell[CELL_SIZE];

	if (show->cli->json && !talk_is(row, "message")) {
		talk_print(row);
	} else if (show->cli->json) {
		return;
	} else if (talk_is(row, "recipient")) {
		printf("%s%s%s  %s\n", look_colour(show->cli, LOOK_BOLD),
		       look_text(talk_text(row, "address"), 0, cell, sizeof cell), look_colour(show->cli, LOOK_PLAIN),
		       talk_text(row, "state"));
		show_why(show, row);
	} else if (talk_is(row, "history")) {
		show_history(show, row);
	}
}

static json_t *request_for(const struct cli *cli, const char *verb)
{
	json_t *request = talk_request(cli, verb);

	json_object_set_new(request, "id", json_string(cli->words[0]));
	return request;
}

static int check_id(const struct cli *cli)
{
	uint64_t id;

	if (text_id(span_str(cli->words[0]), &id))
		return 0;
	return cli_fail(EX_USAGE, "%s: not a message id - 13 letters and digits as list shows them", cli->words[0]);
}

static int show(struct cli *cli, const char *verb, void (*row)(void *arg, const json_t *row))
{
	struct show state = { .cli = cli, .now_ms = clock_wall_ms() };
	int status = check_id(cli);

	return status ? status : talk_once(cli, request_for(cli, verb), row, &state, NULL);
}

int verb_show_run(struct cli *cli)
{
	return show(cli, "show", on_show);
}

int verb_show_why(struct cli *cli)
{
	return show(cli, "why", on_why);
}

static void on_data(void *arg, const json_t *row)
{
	struct show *state = arg;
	const char *data = talk_text(row, "data");
	struct buf bytes;

	buf_init(&bytes, PROTOCOL_BODY_PIECE);
	if (!text_base64_decode(&bytes, span_str(data)) ||
	    fwrite(buf_span(&bytes).data, 1, bytes.len, stdout) != bytes.len)
		state->is_failed = true;
	buf_fini(&bytes);
}

int verb_show_cat(struct cli *cli)
{
	struct show state = { .cli = cli };
	int status = check_id(cli);

	if (status == 0)
		status = talk_once(cli, request_for(cli, "cat"), on_data, &state, NULL);
	if (status == 0 && (fflush(stdout) != 0 || state.is_failed))
		status = cli_fail(EX_IOERR, "the message could not be written out");
	return status;
}
