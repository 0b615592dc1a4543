/*
 * letter - the message that the load generators send: so many bytes, with the time of its sending in the first field.
 *
 * The stamp is of CLOCK_MONOTONIC, which all processes of a machine share: the sink knows from it how long a message was
 * under way.
 * Owns:    the bytes.
 * Threads: one.
 */
#ifndef LETTER_H
#define LETTER_H

#include <stddef.h>
#include <stdint.h>

#define LETTER_FIELD "X-Sent: "
enum {
	LETTER_STAMP = 20,
	LETTER_HEAD = sizeof(LETTER_FIELD) - 1 + LETTER_STAMP
}; /* digits; the field until their end */

struct letter {
	char *bytes;
	size_t len;
};

/* About `size` bytes (at least the header's), lines ended by `eol`. */
void letter_init(struct letter *letter, size_t size, const char *from, const char *to, const char *eol);
void letter_fini(struct letter *letter);

/* Writes field and stamp, LETTER_HEAD bytes. */
void letter_stamp(char *head, int64_t now_ns);
/* The stamp of a message that begins with these bytes or has them in its header; 0 where there is none. */
int64_t letter_find(const char *bytes, size_t len);

int64_t letter_now_ns(void);

#endif
