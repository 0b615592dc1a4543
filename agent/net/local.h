/*
 * local - what the kernel knows of this machine's place in the network, asked anew each time.
 *
 * Owns:    nothing. Sends nothing.
 * Threads: any.
 */
#ifndef LOCAL_H
#define LOCAL_H

#include <stdbool.h>
#include <sys/socket.h>

/* The address is one of this machine's: of an interface, or of loopback. The port does not matter. */
bool local_has(const struct sockaddr_storage *addr);
/* Packets of this family (AF_INET, AF_INET6) have a way out of this machine. */
bool local_has_route(int family);

#endif
