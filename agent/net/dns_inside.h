/*
 * dns_inside - what the files of dns share: the resolvers in use, and the two layers below a lookup.
 *
 * A query is one lookup of a caller: it ends once, by an answer or by being cancelled, and its memory goes when c-ares
 * owes it nothing more. A question is one type of one name, put to one resolver after the other until one knows.
 * Threads: the loop's.
 */
#ifndef DNS_INSIDE_H
#define DNS_INSIDE_H

#include <sys/stat.h>

#include "net/dns.h"
#include "net/dns_cache.h"
#include "net/dns_channel.h"
#include "net/hosts.h"

struct dns {
	struct loop *loop;
	struct hosts_servers configured; /* none: resolv.conf */
	struct hosts_servers servers;    /* in use */
	char *hosts_file, *resolv_file;
	struct hosts_index names; /* of the hosts file */
	bool trust_ad, trusted;
	int64_t timeout_ms;
	struct stat resolv;                         /* as it was when it was read */
	struct dns_channel *current[HOSTS_SERVERS]; /* n: the list of resolvers turned n places; made when needed */
	struct list channels, queries;
	size_t query_count;
	struct dns_cache cache;
	struct dns_query *pulse; /* a question of our own, while others wait for answers; or NULL */
	int64_t heard_ms;        /* boot time of the last answer that was one, of the resolvers in use */
	unsigned generation;     /* how often the resolvers have changed */
	bool closing;
};

enum { DNS_NAME_SIZE = 256 };

/* Begins the memory of every kind of query, which is freed as a whole. */
struct dns_query {
	struct list node;
	struct dns *dns;
	char name[DNS_NAME_SIZE]; /* lower case, without the last dot */
	unsigned outstanding;     /* answers that c-ares still owes us */
	bool over;                /* answered or cancelled: only waits for them */
	int64_t begun_ms;
	unsigned generation;                      /* of the resolvers that were asked */
	void (*finish)(struct dns_query *query);  /* its time is up, or all answers are there: tell the caller */
	void (*discard)(struct dns_query *query); /* what it holds beside itself; NULL: nothing */
	struct loop_timer timer;
	struct loop_task task; /* runs `finish` */
};

/* Into the list of open queries; nothing is asked yet. */
void dns_query_begin(struct dns_query *query, struct dns *dns, void (*finish)(struct dns_query *query));
/* Takes the caller's name: false, with as much of it as can be shown, when it cannot be looked up. */
bool dns_query_name(struct dns_query *query, const char *name);
/* What the hosts file says of it: how many addresses were put into `out`. */
size_t dns_query_find(const struct dns_query *query, struct dns_address *out, size_t max);
/* RFC 6761, 6.3: these names are this machine, whatever a resolver says. */
bool dns_query_is_localhost(const struct dns_query *query);
/* No resolver can be asked: none is known, or too much is asked already. Looks whether the resolvers have changed. */
bool dns_query_is_stuck(struct dns_query *query, enum dns_status *out_status, const char **out_detail);
/* SILENT, unless the resolver has answered others meanwhile: then it is this name's servers that are silent. */
enum dns_status dns_query_silence(const struct dns_query *query);
/* From `finish`, before the caller is told, so that dns_cancel() does nothing then; dns_query_end() after it. */
void dns_query_over(struct dns_query *query);
void dns_query_end(struct dns_query *query);

struct dns_question {
	struct dns_query *query;
	uint16_t type;
	size_t turn;  /* how many resolvers have failed it */
	bool trusted; /* those it was put to may say that an answer is authentic */
	/* Once, perhaps from inside dns_question_ask(); not when the query is over. */
	void (*replied)(struct dns_question *question, const struct dns_channel_reply *reply);
};

void dns_question_ask(struct dns_question *question);
#endif
