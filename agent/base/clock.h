/*
 * clock - the two clocks, read only by drivers; engines are given the time.
 *
 * Boot time never jumps and counts suspend (CLOCK_BOOTTIME): deadlines are measured on it.
 * Wall time is what the queue stores and people read; it may jump.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_boot_ms(void);
int64_t clock_wall_ms(void);

enum { CLOCK_DATE_SIZE = 96 };

/* RFC 5322, 3.3: "Tue, 24 Nov 2026 05:30:00 +0000", in local time. Returns `out`. */
char *clock_date(int64_t wall_ms, char out[CLOCK_DATE_SIZE]);
/* RFC 3339 in local time with zone: "2026-11-24T05:30:00+00:00". Returns `out`. */
char *clock_stamp(int64_t wall_ms, char out[CLOCK_DATE_SIZE]);

#endif
