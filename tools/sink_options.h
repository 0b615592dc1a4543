/*
 * sink_options - the command line of `sendoff sink`.
 *
 * Owns:    the rules. Texts are borrowed from the arguments. Threads: one.
 */
#ifndef SINK_OPTIONS_H
#define SINK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli.h"
#include "sink_rules.h"

struct sink_options {
	const char *listen, *port_file, *name;
	enum { SINK_OPTIONS_PLAIN, SINK_OPTIONS_STARTTLS, SINK_OPTIONS_IMPLICIT } tls;
	const char *write_ca, *certificate, *key;
	char *user;           /* NULL: AUTH is not offered */
	const char *password; /* lies behind `user` */
	const char *maildir;
	bool discard, sync, quiet, json;
	bool optional_auth; /* AUTH is offered but not demanded */
	bool silent;
	unsigned without; /* SERVER_... features that are not offered */
	uint64_t max_size_bytes;
	uint64_t max_recipients;
	uint64_t exit_after; /* messages; 0: never */
	struct sink_rules rules;
};

/* 0, or EX_USAGE when the user has been told. */
int sink_options_parse(struct sink_options *options, const struct cli *cli);
void sink_options_fini(struct sink_options *options);
void sink_options_help(FILE *out);

#endif
