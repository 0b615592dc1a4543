/*
 * sendmail_places - where this user's agent is, or where its mail is kept while it does not run.
 *
 * $SENDOFF_SUBMIT and $SENDOFF_DROP, where they are set; else the user's own agent, where there is one, else the
 * machine's. Privileged callers' environments do not count.
 *
 * Owns:    the text. Threads: any.
 */
#ifndef SENDMAIL_PLACES_H
#define SENDMAIL_PLACES_H

enum { SENDMAIL_PLACES_MAX = 4 };

struct sendmail_places {
	char *sockets[SENDMAIL_PLACES_MAX + 1]; /* to be tried in this order; NULL ends the list */
	char *drop;                             /* a directory, or NULL: mail is not kept */
};

void sendmail_places_find(struct sendmail_places *p);
void sendmail_places_fini(struct sendmail_places *p);

#endif
