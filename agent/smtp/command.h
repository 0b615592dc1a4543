/*
 * command - lines of a client put together from bytes, and what they say (RFC 5321, 4.1.1).
 *
 * Owns:    a reader keeps the part of a line that has come so far, at most COMMAND_LINE_MAX bytes. Spans it hands out
 *          lie in the input or in that buffer and die at the next call.
 * Never:   ends a line at anything but CRLF.
 * Threads: any, one object per thread.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "smtp/address.h"

enum {
	COMMAND_SHORT_MAX = 512,  /* RFC 5321, 4.5.3.1.4, with CRLF */
	COMMAND_AUTH_MAX = 12288, /* RFC 4954, 4 */
	COMMAND_LINE_MAX = COMMAND_AUTH_MAX,
	COMMAND_FLOOD_MAX = 65536, /* a refused line is read on for so many bytes */
	COMMAND_PARAMS_MAX = 16,
};

/* verb, longest line in bytes with CRLF; extensions add to it (server_params.c) */
#define COMMAND_VERBS(X)               \
	X(HELO, COMMAND_SHORT_MAX)     \
	X(EHLO, COMMAND_SHORT_MAX)     \
	X(MAIL, COMMAND_SHORT_MAX)     \
	X(RCPT, COMMAND_SHORT_MAX)     \
	X(DATA, COMMAND_SHORT_MAX)     \
	X(BDAT, COMMAND_SHORT_MAX)     \
	X(RSET, COMMAND_SHORT_MAX)     \
	X(NOOP, COMMAND_SHORT_MAX)     \
	X(QUIT, COMMAND_SHORT_MAX)     \
	X(VRFY, COMMAND_SHORT_MAX)     \
	X(EXPN, COMMAND_SHORT_MAX)     \
	X(HELP, COMMAND_SHORT_MAX)     \
	X(STARTTLS, COMMAND_SHORT_MAX) \
	X(AUTH, COMMAND_AUTH_MAX)

enum command_verb {
#define X(verb, max) COMMAND_##verb,
	COMMAND_VERBS(X)
#undef X
		COMMAND_UNKNOWN,
	COMMAND_HTTP, /* a browser, or somebody who makes one talk to us: hang up */
};

const char *command_verb_name(enum command_verb verb);
size_t command_verb_max(enum command_verb verb);
/* COMMAND_UNKNOWN where it is none. */
enum command_verb command_verb_of(struct span word);

/* ---------------------------------------------------------------- lines */

struct command_reader {
	struct buf held;  /* of the line that is coming */
	size_t skipped;   /* of the line that is being skipped */
	bool is_skipping; /* the line was refused; its rest goes */
	bool was_chunk;   /* the line refused last began with BDAT: what follows it may be no command */
	bool after_cr;    /* a CR came last and is not in `held` */
	bool was_held;    /* the line handed out lies in `held` */
};

enum command_read {
	COMMAND_MORE,
	COMMAND_LINE,  /* a whole line, without CRLF */
	COMMAND_BARE,  /* this line has a bare CR or LF in it: said once, at once; its rest will be skipped */
	COMMAND_LONG,  /* this line is longer than COMMAND_LINE_MAX: likewise */
	COMMAND_FLOOD, /* the refused line does not end: give up */
};

void command_reader_init(struct command_reader *r);
void command_reader_fini(struct command_reader *r);
/* Takes bytes off the front of *in up to the end of a line. Call again while *in is not empty. */
enum command_read command_read(struct command_reader *r, struct span *in, struct span *out_line);
/* Overwrites what is held, after a secret. A line that is being skipped is still skipped to its end. */
void command_reader_wipe(struct command_reader *r);

/* ---------------------------------------------------------------- commands */

struct command {
	enum command_verb verb;
	struct span args; /* behind the verb, without blanks around it */
	size_t len;       /* of the line, with CRLF */
};

/* Cannot fail: what is not understood is COMMAND_UNKNOWN. Whatever looks like BDAT is BDAT, if need be with arguments
 * that mean nothing: the peer will send a chunk behind it. */
void command_parse(struct span line, struct command *out);

struct command_param {
	struct span key, value;
	bool has_value;
};

/* The arguments of MAIL ("FROM:<path> params") and RCPT ("TO:<path> params"). */
struct command_path {
	struct address address;
	struct command_param params[COMMAND_PARAMS_MAX];
	size_t param_count;
};

enum command_path_verdict {
	COMMAND_PATH_OK,
	COMMAND_PATH_WORD,    /* FROM: or TO: is missing */
	COMMAND_PATH_ADDRESS, /* *out_err says why */
	COMMAND_PATH_PARAM,   /* not keyword or keyword=value (RFC 5321, 4.1.2) */
	COMMAND_PATH_MANY,    /* more than COMMAND_PARAMS_MAX */
};

/* `word` is "FROM:" or "TO:", `options` are address_options. A blank behind the colon is let through, as many clients
 * send one. */
enum command_path_verdict command_path(struct span args, struct span word, unsigned options, struct command_path *out,
				       enum address_err *out_err);

#endif
