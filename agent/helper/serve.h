/*
 * serve - the work of sendoff-helper: requests in on a socket, commands run, passwords checked and HTTPS requests sent,
 *         answers out, until the socket closes.
 *
 * Owns:    a loop, the socket, all commands, checks and requests that run.
 * Threads: one; takes SIGCHLD of the process.
 */
#ifndef SERVE_H
#define SERVE_H

/* Takes the descriptor; returns when the agent has closed its end. */
void serve_until_closed(int fd);

#endif
