/*
 * instant - points in time as RFC 3339 writes them, to and from milliseconds since 1970 (UTC).
 *
 * Owns nothing; pure: no clock, no time zone of the machine.
 * Threads: any.
 */
#ifndef INSTANT_H
#define INSTANT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* RFC 3339, 5.6: date-time, "2026-11-24T08:40:00Z", "2026-11-24T09:40:00.5+01:00"; every field in its range, days as
 * the month has them. A leap second is taken at the end of a month in UTC only, and is the second after it. False:
 * not that; the out-parameter is untouched. */
bool instant_parse(struct span s, int64_t *out_ms);

enum { INSTANT_SIZE = 64 };
/* "2026-11-24T08:40:00Z": whole seconds, cut. Years 1 to 9999; what lies outside becomes the nearest of them. */
char *instant_print(int64_t ms, char out[INSTANT_SIZE]);

#endif
