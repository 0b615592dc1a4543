/*
 * hosts - names and resolvers from files: /etc/hosts (hosts(5)) and the name servers of resolv.conf(5).
 *
 * Owns nothing but an index. The hosts file is read anew for each question, line by line, so that it is always the
 * present one; of a long one (lists of advertisers) an index of some kilobytes tells which names need not be looked for.
 * Threads: any.
 */
#ifndef HOSTS_H
#define HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/span.h"
#include "net/addr.h"
#include "net/dns.h"

/* True when the line gives `name` an address. */
bool hosts_line(struct span line, const char *name, struct dns_address *out);
/* How many of its addresses were put into `out`; no file: 0. */
size_t hosts_find(const char *path, const char *name, struct dns_address *out, size_t max);

struct hosts_index {
	struct stat file;    /* as it was when it was read */
	unsigned char *bits; /* NULL: it is short, or not there */
};

/* False: the file does not have the name. The index is made anew when the file has changed; zeroes make an empty one. */
bool hosts_index_may_have(struct hosts_index *index, const char *path, const char *name);
void hosts_index_fini(struct hosts_index *index);

enum { HOSTS_SERVERS = 3 }; /* resolv.conf(5): MAXNS */

struct hosts_servers {
	struct dns_address list[HOSTS_SERVERS]; /* with port */
	size_t count;
};

/* The lines "nameserver ADDRESS" of a resolv.conf. */
void hosts_servers(struct span text, struct hosts_servers *out);
/* Those of a file; none when it cannot be read. */
void hosts_servers_of(const char *path, struct hosts_servers *out);
/* "127.0.0.1:53,[::1]:53", beginning with the server at `turn`. */
void hosts_print_servers(const struct hosts_servers *servers, size_t turn, struct buf *out);

#endif
