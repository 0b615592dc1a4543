/*
 * portal - does a connection that failed look as if the network answered in the name of the host, as captive portals do?
 *          The table.
 *
 * Owns nothing; pure. Whether that is believed is network.h's to decide.
 * Threads: any.
 */
#ifndef PORTAL_H
#define PORTAL_H

#include <stdbool.h>
#include <sys/socket.h>

#include "net/tls.h"
#include "smtp/client.h"

struct portal_signs {
	enum client_phase phase;
	unsigned code;           /* of the reply; 0: none that was one */
	bool is_gibberish;       /* the peer spoke, and it was no reply */
	bool in_tls;             /* it failed in TLS: */
	enum tls_failure reason; /* NONE: the handshake itself */
	bool has_name;           /* the address was looked up */
	struct sockaddr_storage address;
};
bool portal_is_likely(const struct portal_signs *signs);

#endif
