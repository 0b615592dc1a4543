/*
 * account - the secret of a smart host account: fetched for each connection, never kept longer than it is needed.
 *
 * secret_file and secret_credential are read at once, secret_command is run by the helper. Only the first line counts.
 * A file is used only while it is private: a file itself and no link to one, of the agent's user or root, and nothing for
 * group or others (a credential of systemd's may be for its group). Where the secret is a token of OAuth and a command
 * gives it, one that the server refused may be asked for once more: commands hand out what they keep until they hear of it.
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

struct account_refused {
	uint8_t digest[32]; /* SHA-256 */
	char text[512];
};

struct account_setup {
	struct loop *loop;
	struct helper *helper;
	const char *credentials_directory;
	/* A token that the server refused, by its digest, with the server's words: the same one is not used again, and is
	 * answered for by these words. NULL: none was. */
	const struct account_refused *refused;
};

/* `why` is NULL when there is a secret (borrowed for the call), else a line for people. */
typedef void account_done_fn(void *arg, struct span secret, const char *why);

/* Logging in there needs a secret. */
bool account_wants_secret(const struct config_smarthost *host);
/* Its secret is a token that a command gives: another one may be had at once. */
bool account_is_renewable(const struct config_smarthost *host);
void account_refuse(struct account_refused *refused, struct span secret, const char *text);

/* The host wants a secret. Borrows `host` until the callback. */
struct account *account_fetch(const struct account_setup *setup, const struct config_smarthost *host,
			      account_done_fn *done, void *arg);
void account_cancel(struct account *account); /* NULL is fine */

/* Another number when anything of the account is another, or the file that holds its secret has changed. */
uint64_t account_mark(const struct config_smarthost *host, const char *credentials_directory);

#endif
