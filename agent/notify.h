/*
 * notify - tells the service manager how the agent is (sd_notify(3), without the library).
 *
 * Does nothing where nobody asked to be told (no NOTIFY_SOCKET).
 * Threads: any.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

/* "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=…", "STATUS=text". 0 or -errno. */
int notify_send(const char *state);

#endif
