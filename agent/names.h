/*
 * names - the aliases file of the configuration with what it includes, kept as the files are.
 *
 * Owns:    the table that is in use (counted, so that a message begun with it may end with it).
 * Promise: a file that cannot be read never takes a good table away; of a file with mistakes the good lines count. What
 *          is wrong is handed out once.
 * Bounds:  NAMES_FILES files, ALIASES_MAX_BYTES of each; only regular files that not everybody may change are read.
 * Threads: one.
 */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "config.h"
#include "message/aliases.h"

enum { NAMES_FILES = 256 };

struct names;

struct names *names_new(void);
void names_free(struct names *names); /* NULL is fine */
/* Looks whether the files have changed (at most once a second of `boot_ms`) and reads them again. True: `errors` (cleared
 * first) got lines "file:line: …" for people, which are to be logged. */
bool names_refresh(struct names *names, const struct config *config, int64_t boot_ms, struct buf *errors);
/* NULL where the configuration names no file, or it could never be read. Borrowed until the next refresh. */
struct aliases *names_aliases(const struct names *names);
/* What is wrong with the files as they are now: the first line of it, or "". Borrowed until the next refresh. */
const char *names_error(const struct names *names);

#endif
