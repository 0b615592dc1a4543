/*
 * tls_demand - a session's own copy of what is demanded of its peer, and the name under which its tickets are kept.
 *
 * Owns:    the copies, in one bounded arena.
 * Promise: demands that differ in anything never have the same name for tickets.
 * Threads: any, one object per thread.
 */
#ifndef TLS_DEMAND_H
#define TLS_DEMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "net/tls.h"

struct tls_demand_copy {
	struct mem_arena arena;
	const char **names; /* the first one is the one to speak of */
	size_t name_count;
	const char *pins;      /* each ends in NUL, two at the end; NULL: none */
	struct tls_tlsa *tlsa; /* those that count, see tlsa.h; NULL: no DANE */
	size_t tlsa_count;
	bool verify, only_notes;
	const char *cache_key; /* NULL: no tickets */
};

/* False: there is more of it than can be kept, or nothing to check against; `why` says. To be freed in any case. */
bool tls_demand_copy(const struct tls_demand *demand, struct tls_demand_copy *out, char *why, size_t why_size);
void tls_demand_free(struct tls_demand_copy *copy);

#endif
