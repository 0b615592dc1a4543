/*
 * cli - the command line of sendoff(1) read into one structure, and what every verb says to its user.
 *
 * Options stand before or after the verb and its arguments, "--name value" or "--name=value"; "--" ends them.
 * Owns:    the filter. Threads: one.
 */
#ifndef CLI_H
#define CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/filter.h"

struct verbs_row;

struct cli {
	const struct verbs_row *verb;
	const char *config, *socket; /* as given, or NULL */
	bool json, yes, dry_run, close, help;
	bool quiet;         /* no agent is no mistake */
	int64_t timeout_ms; /* 0: none */
	struct {
		const char *user, *uid, *listener, *host; /* as given, or NULL */
	} explain;
	const char *day; /* as given, or NULL */
	struct {
		const char *file; /* or NULL */
		bool password_stdin, hash_stdin;
	} user;
	struct filter filter; /* checked here, so that mistakes are told before anything is asked */
	json_t *said;         /* the filter as the control protocol takes it */
	char **words;         /* arguments that are no options, and not ids of the filter */
	int word_count;
	char **rest; /* of a verb that reads its own options */
	int rest_count;
	bool is_screen; /* standard output is a terminal */
	bool is_coloured;
	int columns; /* of the terminal; 0: endless */
};

/* 0, or EX_USAGE when the user has been told what is wrong. */
int cli_parse(struct cli *cli, int argc, char **argv);
void cli_fini(struct cli *cli);
/* "sendoff: ..." on standard error; returns `status`. */
int cli_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Asks on the terminal; true without asking where there is none, or with --yes. */
bool cli_agrees(const struct cli *cli, const char *question);

#endif
