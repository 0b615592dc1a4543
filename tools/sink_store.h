/*
 * sink_store - where the sink puts what arrives: a Maildir with the exact bytes, and beside it one JSON file with the
 *              envelope of each message.
 *
 * DIR/new/NAME holds the message as it was received (unstuffed, CRLF line ends); DIR/envelopes/NAME.json is there
 * before it. Owns: its descriptors and the message that is being written. Blocks on the disk. Threads: one.
 */
#ifndef SINK_STORE_H
#define SINK_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct sink_store;
struct sink_store_message;

/* 0 or -errno with a line in `why`. Makes DIR and its folders where they are missing. */
int sink_store_open(const char *directory, bool sync, struct sink_store **out_store, char *why, size_t why_size);
void sink_store_close(struct sink_store *store); /* NULL is fine */

/* NULL: it cannot be made (errno). */
struct sink_store_message *sink_store_begin(struct sink_store *store);
bool sink_store_write(struct sink_store_message *message, struct span bytes);
/* Takes the message and the envelope; false: it is not stored. */
bool sink_store_finish(struct sink_store_message *message, json_t *envelope);
void sink_store_abandon(struct sink_store_message *message); /* NULL is fine */

#endif
