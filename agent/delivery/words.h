/*
 * words - plain words about lanes: what they are called, and what the user can do about their troubles. Pure.
 *
 * Owns nothing. Texts are cut where they do not fit.
 * Threads: any.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>

#include "delivery/lane.h"

/* `smarthost "work"`, "the MX of example.org". */
void words_place(const struct lane *lane, char *out, size_t size);
/* "smtp.example.com:587", a path, or the domain; the name where it is not configured any more. */
void words_host(const struct lane *lane, char *out, size_t size);
/* One sentence, or "": the lane is well. */
void words_advice(const struct lane *lane, char *out, size_t size);

#endif
