#include "net/dns.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/answer.h"
#include "net/dns_cache.h"
#include "net/dns_channel.h"
#include "net/hosts.h"

enum {
	TIMEOUT_MS = 20 * 1000, /* a whole lookup */
	GRACE_MS = 1000,        /* one family has answered: the other may take this much longer */
	ADDRESSES = 32,         /* kept of one host, half of them per family */
	QUERIES = 1024,         /* at once */
	RESOLV_BYTES = 64 * 1024,
};

struct dns {
	struct loop *loop;
	struct hosts_servers configured; /* none: resolv.conf */
	struct hosts_servers servers;    /* in use */
	char *hosts_file, *resolv_file;
	bool trust_ad, trusted;
	int64_t timeout_ms;
	struct stat resolv;                         /* as it was when it was read */
	struct dns_channel *current[HOSTS_SERVERS]; /* n: the list of resolvers turned n places; made when needed */
	struct list channels, queries;
	size_t query_count;
	struct dns_cache cache;
	bool closing;
};

struct part {
	struct dns_query *query;
	uint16_t type;
	bool done;
	size_t turn; /* how many resolvers have failed it */
	enum dns_status status;
	bool authentic;
	struct dns_address list[ADDRESSES / 2];
	size_t count;
	uint32_t ttl_s;
	const char *detail; /* what the resolver said */
};

struct dns_query {
	struct list node;
	struct dns *dns;
	void (*done)(void *arg, const struct dns_addresses *result);
	void *arg;
	char name[256];
	struct part parts[2]; /* AAAA, A */
	unsigned outstanding; /* answers that c-ares still owes us */
	bool over;            /* answered or cancelled: only waits for them */
	bool direct;          /* answered without a resolver */
	struct loop_timer timer;
	struct loop_task task;
};

const char *dns_status_text(enum dns_status status)
{
	switch (status) {
	case DNS_OK: return "found";
	case DNS_NXDOMAIN: return "no such name";
	case DNS_NODATA: return "the name has no address";
	case DNS_TEMPORARY: return "the resolver failed";
	case DNS_SILENT: return "no resolver answers";
	case DNS_BAD_NAME: return "not a valid host name";
	}
	return "";
}

/* ---------------------------------------------------------------- which resolvers */

static void forget_channels(struct dns *dns)
{
	for (size_t i = 0; i < HOSTS_SERVERS; i++) {
		if (dns->current[i])
			dns_channel_retire(dns->current[i]);
		dns->current[i] = NULL;
	}
}

static void use_servers(struct dns *dns, const struct hosts_servers *servers)
{
	bool same = servers->count == dns->servers.count;

	for (size_t i = 0; same && i < servers->count; i++)
		same = memcmp(&servers->list[i].addr, &dns->servers.list[i].addr, sizeof(servers->list[i].addr)) == 0;
	if (same)
		return;
	dns->servers = *servers;
	dns->trusted = servers->count > 0;
	for (size_t i = 0; i < servers->count; i++)
		dns->trusted = dns->trusted && (dns->trust_ad || addr_is_loopback(&servers->list[i].addr));
	forget_channels(dns);
	dns_cache_clear(&dns->cache); /* in another network names may have other addresses */
}

static void read_resolv_conf(struct dns *dns)
{
	struct hosts_servers servers = { .count = 0 };
	FILE *f = fopen(dns->resolv_file, "re");
	struct buf text;
	char *room;

	buf_init(&text, RESOLV_BYTES);
	room = buf_reserve(&text, RESOLV_BYTES);
	if (f && room) {
		buf_commit(&text, fread(room, 1, RESOLV_BYTES, f));
		hosts_servers(buf_span(&text), &servers);
	}
	if (f)
		fclose(f);
	buf_fini(&text);
	use_servers(dns, &servers);
}

/* resolv.conf is looked at before each question: a stat() is cheap beside a question. */
static void refresh(struct dns *dns)
{
	struct stat now = { 0 };

	if (dns->configured.count) {
		use_servers(dns, &dns->configured);
		return;
	}
	if (stat(dns->resolv_file, &now) != 0)
		memset(&now, 0, sizeof(now));
	if (now.st_ino && now.st_ino == dns->resolv.st_ino && now.st_dev == dns->resolv.st_dev &&
	    now.st_size == dns->resolv.st_size && now.st_mtim.tv_sec == dns->resolv.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == dns->resolv.st_mtim.tv_nsec)
		return;
	dns->resolv = now;
	read_resolv_conf(dns);
}

/* ---------------------------------------------------------------- the end of a query */

static void query_release(struct dns_query *query)
{
	if (!query->over || query->outstanding)
		return;
	list_remove(&query->node);
	query->dns->query_count--;
	mem_free(query);
}

static void query_end(struct dns_query *query)
{
	loop_timer_stop(&query->timer);
	loop_task_stop(&query->task);
	query->over = true;
	query_release(query);
}

void dns_cancel(struct dns_query *query)
{
	if (query && !query->over)
		query_end(query);
}

/* Which of two failures may go away sooner. A resolver that has said anything is not silent. */
static int hope(enum dns_status status)
{
	switch (status) {
	case DNS_BAD_NAME: return 0;
	case DNS_NXDOMAIN: return 1;
	case DNS_NODATA: return 2;
	case DNS_SILENT: return 3;
	case DNS_TEMPORARY: return 4;
	case DNS_OK: return 5;
	}
	return 0;
}

static void explain(const struct dns_query *query, const struct part *worst, struct dns_addresses *result)
{
	struct buf text;

	buf_init(&text, 2048);
	buf_printf(&text, "%.150s: ", query->name);
	if (result->status == DNS_OK) {
		buf_printf(&text, "%zu address%s", result->count, result->count == 1 ? "" : "es");
	} else if (query->direct) {
		buf_append_str(&text, worst->detail ? worst->detail : dns_status_text(result->status));
	} else {
		buf_append_str(&text, dns_status_text(result->status));
		if (worst->detail)
			buf_printf(&text, ": %s", worst->detail);
		buf_printf(&text, " (%s, asked ", worst->type == ANSWER_A ? "A" : "AAAA");
		hosts_print_servers(&query->dns->servers, 0, &text);
		buf_append_char(&text, ')');
	}
	snprintf(result->text, sizeof(result->text), "%s", buf_cstr(&text));
	buf_fini(&text);
}

static void answer_query(struct dns_query *query)
{
	struct dns_address list[ADDRESSES];
	struct dns_addresses result = { .list = list, .authentic = true, .ttl_s = UINT32_MAX };
	const struct part *best = &query->parts[0];

	for (int i = 0; i < 2; i++) {
		struct part *p = &query->parts[i];

		if (!p->done) {
			p->status = DNS_SILENT;
			p->detail = "no answer in time";
		}
		if (hope(p->status) > hope(best->status))
			best = p;
		if (p->status != DNS_OK)
			continue;
		memcpy(list + result.count, p->list, p->count * sizeof(*list));
		result.count += p->count;
		result.authentic = result.authentic && p->authentic;
		if (p->ttl_s < result.ttl_s)
			result.ttl_s = p->ttl_s;
	}
	result.status = best->status;
	result.authentic = result.authentic && result.count > 0;
	explain(query, best, &result);
	if (result.status == DNS_OK && !query->direct)
		dns_cache_keep(&query->dns->cache, query->name, &result, loop_now_ms(query->dns->loop));
	query->over = true; /* dns_cancel() of it does nothing now */
	query->done(query->arg, &result);
	query_end(query);
}

static void on_query_task(struct loop_task *task)
{
	answer_query(LIST_ENTRY(task, struct dns_query, task));
}

static void on_query_timer(struct loop_timer *timer)
{
	answer_query(LIST_ENTRY(timer, struct dns_query, timer));
}

/* ---------------------------------------------------------------- one question */

static void ask(struct part *part);

static void part_done(struct part *part, enum dns_status status, const char *detail)
{
	struct dns_query *query = part->query;

	part->done = true;
	part->status = status;
	part->detail = detail;
	if (query->over)
		return;
	if (query->parts[0].done && query->parts[1].done)
		loop_task_post(&query->task);
	/* The other family will hardly fare better with a dead resolver, and is not needed where this one is there. */
	else if ((status == DNS_OK || status == DNS_SILENT) &&
		 query->timer.at_ms > loop_now_ms(query->dns->loop) + GRACE_MS)
		loop_timer_in(&query->timer, GRACE_MS);
}

static bool take_address(struct part *part, const struct answer_record *record)
{
	struct dns_address *to = &part->list[part->count];

	memset(to, 0, sizeof(*to));
	if (part->type == ANSWER_A && record->data.len == 4) {
		struct sockaddr_in v4 = { .sin_family = AF_INET };

		memcpy(&v4.sin_addr, record->data.data, 4);
		memcpy(&to->addr, &v4, sizeof(v4));
		to->len = sizeof(v4);
	} else if (part->type == ANSWER_AAAA && record->data.len == 16) {
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

		memcpy(&v6.sin6_addr, record->data.data, 16);
		memcpy(&to->addr, &v6, sizeof(v6));
		to->len = sizeof(v6);
	} else {
		return false;
	}
	part->count++;
	return true;
}

static void read_answer(struct part *part, struct span message)
{
	struct answer answer;
	struct answer_record record;

	part->count = 0;
	if (!answer_open(&answer, message, part->query->name)) {
		part_done(part, DNS_TEMPORARY, "malformed answer");
		return;
	}
	if (answer.rcode == ANSWER_NXDOMAIN) {
		part_done(part, DNS_NXDOMAIN, NULL);
		return;
	}
	if (answer.rcode != ANSWER_NOERROR) {
		part_done(part, DNS_TEMPORARY,
			  answer.rcode == ANSWER_SERVFAIL  ? "SERVFAIL"
			  : answer.rcode == ANSWER_REFUSED ? "REFUSED"
							   : "error answer");
		return;
	}
	while (part->count < ADDRESSES / 2 && answer_next(&answer, part->type, &record))
		if (!take_address(part, &record)) {
			part_done(part, DNS_TEMPORARY, "malformed address record");
			return;
		}
	part->ttl_s = answer.ttl_s;
	part->authentic = answer.authentic && part->query->dns->trusted;
	if (part->count)
		part_done(part, DNS_OK, NULL);
	else if (answer.looping)
		part_done(part, DNS_TEMPORARY, "the aliases run in a circle");
	else if (answer.referral || answer.truncated)
		part_done(part, DNS_TEMPORARY, "incomplete answer");
	else
		part_done(part, DNS_NODATA, NULL);
}

/* True when another resolver of the list was asked instead. */
static bool try_next(struct part *part, struct span message)
{
	unsigned rcode = message.len > 3 ? (unsigned char)message.data[3] & 0x0fu : ANSWER_SERVFAIL;

	if (part->query->over || rcode == ANSWER_NOERROR || rcode == ANSWER_NXDOMAIN ||
	    part->turn + 1 >= part->query->dns->servers.count)
		return false;
	part->turn++;
	ask(part);
	return true;
}

static void on_reply(void *arg, const struct dns_channel_reply *reply)
{
	struct part *part = arg;
	struct dns_query *query = part->query;

	query->outstanding--;
	if (query->over || query->dns->closing)
		query_release(query);
	else if (reply->status != DNS_OK)
		part_done(part, reply->status, reply->detail);
	else if (!try_next(part, reply->message))
		read_answer(part, reply->message);
}

static void ask(struct part *part)
{
	struct dns *dns = part->query->dns;
	struct dns_channel *channel = dns->current[part->turn];
	enum dns_status status;

	if (!channel) {
		channel = dns_channel_new(dns->loop, &dns->servers, part->turn);
		if (!channel) {
			part_done(part, DNS_TEMPORARY, "the resolver library does not start");
			return;
		}
		list_append(&dns->channels, dns_channel_node(channel));
		dns->current[part->turn] = channel;
	}
	part->query->outstanding++;
	status = dns_channel_ask(channel, part->query->name, part->type, on_reply, part);
	if (status != DNS_OK) {
		part->query->outstanding--;
		part_done(part, status, NULL);
	}
}

/* ---------------------------------------------------------------- a query */

/* Without the last dot, lower case; false: no host name. Bytes beyond letters and digits are the resolver's affair. */
static bool take_host_name(const char *name, char out[256])
{
	size_t len = strlen(name), label = 0;

	if (len && name[len - 1] == '.')
		len--;
	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c <= ' ' || c >= 0x7f || c == '\\' || c == '"' || (c == '.' && label == 0))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
		out[i] = span_lower((char)c);
	}
	out[len] = '\0';
	return label > 0;
}

static void know(struct dns_query *query, const struct dns_address *list, size_t count, uint32_t ttl_s, bool authentic)
{
	for (int i = 0; i < 2; i++) {
		query->parts[i].done = true;
		query->parts[i].status = DNS_NODATA;
		query->parts[i].ttl_s = ttl_s;
		query->parts[i].authentic = authentic;
	}
	for (size_t i = 0; i < count; i++) {
		struct part *part = &query->parts[list[i].addr.ss_family == AF_INET];

		if (part->count < ADDRESSES / 2)
			part->list[part->count++] = list[i];
		part->status = DNS_OK;
	}
	query->direct = true;
	loop_task_post(&query->task);
}

static void know_failure(struct dns_query *query, enum dns_status status, const char *detail)
{
	know(query, NULL, 0, 0, false);
	for (int i = 0; i < 2; i++) {
		query->parts[i].status = status;
		query->parts[i].detail = detail;
	}
}

/* RFC 6761, 6.3: these names are this machine, whatever a resolver says. */
static bool is_localhost(const char *name)
{
	size_t len = strlen(name), tail = sizeof(".localhost") - 1;

	return strcmp(name, "localhost") == 0 || (len > tail && strcmp(name + len - tail, ".localhost") == 0);
}

/* What needs no resolver. */
static bool answer_here(struct dns_query *query, const char *name)
{
	struct dns *dns = query->dns;
	struct dns_address found[ADDRESSES];
	const struct dns_cache_name *cached;
	size_t count;

	if (addr_literal(name, &found[0].addr, &found[0].len)) {
		snprintf(query->name, sizeof(query->name), "%s", name);
		know(query, found, 1, 0, true);
		return true;
	}
	if (!take_host_name(name, query->name)) {
		snprintf(query->name, sizeof(query->name), "%.100s", name);
		know_failure(query, DNS_BAD_NAME, NULL);
		return true;
	}
	if (is_localhost(query->name)) {
		addr_literal("::1", &found[0].addr, &found[0].len);
		addr_literal("127.0.0.1", &found[1].addr, &found[1].len);
		know(query, found, 2, 0, true);
		return true;
	}
	count = hosts_find(dns->hosts_file, query->name, found, ADDRESSES);
	if (count) {
		know(query, found, count, 0, false);
		return true;
	}
	refresh(dns);
	if (dns->query_count > QUERIES) {
		know_failure(query, DNS_TEMPORARY, "too many lookups at once");
		return true;
	}
	cached = dns_cache_find(&dns->cache, query->name, loop_now_ms(dns->loop));
	if (cached) {
		int64_t left_ms = cached->expires_ms - loop_now_ms(dns->loop);

		know(query, cached->list, cached->count, (uint32_t)(left_ms / 1000), cached->authentic);
		return true;
	}
	if (dns->servers.count == 0) {
		know_failure(query, DNS_SILENT, "no resolver is known (resolv.conf names none)");
		return true;
	}
	return false;
}

struct dns_query *dns_host(struct dns *dns, const char *name,
			   void (*done)(void *arg, const struct dns_addresses *result), void *arg)
{
	struct dns_query *query = MEM_NEW(struct dns_query);

	query->dns = dns;
	query->done = done;
	query->arg = arg;
	list_init(&query->node);
	list_append(&dns->queries, &query->node);
	dns->query_count++;
	loop_timer_init(&query->timer, dns->loop, on_query_timer);
	loop_task_init(&query->task, dns->loop, on_query_task);
	query->parts[0] = (struct part){ .query = query, .type = ANSWER_AAAA };
	query->parts[1] = (struct part){ .query = query, .type = ANSWER_A };
	if (answer_here(query, name))
		return query;
	loop_timer_in(&query->timer, dns->timeout_ms);
	ask(&query->parts[0]);
	ask(&query->parts[1]);
	return query;
}

/* ---------------------------------------------------------------- life */

static int configure(struct dns *dns, const struct dns_config *config, char *why, size_t why_size)
{
	struct hosts_servers servers = { .count = 0 };

	for (size_t i = 0; i < config->server_count; i++) {
		struct dns_address *to = &servers.list[servers.count];

		if (servers.count == HOSTS_SERVERS) {
			snprintf(why, why_size, "dns.servers: more than %d resolvers", HOSTS_SERVERS);
			return -EINVAL;
		}
		memset(to, 0, sizeof(*to));
		if (!addr_parse(config->servers[i], 53, &to->addr, &to->len)) {
			snprintf(why, why_size, "dns.servers: \"%s\" is not an address - write \"127.0.0.1:53\"",
				 config->servers[i]);
			return -EINVAL;
		}
		servers.count++;
	}
	mem_free(dns->hosts_file);
	mem_free(dns->resolv_file);
	dns->hosts_file = mem_strdup(config->hosts_file ? config->hosts_file : "/etc/hosts");
	dns->resolv_file = mem_strdup(config->resolv_file ? config->resolv_file : "/etc/resolv.conf");
	dns->configured = servers;
	dns->trust_ad = config->trust_ad;
	dns->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : TIMEOUT_MS;
	return 0;
}

struct dns *dns_new(struct loop *loop, const struct dns_config *config, char *why, size_t why_size)
{
	struct dns *dns = MEM_NEW(struct dns);

	dns->loop = loop;
	list_init(&dns->channels);
	list_init(&dns->queries);
	dns_cache_init(&dns->cache);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		snprintf(why, why_size, "the resolver library does not start");
		mem_free(dns);
		return NULL;
	}
	if (configure(dns, config, why, why_size) != 0) {
		dns_free(dns);
		return NULL;
	}
	return dns;
}

void dns_configure(struct dns *dns, const struct dns_config *config)
{
	char why[128];

	/* A list that cannot be read was refused when the configuration was; the old one stays then. */
	if (configure(dns, config, why, sizeof(why)) != 0)
		return;
	memset(&dns->resolv, 0, sizeof(dns->resolv));
	dns->servers.count = 0;
	dns->trusted = false;
	forget_channels(dns);
	dns_cache_clear(&dns->cache);
}

void dns_free(struct dns *dns)
{
	struct list *node;

	if (!dns)
		return;
	dns->closing = true;
	for (struct list *at = list_first(&dns->queries), *next; at; at = next) {
		next = list_next(&dns->queries, at);
		dns_cancel(LIST_ENTRY(at, struct dns_query, node));
	}
	while ((node = list_first(&dns->channels)))
		dns_channel_free(dns_channel_of(node));
	dns_cache_clear(&dns->cache);
	mem_free(dns->hosts_file);
	mem_free(dns->resolv_file);
	mem_free(dns);
	ares_library_cleanup();
}
