/*
 * roster - a listener's users file, read again when it changes.
 *
 * Owns:    the table. What cannot be used lets nobody in: a file that is gone, too large, or open to everybody.
 * Threads: one.
 */
#ifndef ROSTER_H
#define ROSTER_H

#include <stdint.h>

#include "base/buf.h"
#include "smtp/users.h"

struct roster;

struct roster *roster_new(const char *file);
void roster_free(struct roster *roster); /* NULL is fine */
const char *roster_file(const struct roster *roster);

/* The users as they are now; looks at the file at most once a second of boot time. NULL: it cannot be used. `errors` gets
 * lines for people whenever the file was read. Valid until the next call. */
const struct users *roster_users(struct roster *roster, int64_t boot_ms, struct buf *errors);

#endif
