#include "net/dns.h"

#include <ares.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/answer.h"
#include "net/dns_inside.h"

enum {
	TIMEOUT_MS = 20 * 1000, /* a whole lookup */
	QUERIES = 8192,         /* at once: hundreds of lanes, each with the addresses of all its hosts */
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
	dns->generation++;
	forget_channels(dns);
	dns_cache_clear(&dns->cache); /* in another network names may have other addresses */
}

static void read_resolv_conf(struct dns *dns)
{
	struct hosts_servers servers;

	hosts_servers_of(dns->resolv_file, &servers);
	use_servers(dns, &servers);
}

const char *dns_resolv_file(const struct dns *dns)
{
	return dns->configured.count ? NULL : dns->resolv_file;
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

/* ---------------------------------------------------------------- a query */

static void query_release(struct dns_query *query)
{
	if (!query->over || query->outstanding)
		return;
	list_remove(&query->node);
	query->dns->query_count--;
	if (query->discard)
		query->discard(query);
	mem_free(query);
}

void dns_query_over(struct dns_query *query)
{
	query->over = true;
}

void dns_query_end(struct dns_query *query)
{
	loop_timer_stop(&query->timer);
	loop_task_stop(&query->task);
	query->over = true;
	query_release(query);
}

void dns_cancel(struct dns_query *query)
{
	if (query && !query->over)
		dns_query_end(query);
}

static void on_query_task(struct loop_task *task)
{
	struct dns_query *query = LIST_ENTRY(task, struct dns_query, task);

	query->finish(query);
}

static void on_query_timer(struct loop_timer *timer)
{
	struct dns_query *query = LIST_ENTRY(timer, struct dns_query, timer);

	query->finish(query);
}

void dns_query_begin(struct dns_query *query, struct dns *dns, void (*finish)(struct dns_query *query))
{
	query->dns = dns;
	query->finish = finish;
	query->begun_ms = loop_now_ms(dns->loop);
	list_init(&query->node);
	list_append(&dns->queries, &query->node);
	dns->query_count++;
	loop_timer_init(&query->timer, dns->loop, on_query_timer);
	loop_task_init(&query->task, dns->loop, on_query_task);
}

/* Without the last dot, lower case; false: no host name. Bytes beyond letters and digits are the resolver's affair. */
static bool take_host_name(const char *name, char out[DNS_NAME_SIZE])
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

bool dns_query_name(struct dns_query *query, const char *name)
{
	if (take_host_name(name, query->name))
		return true;
	snprintf(query->name, sizeof(query->name), "%.100s", name);
	return false;
}

size_t dns_query_find(const struct dns_query *query, struct dns_address *out, size_t max)
{
	struct dns *dns = query->dns;

	return hosts_index_may_have(&dns->names, dns->hosts_file, query->name)
		       ? hosts_find(dns->hosts_file, query->name, out, max)
		       : 0;
}

bool dns_query_is_localhost(const struct dns_query *query)
{
	size_t len = strlen(query->name), tail = sizeof(".localhost") - 1;

	return strcmp(query->name, "localhost") == 0 ||
	       (len > tail && strcmp(query->name + len - tail, ".localhost") == 0);
}

bool dns_query_is_stuck(struct dns_query *query, enum dns_status *out_status, const char **out_detail)
{
	struct dns *dns = query->dns;

	refresh(dns);
	if (dns->query_count > QUERIES) {
		*out_status = DNS_TEMPORARY;
		*out_detail = "too many lookups at once";
		return true;
	}
	if (dns->servers.count == 0) {
		*out_status = DNS_SILENT;
		*out_detail = "no resolver is known (resolv.conf names none)";
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- does the resolver live? */

/* A name whose servers do not answer makes a resolver silent for longer than anybody waits. Whether it is the resolver
 * itself shows a question that it can always answer, put to it when another one takes long. */
enum { PULSE_PARTS = 4 }; /* of the time of a lookup: one before it is asked, one for the answer */

struct pulse {
	struct dns_query base;
	struct dns_question question;
};

static void pulse_replied(struct dns_question *question, const struct dns_channel_reply *reply)
{
	(void)reply; /* on_reply() has heard it */
	loop_task_post(&question->query->task);
}

enum dns_status dns_query_silence(const struct dns_query *query)
{
	const struct dns *dns = query->dns;

	return query->generation == dns->generation && dns->heard_ms > query->begun_ms ? DNS_TEMPORARY : DNS_SILENT;
}

static bool is_waiting_in_silence(const struct dns *dns)
{
	for (struct list *at = list_first(&dns->queries); at; at = list_next(&dns->queries, at)) {
		const struct dns_query *query = LIST_ENTRY(at, struct dns_query, node);

		if (query != dns->pulse && !query->over && dns_query_silence(query) == DNS_SILENT)
			return true;
	}
	return false;
}

static void feel_pulse(struct dns *dns);

static void end_pulse(struct dns_query *query)
{
	struct dns *dns = query->dns;

	dns->pulse = NULL;
	dns_query_end(query);
	if (is_waiting_in_silence(dns))
		feel_pulse(dns);
}

static void ask_pulse(struct dns_query *query)
{
	struct pulse *pulse = (struct pulse *)query;
	struct dns *dns = query->dns;

	query->finish = end_pulse;
	if (dns->servers.count == 0 || !is_waiting_in_silence(dns)) {
		end_pulse(query);
		return;
	}
	loop_timer_in(&query->timer, dns->timeout_ms / PULSE_PARTS);
	dns_question_ask(&pulse->question);
}

static void feel_pulse(struct dns *dns)
{
	struct pulse *pulse;

	if (dns->pulse)
		return;
	pulse = MEM_NEW(struct pulse);
	dns->pulse = &pulse->base;
	dns_query_begin(&pulse->base, dns, ask_pulse);
	snprintf(pulse->base.name, sizeof(pulse->base.name), ".");
	pulse->question = (struct dns_question){ .query = &pulse->base, .type = ANSWER_NS, .replied = pulse_replied };
	loop_timer_in(&pulse->base.timer, dns->timeout_ms / PULSE_PARTS);
}

static void hear(struct dns *dns, struct span message)
{
	unsigned rcode = message.len > 3 ? (unsigned char)message.data[3] & 0x0fu : ANSWER_SERVFAIL;

	if (rcode == ANSWER_NOERROR || rcode == ANSWER_NXDOMAIN)
		dns->heard_ms = loop_now_ms(dns->loop);
}

/* ---------------------------------------------------------------- one question */

/* True when another resolver of the list was asked instead. */
static bool try_next(struct dns_question *question, struct span message)
{
	unsigned rcode = message.len > 3 ? (unsigned char)message.data[3] & 0x0fu : ANSWER_SERVFAIL;

	if (rcode == ANSWER_NOERROR || rcode == ANSWER_NXDOMAIN ||
	    question->turn + 1 >= question->query->dns->servers.count)
		return false;
	question->turn++;
	dns_question_ask(question);
	return true;
}

static void on_reply(void *arg, const struct dns_channel_reply *reply)
{
	struct dns_question *question = arg;
	struct dns_query *query = question->query;

	query->outstanding--;
	if (reply->status == DNS_OK && query->generation == query->dns->generation)
		hear(query->dns, reply->message);
	if (query->over || query->dns->closing)
		query_release(query);
	else if (reply->status != DNS_OK || !try_next(question, reply->message))
		question->replied(question, reply);
}

static void fail_question(struct dns_question *question, enum dns_status status, const char *detail)
{
	struct dns_channel_reply reply = { .status = status, .detail = detail };

	question->replied(question, &reply);
}

void dns_question_ask(struct dns_question *question)
{
	struct dns_query *query = question->query;
	struct dns *dns = query->dns;
	struct dns_channel *channel = dns->current[question->turn];
	enum dns_status status;

	if (!channel) {
		channel = dns_channel_new(dns->loop, &dns->servers, question->turn);
		if (!channel) {
			fail_question(question, DNS_TEMPORARY, "the resolver library does not start");
			return;
		}
		list_append(&dns->channels, dns_channel_node(channel));
		dns->current[question->turn] = channel;
	}
	question->trusted = dns->trusted;
	query->generation = dns->generation;
	feel_pulse(dns);
	query->outstanding++;
	status = dns_channel_ask(channel, query->name, question->type, on_reply, question);
	if (status != DNS_OK) {
		query->outstanding--;
		fail_question(question, status, NULL);
	}
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
	hosts_index_fini(&dns->names);
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
	dns->generation++;
	forget_channels(dns);
	dns_cache_clear(&dns->cache);
}

void dns_forget(struct dns *dns)
{
	if (dns)
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
	hosts_index_fini(&dns->names);
	mem_free(dns->hosts_file);
	mem_free(dns->resolv_file);
	mem_free(dns);
	ares_library_cleanup();
}
