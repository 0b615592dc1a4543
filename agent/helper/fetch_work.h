/*
 * fetch_work - what the process of one HTTPS request does (fetch.h): loads libcurl, asks, writes the answer.
 *
 * Never:   gives anything back: the process ends behind it.
 * Promise: libcurl is loaded here and in no process that lives on.
 * Threads: one. Only fetch_work.c includes <curl/curl.h>.
 */
#ifndef FETCH_WORK_H
#define FETCH_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* `request` is the payload of a FETCH; that of an ANSWER goes into `out`, or nothing when the request is no good. */
void fetch_work(struct span request, int64_t timeout_ms, struct buf *out);

/* The first of `names` (up to NULL) that is there. False: none is, or it is too old; `why` is for people. */
bool fetch_work_load(const char *const *names, struct buf *why);

#endif
