/*
 * limits - how much one client may have open and one submitter may hand in.
 *
 * Owns:    one small record per client or submitter that is active; forgotten when nothing is open and its bucket
 *          is full again. Bounded: LIMITS_MAX records, a client beyond them is refused until there is room.
 * Never:   reads a clock.
 * Threads: one.
 */
#ifndef LIMITS_H
#define LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

enum { LIMITS_MAX = 16384 };

struct limits;

struct limits *limits_new(void);
void limits_free(struct limits *limits);

/* One more connection of `client`; false when it has `max` (0: no limit) already, or there is no room. */
bool limits_open(struct limits *limits, const char *client, uint32_t max, int64_t now_ms);
void limits_close(struct limits *limits, const char *client);

/* Takes one message from the submitter's bucket: 0, or the milliseconds until one may be taken. A bucket holds
 * rate.count messages and refills at the rate. */
int64_t limits_take(struct limits *limits, const char *submitter, struct config_rate rate, int64_t now_ms);

#endif
