/*
 * dns_channel - questions to a list of resolvers (a c-ares channel driven by the loop).
 *
 * Owns:    its sockets and timer. Messages are handed out as they came; only silence is told apart.
 * Threads: the loop's. Only dns_channel.c and dns.c include <ares.h>.
 */
#ifndef DNS_CHANNEL_H
#define DNS_CHANNEL_H

#include "base/list.h"
#include "base/span.h"
#include "net/dns.h"
#include "net/hosts.h"

struct dns_channel;

struct dns_channel_reply {
	enum dns_status status; /* OK: there is a message, whatever it says; SILENT; TEMPORARY */
	struct span message;
	const char *detail; /* for people, where there is no message */
};

/* Asks the servers in their order, beginning `turn` places on. NULL: the library does not start. */
struct dns_channel *dns_channel_new(struct loop *loop, const struct hosts_servers *servers, size_t turn);
/* Frees itself when its last question is answered. */
void dns_channel_retire(struct dns_channel *channel);
/* Open questions are replied to from inside. NULL is fine. */
void dns_channel_free(struct dns_channel *channel);

/* OK: `replied` will be called once, perhaps from inside. Otherwise the question cannot be asked. */
enum dns_status dns_channel_ask(struct dns_channel *channel, const char *name, uint16_t type,
				void (*replied)(void *arg, const struct dns_channel_reply *reply), void *arg);

/* Its place in the list of whoever made it; it leaves the list when it is freed. */
struct list *dns_channel_node(struct dns_channel *channel);
struct dns_channel *dns_channel_of(struct list *node);

#endif
