/*
 * sendmail_drop - a message kept for the agent while it does not run: a file in its drop directory.
 *
 * The directory belongs to the agent; others may put files into it but neither list it nor take away what is not
 * theirs. The form of a file is smtp/dropfile.h's; its owner tells the agent who sent it.
 *
 * Owns:    its descriptors. The file has no name (or, where the file system knows no such files, an unfinished one)
 *          until it is whole and flushed, so that whoever is killed leaves no half message.
 * Promise: sendmail_drop_finish() returns EX_OK only when file and name are on stable storage.
 * Never:   follows a link, opens a file that is there already.
 * Threads: any, one object per thread.
 *
 * Functions return a status of <sysexits.h>; when it is not EX_OK, `error` has one line for people.
 */
#ifndef SENDMAIL_DROP_H
#define SENDMAIL_DROP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "smtp/dropfile.h"
#include "tools/sendmail_envelope.h"

enum { SENDMAIL_DROP_ERROR_SIZE = 400 };

struct sendmail_drop {
	const char *path; /* of the directory; borrowed */
	int folder, file;
	bool is_listable;                                                 /* by us */
	char name[DROPFILE_NAME_SIZE];                                    /* to be */
	char unfinished[sizeof(DROPFILE_UNFINISHED) + DROPFILE_NAME_LEN]; /* now; "": it has none */
	struct buf out;
	uint64_t promised_bytes; /* of the message, still to come */
	char error[SENDMAIL_DROP_ERROR_SIZE];
};

void sendmail_drop_init(struct sendmail_drop *d);
void sendmail_drop_fini(struct sendmail_drop *d); /* what is not finished goes */
/* e->size_bytes must be exact. */
int sendmail_drop_begin(struct sendmail_drop *d, const char *path, const struct sendmail_envelope *e);
int sendmail_drop_data(struct sendmail_drop *d, struct span bytes);
int sendmail_drop_finish(struct sendmail_drop *d);

/* How many messages wait in the directory. False: it is not there, or we may not look. */
bool sendmail_drop_count(const char *path, uint64_t *out_count);

#endif
