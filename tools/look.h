/*
 * look - how things look to people: ages, times, colours, cut and cleaned text.
 *
 * Results in a buffer of the caller's. Threads: any.
 */
#ifndef LOOK_H
#define LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"

enum { LOOK_SIZE = 48 };

/* "45s", "12m", "3h", "5d" since then; "-" for 0. */
char *look_age(int64_t then_ms, int64_t now_ms, char out[LOOK_SIZE]);
/* "in 12m", to the nearest; "now" for what has passed. */
char *look_until(int64_t then_ms, int64_t now_ms, char out[LOOK_SIZE]);
/* "05:41:12" of today, "Nov 23 05:41" of another day; "-" for 0. */
char *look_time(int64_t then_ms, int64_t now_ms, char out[LOOK_SIZE]);
/* Fit for a terminal, cut at `width` characters with an ellipsis (0: not cut). */
char *look_text(const char *text, size_t width, char *out, size_t size);

enum look_colour { LOOK_PLAIN, LOOK_BOLD, LOOK_DIM, LOOK_RED, LOOK_GREEN, LOOK_YELLOW };
/* The escape sequence, or "" where there are no colours. LOOK_PLAIN ends a colour. */
const char *look_colour(const struct cli *cli, enum look_colour colour);

/* "1 message", "2 messages": a noun with an s. */
char *look_count(uint64_t count, const char *noun, char out[LOOK_SIZE]);
/* What a gate's word means: "held by an operator". */
const char *look_gate(const char *gate);

#endif
