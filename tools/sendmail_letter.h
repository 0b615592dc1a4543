/*
 * sendmail_letter - one message from standard input to the agent, or into the directory where it is kept for it.
 *
 * Promise: EX_OK means that every recipient's mail is on stable storage: with the agent, or kept. Any other status
 *          means that nobody has it, or the line for people says who has.
 *
 * More recipients than the agent takes for one message get it in several. Kept is what the agent cannot be asked
 * about (it is not there, or goes away before it has the message), and what is left when it has taken a part and can
 * take no more just now. What it refuses is not kept: whoever called us is told.
 *
 * Owns:    what it reads. Threads: one.
 */
#ifndef SENDMAIL_LETTER_H
#define SENDMAIL_LETTER_H

#include <stddef.h>

#include "tools/sendmail_options.h"
#include "tools/sendmail_places.h"

enum { SENDMAIL_LETTER_ERROR_SIZE = 1400 };

/* A status of <sysexits.h>; when it is not EX_OK, `error` has one line for people. */
int sendmail_letter_send(const struct sendmail_options *options, const struct sendmail_places *places,
			 char error[SENDMAIL_LETTER_ERROR_SIZE]);

#endif
