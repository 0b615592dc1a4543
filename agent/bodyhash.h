/*
 * bodyhash - the digest of message bodies that the queue is given: SHA-256. The queue itself knows no crypto.
 *
 * Threads: as struct queue_hash says.
 */
#ifndef BODYHASH_H
#define BODYHASH_H

#include "queue/queue.h"

extern const struct queue_hash bodyhash_sha256;

#endif
