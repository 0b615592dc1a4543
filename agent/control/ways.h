/*
 * ways - the ways that a target leaves open, in words: which hosts, what TLS has to prove, from where and through whom.
 *
 * It tells what the configuration says; nobody is asked whether it works.
 * Pure. Results belong to the caller. Threads: any.
 */
#ifndef WAYS_H
#define WAYS_H

#include <jansson.h>

#include "config.h"

/* {"type":"way"} of the next lane of a target, which is moved behind it; NULL at its end. */
json_t *ways_next(const struct config *config, struct span *io_target);

#endif
