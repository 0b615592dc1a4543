/*
 * fetch - HTTPS requests (libcurl, fetch_work.h), each in a process of its own: what a server makes of libcurl stays in there, and
 *         whatever hangs ends with it.
 *
 * HTTPS only, TLS 1.2 or later, certificate and host always proven; no redirects, no proxies, no cookies, no passwords,
 * nothing from the environment; a total time, a least speed and a cap on the answer.
 * Owns:    the processes, and copies of the requests.
 * Promise: a few at once, others wait, and beyond those it fails at once. `done` never runs from inside fetch_start();
 *          after fetch_cancel() it never runs.
 * Threads: the loop's.
 */
#ifndef FETCH_H
#define FETCH_H

#include "base/span.h"
#include "net/loop.h"

enum { FETCH_AT_ONCE = 16, FETCH_WAITING = 64 };

struct fetch_set;
struct fetch;

struct fetch_set *fetch_set_new(struct loop *loop);
void fetch_set_free(struct fetch_set *set); /* ends what still runs */

/* `request` is the payload of a FETCH, `answer` that of an ANSWER, borrowed for the callback. */
struct fetch *fetch_start(struct fetch_set *set, struct span request, int64_t timeout_ms,
			  void (*done)(void *arg, struct span answer), void *arg);
void fetch_cancel(struct fetch *fetch);

#endif
