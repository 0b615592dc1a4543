/*
 * hint - what providers mean when they refuse a login, and what helps: the table.
 *
 * Owns nothing; pure.
 * Threads: any.
 */
#ifndef HINT_H
#define HINT_H

#include "base/span.h"

/* `words` is what was said, by a server or by us. A clause without a full stop; NULL: nothing better is known than to check
 * name and secret. */
const char *hint_about_login(struct span words);

#endif
