/*
 * helper - the agent's side of sendoff-helper, the process that runs what the agent itself must not.
 *
 * Owns:    the process and the socket to it. It is started once, before the queue is opened: the agent never forks
 *          afterwards. When it dies, open requests fail, and so do all later ones; both are temporary failures.
 * Promise: `done` never runs from inside a call; after helper_cancel() it never runs.
 * Threads: the loop's. helper_start() before any other thread exists.
 */
#ifndef HELPER_H
#define HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "net/loop.h"

struct helper;
struct helper_request;

/* Starts `program` (the path of sendoff-helper) as the present user. On failure NULL, with `why`. */
struct helper *helper_start(struct loop *loop, const char *program, char *why, size_t why_size);
/* The same as another user, where the agent is still root and will give that up. */
struct helper *helper_start_as(struct loop *loop, const char *program, const char *user, char *why, size_t why_size);
/* Ends the process and everything that it runs. NULL is fine. Open requests are forgotten. Not from inside `done`. */
void helper_free(struct helper *helper);
bool helper_is_alive(const struct helper *helper);

/*
 * Runs a command of the configuration by the shell, for at most `timeout_ms` (0: 30 s). When ok, `output` is the first
 * line that it printed, never empty; else `error` says for people what went wrong. Both are borrowed for the callback,
 * and `output` is overwritten after it.
 */
struct helper_request *helper_command(struct helper *helper, const char *command, int64_t timeout_ms,
				      void (*done)(void *arg, bool ok, struct span output, const char *error),
				      void *arg);
enum helper_verdict { HELPER_YES, HELPER_NO, HELPER_UNDONE };

/*
 * Is this the password of `secret` (what a users file keeps of it)? Takes long by design, some at once; HELPER_UNDONE,
 * with `why` for the log, when it cannot be found out just now. The password is copied and the copies are overwritten.
 */
struct helper_request *helper_check(struct helper *helper, const char *secret, const char *password,
				    void (*done)(void *arg, enum helper_verdict verdict, const char *why), void *arg);

/* An HTTPS request (RFC 9110): no redirects, the certificate is proven for the URL's host. All is borrowed for the call. */
struct helper_fetch {
	const char *url;       /* https:// */
	const char *addresses; /* "192.0.2.1,2001:db8::1": where the host is, by our own resolver; NULL: the system's */
	const char *ca_file;   /* NULL: the system's authorities */
	const char *content_type; /* of `body`; NULL: GET instead of POST */
	struct span body;
	uint32_t max_bytes; /* of the answer; 0: 64 KiB, which is the most there is */
	int64_t timeout_ms; /* of all of it; 0: 60 s (RFC 8461, 3.3) */
};
struct helper_answer {
	bool ok;                  /* an answer came; its status may still be any */
	unsigned status;          /* of HTTP */
	const char *content_type; /* as sent, or "" */
	struct span body;
	bool is_tls;       /* not ok: the certificate or TLS failed */
	const char *error; /* not ok: for people */
};
struct helper_request *helper_fetch(struct helper *helper, const struct helper_fetch *fetch,
				    void (*done)(void *arg, const struct helper_answer *answer), void *arg);

/* NULL is fine. */
void helper_cancel(struct helper_request *request);

#endif
