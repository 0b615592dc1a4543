/*
 * talk - one conversation with the agent over its control socket.
 *
 * Owns:    the connection. Blocks; ends with a clear word and an exit status when the agent does not answer.
 * Threads: one.
 */
#ifndef TALK_H
#define TALK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli.h"

struct talk;

/* 0; or an exit status when the user has been told why there is no agent to talk to. */
int talk_open(const struct cli *cli, struct talk **out_talk);
void talk_close(struct talk *talk); /* NULL is fine */

/* {"v":1,"verb":VERB} with the filter of the command line, if there is any. */
json_t *talk_request(const struct cli *cli, const char *verb);

/* Sends the request (taken) and hands every row to `row` (borrowed; NULL: none is wanted). 0 with the last line in
 * *out_done (to be freed by the caller; may be NULL), or an exit status when the user has been told. */
int talk_ask(struct talk *talk, json_t *request, void (*row)(void *arg, const json_t *row), void *arg,
	     json_t **out_done);
/* The same with its own connection. */
int talk_once(const struct cli *cli, json_t *request, void (*row)(void *arg, const json_t *row), void *arg,
	      json_t **out_done);

/* From now on SIGINT ends the answer that is being read: talk_ask() then returns TALK_INTERRUPTED without a word. */
enum { TALK_INTERRUPTED = 130 };
void talk_catch_interrupt(void);

/* Fields of a row; "", 0 and false where there is none of that kind. */
const char *talk_text(const json_t *row, const char *key);
int64_t talk_number(const json_t *row, const char *key);
bool talk_bool(const json_t *row, const char *key);
bool talk_is(const json_t *row, const char *type);
/* One line of JSON on standard output. */
void talk_print(const json_t *row);

#endif
