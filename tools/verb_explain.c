#include "verb_explain.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/text.h"
#include "look.h"
#include "talk.h"
#include "verb_test.h"

enum { CELL_SIZE = 2048, STEP_WIDTH = 10 };

struct explain {
	const struct cli *cli;
	bool is_headed; /* the smart hosts have begun */
};

/* "  (/etc/sendoff/sendoff.conf:12)", where a line said so. */
static void place(const struct explain *e, const char *file, int64_t line)
{
	char cell[CELL_SIZE];

	if (file[0] && line)
		printf("  %s(%s:%" PRId64 ")%s", look_colour(e->cli, LOOK_DIM), look_text(file, 0, cell, sizeof cell),
		       line, look_colour(e->cli, LOOK_PLAIN));
	putchar('\n');
}

static void show_rule(const struct explain *e, const json_t *row)
{
	const char *verdict = talk_text(row, "verdict");
	enum look_colour colour = strcmp(verdict, "no") == 0    ? LOOK_RED
				  : strcmp(verdict, "yes") == 0 ? LOOK_GREEN
								: LOOK_PLAIN;
	char cell[CELL_SIZE];

	printf("%s%-*s%s %s%s", look_colour(e->cli, colour), STEP_WIDTH, talk_text(row, "step"),
	       look_colour(e->cli, LOOK_PLAIN), strcmp(verdict, "no") == 0 ? "NO: " : "",
	       look_text(talk_text(row, "text"), 0, cell, sizeof cell));
	place(e, talk_text(row, "file"), talk_number(row, "line"));
}

static const char *how(const json_t *row)
{
	const char *word = talk_text(row, "how");

	if (strcmp(word, "alias") == 0)
		return "by an alias";
	if (strcmp(word, "identity") == 0)
		return "by the identity, which gives bare names this address";
	return strcmp(word, "qualified") == 0 ? "a bare name, with this machine's name" : "as given";
}

static void show_rcpt(const struct explain *e, const json_t *row)
{
	const json_t *via = json_object_get(row, "via");
	char cell[CELL_SIZE], lifetime[TEXT_DURATION_SIZE], warning[TEXT_DURATION_SIZE];
	int64_t warn_ms = talk_number(row, "warn_after_ms");

	printf("\n%s%s%s  %s", look_colour(e->cli, LOOK_BOLD),
	       look_text(talk_text(row, "address"), 0, cell, sizeof cell), look_colour(e->cli, LOOK_PLAIN), how(row));
	place(e, talk_text(row, "file"), talk_number(row, "line"));
	if (!talk_text(row, "route")[0]) {
		printf("  %-8s none fits: the mail is taken, and waits until one does\n", "route");
	} else {
		printf("  %-8s %s ->", "route", look_text(talk_text(row, "route"), 0, cell, sizeof cell));
		for (size_t i = 0; i < json_array_size(via); i++) {
			const char *name = json_string_value(json_array_get(via, i));

			/* Those with weights stand in front, and share. */
			printf("%s %s",
			       !i                  ? ""
			       : strchr(name, '=') ? " and"
						   : ", then",
			       look_text(name, 0, cell, sizeof cell));
		}
		place(e, talk_text(row, "route_file"), talk_number(row, "route_line"));
	}
	printf("  %-8s after %s", "given up", text_duration_print(talk_number(row, "lifetime_ms"), lifetime));
	if (warn_ms)
		printf("; the sender hears that it waits after %s", text_duration_print(warn_ms, warning));
	putchar('\n');
}

/* "192.0.2.1 or 2001:db8::1" */
static void show_source(const json_t *source)
{
	char cell[CELL_SIZE];

	for (size_t i = 0; i < json_array_size(source); i++)
		printf("%s%s", i ? " or " : "  from ",
		       look_text(json_string_value(json_array_get(source, i)), 0, cell, sizeof cell));
}

static void show_way(const struct explain *e, const json_t *row)
{
	const char *proxy = talk_text(row, "proxy");
	int64_t weight = talk_number(row, "weight");
	char cell[CELL_SIZE];

	printf("  %-8s %s", "way", look_text(talk_text(row, "lane"), 0, cell, sizeof cell));
	if (weight)
		printf(" (weight %" PRId64 ")", weight);
	if (!talk_text(row, "to")[0]) {
		printf("  there is no such smart host\n");
		return;
	}
	printf("  %s", look_text(talk_text(row, "to"), 0, cell, sizeof cell));
	show_source(json_object_get(row, "source"));
	if (proxy[0])
		printf("  through the proxy %s", look_text(proxy, 0, cell, sizeof cell));
	place(e, talk_text(row, "file"), talk_number(row, "line"));
	printf("  %-8s %s: %s\n", "", talk_text(row, "tls"), look_text(talk_text(row, "proof"), 0, cell, sizeof cell));
}

static void show_condition(const struct explain *e, const json_t *row)
{
	bool holds = talk_bool(row, "holds");
	char cell[CELL_SIZE];

	printf("  %-8s %s: %s%s%s", "when", look_text(talk_text(row, "when"), 0, cell, sizeof cell),
	       look_colour(e->cli, holds ? LOOK_GREEN : LOOK_RED),
	       holds                       ? "so it is now"
	       : talk_bool(row, "unknown") ? "nobody can see; the mail is taken, and waits"
					   : "not so now; the mail is taken, and waits until it is",
	       look_colour(e->cli, LOOK_PLAIN));
	place(e, talk_text(row, "file"), talk_number(row, "line"));
}

static void show_lane(struct explain *e, const json_t *row)
{
	const char *trouble = talk_text(row, "trouble"), *paused_by = talk_text(row, "paused_by");
	bool is_well = strcmp(trouble, "well") == 0 && !paused_by[0];
	char cell[CELL_SIZE];

	if (!e->is_headed)
		putchar('\n');
	e->is_headed = true;
	printf("%-*s %s", STEP_WIDTH, strncmp(talk_text(row, "name"), "mx:", 3) == 0 ? "domain" : "smarthost",
	       look_text(talk_text(row, "name"), 0, cell, sizeof cell));
	printf("  %s  %s", look_text(talk_text(row, "host"), 0, cell, sizeof cell),
	       look_colour(e->cli, is_well ? LOOK_GREEN : LOOK_RED));
	if (paused_by[0])
		printf("paused by %s", look_text(paused_by, 0, cell, sizeof cell));
	else if (is_well)
		printf("well");
	else
		printf("%s: %s", trouble, look_text(talk_text(row, "error"), 0, cell, sizeof cell));
	printf("%s\n", look_colour(e->cli, LOOK_PLAIN));
}

/* Steps follow: what DNS and policies say of it now. */
static void show_look(const struct explain *e, const json_t *row)
{
	char cell[CELL_SIZE];

	printf("\n%s%s%s  as it is now\n", look_colour(e->cli, LOOK_BOLD),
	       look_text(talk_text(row, "lane"), 0, cell, sizeof cell), look_colour(e->cli, LOOK_PLAIN));
}

static bool is_bad(const json_t *step)
{
	return strcmp(talk_text(step, "end"), "failed") == 0;
}

static void on_row(void *arg, const json_t *row)
{
	struct explain *e = arg;

	if (e->cli->json)
		talk_print(row);
	else if (talk_is(row, "rule"))
		show_rule(e, row);
	else if (talk_is(row, "recipient"))
		show_rcpt(e, row);
	else if (talk_is(row, "condition"))
		show_condition(e, row);
	else if (talk_is(row, "way"))
		show_way(e, row);
	else if (talk_is(row, "lane"))
		show_lane(e, row);
	else if (talk_is(row, "look"))
		show_look(e, row);
	else if (talk_is(row, "step") && (strcmp(talk_text(row, "what"), "result") != 0 || is_bad(row)))
		verb_test_step(e->cli, row);
	fflush(stdout);
}

static void add(json_t *request, const char *key, const char *value)
{
	if (value)
		json_object_set_new(request, key, json_string(value));
}

/* A number or a name of this machine. */
static int add_uid(json_t *request, const char *text)
{
	const struct passwd *user = NULL;
	uint64_t uid;

	if (!text)
		return 0;
	if (!text_number(span_str(text), UINT32_MAX - 1, &uid)) {
		user = getpwnam(text);
		if (!user)
			return cli_fail(EX_USAGE, "--uid %s: there is no such user", text);
		uid = user->pw_uid;
	}
	json_object_set_new(request, "uid", json_integer((json_int_t)uid));
	return 0;
}

int verb_explain_run(struct cli *cli)
{
	struct explain e = { .cli = cli };
	json_t *request = talk_request(cli, "explain"), *done = NULL;
	int status = add_uid(request, cli->explain.uid);

	json_object_del(request, "filter");
	if (!status && (!json_object_get(cli->said, "from") || !json_object_get(cli->said, "to")))
		status = cli_fail(EX_USAGE, "explain needs --from and --to - as in sendoff explain --from %s --to %s",
				  "root", "you@example.com");
	if (status) {
		json_decref(request);
		return status;
	}
	json_object_set(request, "from", json_object_get(cli->said, "from"));
	json_object_set(request, "to", json_object_get(cli->said, "to"));
	add(request, "user", cli->explain.user);
	add(request, "listener", cli->explain.listener);
	add(request, "host", cli->explain.host);
	status = talk_once(cli, request, on_row, &e, &done);
	if (!status && cli->json)
		talk_print(done);
	else if (!status)
		printf("\n%sThis mail would be %s.%s\n",
		       look_colour(cli, talk_bool(done, "accepted") ? LOOK_GREEN : LOOK_RED),
		       talk_bool(done, "accepted") ? "accepted" : "refused", look_colour(cli, LOOK_PLAIN));
	json_decref(done);
	return status;
}
