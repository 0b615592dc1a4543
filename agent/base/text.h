/*
 * text - small readings and writings of text: durations, sizes, rates, base64, message ids, xtext,
 * globs, hashes, and the cleaning of text that strangers wrote.
 *
 * Owns nothing; pure. Readers return false and leave the out-parameters untouched on bad input.
 * Threads: any.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

/* "90s", "5m", "4h", "5d", also sums ("1h30m"), "0". Milliseconds, never negative. */
bool text_duration(struct span s, int64_t *out_ms);
/* For people: "45s", "4m10s", "3h05m", "2d04h". */
enum { TEXT_DURATION_SIZE = 24 };
char *text_duration_print(int64_t ms, char out[TEXT_DURATION_SIZE]);

/* "50M", "4G", "512k", "1000": powers of 1024. */
bool text_size(struct span s, uint64_t *out_bytes);
enum { TEXT_SIZE_SIZE = 24 };
char *text_size_print(uint64_t bytes, char out[TEXT_SIZE_SIZE]);

/* "30/min", "10/s", "100/h", "500/day"; "0": no limit (count 0). */
bool text_rate(struct span s, uint32_t *out_count, int64_t *out_per_ms);

/* Decimal digits only, no sign, no blank, at most `max`. */
bool text_number(struct span s, uint64_t max, uint64_t *out_number);

/* "-17" */
enum { TEXT_NUMBER_SIZE = 21 };
char *text_number_print(int64_t number, char out[TEXT_NUMBER_SIZE]);

/* The strings one behind the other, up to a NULL; what does not fit into `size` bytes is cut. */
char *text_join(char *out, size_t size, ...) __attribute__((sentinel));

/* RFC 4648, 4. Decoding is strict: no blanks, right padding, no stray bits. */
bool text_base64_encode(struct buf *out, struct span s);
bool text_base64_decode(struct buf *out, struct span s);

/* RFC 3461, 4: xtext. Decoding refuses lower-case hex and bytes that xtext must not contain. */
bool text_xtext_encode(struct buf *out, struct span s);
bool text_xtext_decode(struct buf *out, struct span s);
/* RFC 6533, 3: utf-8-addr-xtext, which needs only ASCII, or utf-8-addr-unitext. `s` is valid UTF-8. */
bool text_utf8_xtext_encode(struct buf *out, struct span s, bool is_unitext);

/* A message id as people see it: 13 characters of lower-case base32 without i, l, o, u; sorts by age. */
enum { TEXT_ID_LEN = 13, TEXT_ID_SIZE = TEXT_ID_LEN + 1 };
char *text_id_print(uint64_t id, char out[TEXT_ID_SIZE]);
bool text_id(struct span s, uint64_t *out_id);

/* '*' any run, '?' one byte; ASCII case folded. Linear memory, quadratic time at worst. */
bool text_glob(const char *pattern, struct span s);

/* What a stranger wrote, fit for logs, reports and listings: control bytes and bytes that are not valid UTF-8
 * become '?', runs of blanks one space, cut at `max` bytes on a character boundary. Appends to `out`. */
bool text_clean(struct buf *out, struct span s, size_t max);
bool text_is_utf8(struct span s);
bool text_is_ascii(struct span s);

/* FNV-1a, ASCII case folded, to find text in a table: what is equal has the same, with or without regard to case. */
uint32_t text_hash(struct span s);

/* Edit distance (insert, delete, replace, swap) for "did you mean"; at most 64 bytes a side, else SIZE_MAX. */
size_t text_distance(const char *a, const char *b);

#endif
