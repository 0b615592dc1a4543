/*
 * request - one line of a client read into a structure.
 *
 * Keys: "v" (1) and "verb" always; "filter" (an object: the options of filter.h with text as on the command line,
 * "all": true, "ids": [ID, ...]), "id", "lane", "dry_run", "close", "timeout_ms", and for explain "from", "to", "user",
 * "uid", "listener", "host" by verb; for tlsrpt "day" and "domain".
 * Anything else is refused: a misspelt filter must not choose everything.
 * Owns:    its filter. Pure. Threads: any, one object per thread.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "control/filter.h"

struct request {
	char verb[24];
	struct filter filter;
	uint64_t id;    /* 0: not said */
	char lane[300]; /* "": not said; for test also a domain */
	bool dry_run;
	bool close;         /* drain: no new mail meanwhile */
	int64_t timeout_ms; /* drain; 0: none */
	/* explain: texts are "" where they were not said */
	char from[320], to[320];
	bool has_from, has_to;
	char user[256], listener[64], host[64];
	int64_t uid; /* -1: not said */
	/* tlsrpt: likewise */
	char day[16], domain[300];
};

/* True: `out` is filled and request_fini() is owed. False: `why` says what is wrong, for people. */
bool request_parse(struct span line, struct request *out, char *why, size_t why_size);
void request_fini(struct request *request);

#endif
