/*
 * users - the users file of a listener: who may log in, and what is kept of their passwords. Bytes in, bytes out.
 *
 * One user a line, "NAME:SECRET"; blank lines and lines that begin with "#" mean nothing. A secret is one or two SCRAM
 * verifiers (base/scram.h), of different hashes, parted by a blank; or one hash of crypt(5): "$y$", "$gy$", "$7$", "$2b$"
 * (also "$2a$", "$2y$"), "$6$", "$5$". Names are UTF-8 in the form of SASLprep (RFC 4013), without blanks and colons.
 *
 * Owns:    a table owns its text, which is overwritten before it is freed.
 * Never:   takes anything for a secret that could be a password itself, and repeats none in what it says.
 * Threads: any, one table per thread.
 */
#ifndef SMTP_USERS_H
#define SMTP_USERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/scram.h"
#include "base/span.h"

enum {
	USERS_FILE_MAX = 4 * 1024 * 1024, /* bytes */
	USERS_NAME_MAX = 255,
	USERS_SECRET_MAX = 640,
	USERS_ERRORS = 20, /* mistakes that are told; the others are counted */
};

struct users;

struct users_entry {
	const char *name;
	const char *secret; /* as in the file */
	unsigned has_scram; /* bit 1 << enum scram_hash */
	unsigned line;
};

/* Never NULL. Lines with mistakes are left out, and `errors` gets a line "file:line: …" for each. */
struct users *users_parse(struct span text, const char *file, struct buf *errors);
void users_free(struct users *users); /* NULL is fine */

size_t users_count(const struct users *users);
/* In the order of their names. */
const struct users_entry *users_at(const struct users *users, size_t i);
/* NULL: there is none. `name` is in the form of SASLprep. */
const struct users_entry *users_find(const struct users *users, const char *name);
/* False: has none of this hash. */
bool users_verifier(const struct users_entry *entry, enum scram_hash hash, struct scram_verifier *out);
/* Everybody has a verifier of this hash, and there is somebody. */
bool users_all_have(const struct users *users, enum scram_hash hash);

/* NULL: it can stand in the file; else what is wrong with it. */
const char *users_secret_mistake(struct span secret);
/* The form of a name that is kept; to be freed by mem_free(). NULL: it can be nobody's name. */
char *users_name(struct span text);

/* A file's text with this user's line put in place of the old one or behind the last, or taken out (`secret` NULL).
 * All other lines stay as they are. *out_had: the user was there. False: `out` is full. */
bool users_edit(struct span text, const char *name, const char *secret, struct buf *out, bool *out_had);

#endif
