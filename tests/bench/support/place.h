/*
 * place - where a server is: "HOST:PORT" (an IPv4 address) or the path of a Unix socket.
 *
 * Threads: any.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>
#include <sys/socket.h>

struct place {
	struct sockaddr_storage address;
	socklen_t len;
};

/* False: it is neither, with errno. */
bool place_parse(const char *text, struct place *out);

#endif
