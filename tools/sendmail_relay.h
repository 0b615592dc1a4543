/*
 * sendmail_relay - `sendmail -bs`: standard input and output tied to the agent's socket.
 *
 * Not a byte is looked at: the one parser of SMTP is the agent's. Ends when the agent closes; the end of standard input
 * is passed on, and a message that was cut by it is not queued.
 */
#ifndef SENDMAIL_RELAY_H
#define SENDMAIL_RELAY_H

/* EX_OK when the agent has said all; else a status of <sysexits.h>. */
int sendmail_relay(int socket, int input, int output);

#endif
