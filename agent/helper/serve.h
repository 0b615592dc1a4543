/*
 * serve - the work of sendoff-helper: requests in on a socket, commands run and passwords checked, answers out, until the
 *         socket closes.
 *
 * Owns:    a loop, the socket, all commands and checks that run.
 * Threads: one; takes SIGCHLD of the process.
 */
#ifndef SERVE_H
#define SERVE_H

/* Takes the descriptor; returns when the agent has closed its end. */
void serve_until_closed(int fd);

#endif
