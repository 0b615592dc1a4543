/*
 * hosts - names and resolvers from files: /etc/hosts (hosts(5)) and the name servers of resolv.conf(5).
 *
 * Owns nothing. The hosts file is read anew for each question, line by line, so that it is always the present one
 * and a long one costs no memory.
 * Threads: any.
 */
#ifndef HOSTS_H
#define HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "net/addr.h"
#include "net/dns.h"

/* True when the line gives `name` an address. */
bool hosts_line(struct span line, const char *name, struct dns_address *out);
/* How many of its addresses were put into `out`; no file: 0. */
size_t hosts_find(const char *path, const char *name, struct dns_address *out, size_t max);

enum { HOSTS_SERVERS = 3 }; /* resolv.conf(5): MAXNS */

struct hosts_servers {
	struct dns_address list[HOSTS_SERVERS]; /* with port */
	size_t count;
};

/* The lines "nameserver ADDRESS" of a resolv.conf. */
void hosts_servers(struct span text, struct hosts_servers *out);
/* "127.0.0.1:53,[::1]:53", beginning with the server at `turn`. */
void hosts_print_servers(const struct hosts_servers *servers, size_t turn, struct buf *out);

#endif
