#include "net/dns.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "net/answer.h"
#include "net/hosts.h"

enum {
	TIMEOUT_MS = 20 * 1000, /* a whole lookup */
	TRY_MS = 2000,          /* the first try of one resolver; later ones take twice as long each */
	TRIES = 3,
	GRACE_MS = 1000,  /* one family has answered: the other may take this much longer */
	UDP_BYTES = 1232, /* fits every path without fragments */
	ADDRESSES = 32,   /* kept of one host, half of them per family */
	QUERIES = 1024,   /* at once */
	CACHE = 256,      /* names */
	CACHE_TTL_S = 3600,
	RESOLV_BYTES = 64 * 1024,
};

/* One c-ares channel: a list of resolvers in a certain order. */
struct channel {
	struct list node;
	struct dns *dns;
	ares_channel ares;
	struct list sockets;
	struct loop_timer timer;
	struct loop_task reap; /* a channel cannot be destroyed from inside its own callbacks */
	unsigned pending;
	bool old;
};

struct socket {
	struct list node;
	struct channel *channel;
	struct loop_io io;
	ares_socket_t fd;
};

struct cached {
	struct list node; /* the least recently used first */
	char *name;
	struct dns_address *list;
	size_t count;
	bool authentic;
	int64_t expires_ms; /* boot time */
};

struct dns {
	struct loop *loop;
	struct hosts_servers configured; /* none: resolv.conf */
	struct hosts_servers servers;    /* in use */
	char *hosts_file, *resolv_file;
	bool trust_ad, trusted;
	int64_t timeout_ms;
	struct stat resolv;                     /* as it was when it was read */
	struct channel *current[HOSTS_SERVERS]; /* n: the list of resolvers turned n places; made when needed */
	struct list channels, queries, cache;
	size_t query_count, cache_count;
	bool closing;
};

struct part {
	struct dns_query *query;
	uint16_t type;
	bool done;
	size_t turn; /* how many resolvers have failed it */
	struct channel *channel;
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

/* ---------------------------------------------------------------- channels */

static void rearm(struct channel *channel)
{
	struct timeval tv, *next = ares_timeout(channel->ares, NULL, &tv);

	if (next)
		loop_timer_in(&channel->timer, (int64_t)next->tv_sec * 1000 + next->tv_usec / 1000 + 1);
	else
		loop_timer_stop(&channel->timer);
}

static void on_socket(struct loop_io *io, int events)
{
	const struct socket *s = LIST_ENTRY(io, struct socket, io);
	struct channel *channel = s->channel;
	ares_socket_t fd = s->fd; /* the call may end the socket */

	ares_process_fd(channel->ares, events & LOOP_READ ? fd : ARES_SOCKET_BAD,
			events & LOOP_WRITE ? fd : ARES_SOCKET_BAD);
	rearm(channel);
}

static void on_channel_timer(struct loop_timer *timer)
{
	struct channel *channel = LIST_ENTRY(timer, struct channel, timer);

	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	rearm(channel);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct channel *channel = arg;
	struct socket *s = NULL;
	int events = (readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0);

	for (struct list *at = list_first(&channel->sockets); at && !s; at = list_next(&channel->sockets, at))
		if (LIST_ENTRY(at, struct socket, node)->fd == fd)
			s = LIST_ENTRY(at, struct socket, node);
	if (!s && events) {
		s = MEM_NEW(struct socket);
		s->channel = channel;
		s->fd = fd;
		list_init(&s->node);
		list_append(&channel->sockets, &s->node);
		loop_io_init(&s->io, channel->dns->loop, fd, on_socket);
	}
	if (!s)
		return;
	loop_io_set(&s->io, events);
	if (!events) {
		list_remove(&s->node);
		mem_free(s);
	}
}

static void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	ares_destroy(channel->ares);
	loop_timer_stop(&channel->timer);
	loop_task_stop(&channel->reap);
	list_remove(&channel->node);
	mem_free(channel);
}

static void on_reap(struct loop_task *task)
{
	channel_free(LIST_ENTRY(task, struct channel, reap));
}

static void retire(struct channel *channel)
{
	channel->old = true;
	if (channel->pending == 0)
		loop_task_post(&channel->reap);
}

/* "127.0.0.1:53,[::1]:53", beginning with the server at `turn`. */
static void list_servers(const struct dns *dns, size_t turn, struct buf *out)
{
	for (size_t i = 0; i < dns->servers.count; i++) {
		const struct dns_address *server = &dns->servers.list[(i + turn) % dns->servers.count];
		char text[ADDR_TEXT_SIZE];

		buf_printf(out, "%s%s", i ? "," : "", addr_text(&server->addr, text));
	}
}

static struct channel *channel_new(struct dns *dns, size_t turn)
{
	struct channel *channel = MEM_NEW(struct channel);
	struct ares_options options = {
		.flags = ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		.timeout = TRY_MS,
		.tries = TRIES,
		.ednspsz = UDP_BYTES,
		.lookups = "b",
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = channel,
		.resolvconf_path = "/dev/null", /* the servers are given below */
	};
	int what = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_LOOKUPS |
		   ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS | ARES_OPT_RESOLVCONF;
	struct buf servers;
	bool made;

	channel->dns = dns;
	list_init(&channel->sockets);
	list_init(&channel->node);
	loop_timer_init(&channel->timer, dns->loop, on_channel_timer);
	loop_task_init(&channel->reap, dns->loop, on_reap);
	if (ares_init_options(&channel->ares, &options, what) != ARES_SUCCESS) {
		mem_free(channel);
		return NULL;
	}
	buf_init(&servers, 1024);
	list_servers(dns, turn, &servers);
	made = ares_set_servers_ports_csv(channel->ares, buf_cstr(&servers)) == ARES_SUCCESS;
	buf_fini(&servers);
	list_append(&dns->channels, &channel->node);
	if (made)
		return channel;
	channel_free(channel);
	return NULL;
}

static void forget_channels(struct dns *dns)
{
	for (size_t i = 0; i < HOSTS_SERVERS; i++) {
		if (dns->current[i])
			retire(dns->current[i]);
		dns->current[i] = NULL;
	}
}

/* ---------------------------------------------------------------- which resolvers */

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

/* ---------------------------------------------------------------- cache */

static void cache_drop(struct dns *dns, struct cached *c)
{
	list_remove(&c->node);
	dns->cache_count--;
	mem_free(c->name);
	mem_free(c->list);
	mem_free(c);
}

static void cache_clear(struct dns *dns)
{
	struct list *node;

	while ((node = list_first(&dns->cache)))
		cache_drop(dns, LIST_ENTRY(node, struct cached, node));
}

static struct cached *cache_find(struct dns *dns, const char *name)
{
	for (struct list *at = list_first(&dns->cache); at; at = list_next(&dns->cache, at)) {
		struct cached *c = LIST_ENTRY(at, struct cached, node);

		if (strcmp(c->name, name) != 0)
			continue;
		if (c->expires_ms <= loop_now_ms(dns->loop)) {
			cache_drop(dns, c);
			return NULL;
		}
		list_remove(at);
		list_append(&dns->cache, at);
		return c;
	}
	return NULL;
}

static void cache_keep(struct dns *dns, const char *name, const struct dns_addresses *result)
{
	struct cached *c = cache_find(dns, name);
	uint32_t ttl_s = result->ttl_s < CACHE_TTL_S ? result->ttl_s : CACHE_TTL_S;

	if (c)
		cache_drop(dns, c);
	if (ttl_s == 0)
		return;
	if (dns->cache_count == CACHE)
		cache_drop(dns, LIST_ENTRY(list_first(&dns->cache), struct cached, node));
	c = MEM_NEW(struct cached);
	c->name = mem_strdup(name);
	c->list = mem_dup(result->list, result->count * sizeof(*result->list));
	c->count = result->count;
	c->authentic = result->authentic;
	c->expires_ms = loop_now_ms(dns->loop) + (int64_t)ttl_s * 1000;
	list_init(&c->node);
	list_append(&dns->cache, &c->node);
	dns->cache_count++;
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
		list_servers(query->dns, 0, &text);
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
		cache_keep(query->dns, query->name, &result);
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

static void on_answer(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct part *part = arg;
	struct dns_query *query = part->query;
	struct channel *channel = part->channel;
	struct span bytes = span_of(message, message && len > 0 ? (size_t)len : 0);

	(void)timeouts;
	query->outstanding--;
	channel->pending--;
	if (channel->old && channel->pending == 0 && !query->dns->closing)
		loop_task_post(&channel->reap);
	if (query->over || query->dns->closing) {
		query_release(query);
		return;
	}
	switch (status) {
	case ARES_SUCCESS:
		if (!try_next(part, bytes))
			read_answer(part, bytes);
		break;
	case ARES_ETIMEOUT: part_done(part, DNS_SILENT, "no answer in time"); break;
	case ARES_ECONNREFUSED: part_done(part, DNS_SILENT, "the resolver cannot be reached"); break;
	case ARES_EBADNAME: part_done(part, DNS_BAD_NAME, NULL); break;
	default: part_done(part, DNS_TEMPORARY, ares_strerror(status)); break;
	}
}

static void ask(struct part *part)
{
	struct dns *dns = part->query->dns;
	unsigned char *question = NULL;
	unsigned short id;
	int len, status;

	if (!dns->current[part->turn])
		dns->current[part->turn] = channel_new(dns, part->turn);
	part->channel = dns->current[part->turn];
	if (!part->channel) {
		part_done(part, DNS_TEMPORARY, "the resolver library does not start");
		return;
	}
	crypto_random(&id, sizeof(id));
	status = ares_create_query(part->query->name, 1, part->type, id, 1, &question, &len, UDP_BYTES);
	if (status != ARES_SUCCESS) {
		part_done(part, status == ARES_EBADNAME ? DNS_BAD_NAME : DNS_TEMPORARY, ares_strerror(status));
		return;
	}
	question[3] |= 0x20; /* AD: tell us whether it is authentic (RFC 6840, 5.7) */
	part->query->outstanding++;
	part->channel->pending++;
	ares_send(part->channel->ares, question, len, on_answer, part);
	ares_free_string(question);
	rearm(part->channel);
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
	const struct cached *cached;
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
	cached = cache_find(dns, query->name);
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
	list_init(&dns->cache);
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
	cache_clear(dns);
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
		channel_free(LIST_ENTRY(node, struct channel, node));
	cache_clear(dns);
	mem_free(dns->hosts_file);
	mem_free(dns->resolv_file);
	mem_free(dns);
	ares_library_cleanup();
}
