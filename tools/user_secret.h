/*
 * user_secret - what `sendoff user add` is to keep of a password: asked for on the terminal, or read from standard input.
 *
 * Threads: one.
 */
#ifndef USER_SECRET_H
#define USER_SECRET_H

enum user_secret { USER_SECRET_ASK, USER_SECRET_PASSWORD, USER_SECRET_HASH };

/* *out: the secret as it stands in a users file, to be freed with mem_free(). 0, or an exit status after saying why. */
int user_secret_get(enum user_secret from, char **out);

#endif
