#include "verb_agent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config.h"
#include "look.h"
#include "talk.h"

/* ---------------------------------------------------------------- check */

static void add_lines(json_t *list, struct buf *text)
{
	struct span rest = buf_span(text);

	while (rest.len) {
		size_t end = span_find(rest, '\n');

		if (end)
			json_array_append_new(list, json_stringn(rest.data, end));
		rest = span_from(rest, end + 1);
	}
}

static void print_json(const char *file, bool is_good, struct buf *errors, struct buf *warnings)
{
	json_t *object = json_pack("{s:s,s:s,s:b,s:[],s:[]}", "type", "check", "file", file ? file : "", "ok", is_good,
				   "errors", "warnings");

	add_lines(json_object_get(object, "errors"), errors);
	add_lines(json_object_get(object, "warnings"), warnings);
	talk_print(object);
	json_decref(object);
}

static void print_plain(const char *file, const struct config *config, struct buf *errors, struct buf *warnings)
{
	char hosts[LOOK_SIZE], routes[LOOK_SIZE];

	fwrite(buf_span(errors).data, 1, errors->len, stderr);
	fwrite(buf_span(warnings).data, 1, warnings->len, stderr);
	if (config)
		printf("%s: no mistakes (%s, %s)\n", file ? file : "built-in defaults",
		       look_count(config->smarthost_count, "smart host", hosts),
		       look_count(config->route_count, "route", routes));
}

int verb_agent_check(struct cli *cli)
{
	char *file = cli->word_count ? mem_strdup(cli->words[0]) : config_find(cli->config);
	struct buf errors, warnings;
	struct config *config;
	int status = 0;

	buf_init(&errors, 256 * 1024);
	buf_init(&warnings, 256 * 1024);
	config = config_load(file, &errors, &warnings);
	if (!config)
		status = EX_CONFIG;
	if (!config && file && access(file, R_OK) < 0 && errno == EACCES)
		status = EX_NOPERM;
	if (cli->json)
		print_json(file, config != NULL, &errors, &warnings);
	else
		print_plain(file, config, &errors, &warnings);
	config_unref(config);
	buf_fini(&errors);
	buf_fini(&warnings);
	mem_free(file);
	return status;
}

/* ---------------------------------------------------------------- reload */

static void on_report(void *arg, const json_t *row)
{
	const struct cli *cli = arg;
	const json_t *lines = json_object_get(row, "lines");

	if (cli->json) {
		talk_print(row);
		return;
	}
	for (size_t i = 0; i < json_array_size(lines); i++)
		puts(json_string_value(json_array_get(lines, i)));
	fflush(stdout);
}

int verb_agent_reload(struct cli *cli)
{
	json_t *done = NULL;
	char count[LOOK_SIZE];
	int status = talk_once(cli, talk_request(cli, "reload"), on_report, cli, &done);

	if (done && cli->json)
		talk_print(done);
	else if (done)
		printf("The configuration was reloaded; %s changed route.\n",
		       look_count((uint64_t)talk_number(done, "rerouted"), "message", count));
	json_decref(done);
	return status;
}

/* ---------------------------------------------------------------- version */

int verb_agent_version(struct cli *cli)
{
	struct talk *talk = NULL;
	json_t *done = NULL;

	if (!cli->json)
		printf("sendoff %s\n", SENDOFF_VERSION);
	cli->quiet = true;
	if (talk_open(cli, &talk) == 0)
		talk_ask(talk, talk_request(cli, "version"), NULL, NULL, &done);
	talk_close(talk);
	if (cli->json) {
		json_t *object = json_pack("{s:s,s:s,s:o}", "type", "version", "sendoff", SENDOFF_VERSION, "agent",
					   done ? json_incref(done) : json_null());

		talk_print(object);
		json_decref(object);
	} else if (done) {
		printf("sendoffd %s (pid %" PRId64 ")\n", talk_text(done, "version"), talk_number(done, "pid"));
	} else {
		puts("sendoffd is not running");
	}
	json_decref(done);
	return 0;
}

/* ---------------------------------------------------------------- verify */

static void on_finding(void *arg, const json_t *row)
{
	const struct cli *cli = arg;
	char cell[1024];

	if (cli->json)
		talk_print(row);
	else
		printf("%-13s %s\n", talk_text(row, "id"), look_text(talk_text(row, "text"), 0, cell, sizeof cell));
	fflush(stdout);
}

int verb_agent_verify(struct cli *cli)
{
	json_t *done = NULL;
	char messages[LOOK_SIZE], findings[LOOK_SIZE];
	int status = talk_once(cli, talk_request(cli, "verify"), on_finding, cli, &done);

	if (done && cli->json)
		talk_print(done);
	else if (done)
		printf("%s looked at, %s.\n", look_count((uint64_t)talk_number(done, "messages"), "message", messages),
		       look_count((uint64_t)talk_number(done, "findings"), "finding", findings));
	if (status == 0 && talk_number(done, "findings"))
		status = EX_DATAERR;
	json_decref(done);
	return status;
}
