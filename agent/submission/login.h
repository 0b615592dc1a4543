/*
 * login - answers what a session's engine asks about AUTH: from the users file, with the helper's verdict on passwords, and
 * with patience towards failures (penalty.h).
 *
 * Owns:    a set: the users files (roster.h), failures, the key that makes up verifiers for users who do not exist; a
 *          login: one answer that is not given yet. Passwords are never kept here.
 * Promise: blocks nothing but the session that asks. Unknown users look like wrong passwords, in words and in time.
 *          `ready` never runs from inside login_ask(); after login_cancel() it never runs.
 * Threads: the loop's.
 */
#ifndef LOGIN_H
#define LOGIN_H

#include "config.h"
#include "helper/helper.h"
#include "net/loop.h"
#include "smtp/server.h"

struct login_set;
struct login;

/* `helper` NULL: passwords cannot be checked. */
struct login_set *login_set_new(struct loop *loop, struct helper *helper);
void login_set_free(struct login_set *set); /* NULL is fine; all logins are answered or cancelled */
/* From now on answers come without delay: the agent stops. */
void login_set_hurry(struct login_set *set);

/* SERVER_AUTH_… that a listener has something to answer from; 0: none. */
unsigned login_mechanisms(const struct config_listener *listener);
/* The same for today's users: SCRAM only where everybody has a verifier for it, or clients that choose it for being the
 * strongest would lock the others out. */
unsigned login_mechanisms_now(struct login_set *set, const struct config_listener *listener);

struct login_asker {
	const struct config_listener *listener; /* kept by the session */
	const char *source;                     /* whose failures are counted: "192.0.2.7", "uid:1000"; copied */
	void (*ready)(void *arg);               /* the engine has its answer, the login is gone */
	void *arg;
};

/* Answers what SERVER_ASK_AUTH asks. NULL: it is answered; else `ready` will come. */
struct login *login_ask(struct login_set *set, const struct login_asker *asker, struct server *engine,
			const struct server_auth *auth);
void login_cancel(struct login *login); /* NULL is fine */

#endif
