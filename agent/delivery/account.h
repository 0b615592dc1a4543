/*
 * account - the secret of a smart host account: fetched for each connection, never kept longer than it is needed.
 *
 * secret_file and secret_credential are read at once, secret_command is run by the helper. Only the first line counts.
 * Promise: the callback never runs from inside account_fetch(); after account_cancel() it never runs.
 * Never:   logs; leaves a copy of a secret behind in memory that it gives back.
 * Threads: the loop's.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "config.h"
#include "net/loop.h"

struct account;
struct helper;

enum { ACCOUNT_SECRET_MAX = 8192 };

struct account_setup {
	struct loop *loop;
	struct helper *helper;
	const char *credentials_directory;
};

/* `why` is NULL when there is a secret (borrowed for the call), else a line for people. */
typedef void account_done_fn(void *arg, struct span secret, const char *why);

/* The host has a user. Borrows `host` until the callback. */
struct account *account_fetch(const struct account_setup *setup, const struct config_smarthost *host,
			      account_done_fn *done, void *arg);
void account_cancel(struct account *account); /* NULL is fine */

/* Another number when anything of the account is another, or the file that holds its secret has changed. */
uint64_t account_mark(const struct config_smarthost *host, const char *credentials_directory);

#endif
