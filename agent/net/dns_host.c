#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/answer.h"
#include "net/dns_inside.h"

enum {
	GRACE_MS = 1000, /* one family has answered: the other may take this much longer */
	ADDRESSES = 32,  /* kept of one host, half of them per family */
};

struct part {
	struct dns_question question;
	bool done;
	enum dns_status status;
	bool authentic;
	struct dns_address *list; /* room for its half, made when there is an answer: thousands may be waiting */
	size_t count;
	uint32_t ttl_s;
	const char *detail; /* what the resolver said */
	char *end;          /* where the aliases led; NULL: nowhere else */
};

struct host_query {
	struct dns_query base;
	void (*done)(void *arg, const struct dns_addresses *result);
	void *arg;
	struct part parts[2]; /* AAAA, A */
	bool direct;          /* answered without a resolver */
};

static struct host_query *host_of(struct dns_query *query)
{
	return (struct host_query *)query;
}

/* ---------------------------------------------------------------- the end */

static void discard(struct dns_query *query)
{
	for (int i = 0; i < 2; i++) {
		mem_free(host_of(query)->parts[i].end);
		mem_free(host_of(query)->parts[i].list);
	}
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

static void explain(const struct host_query *host, const struct part *worst, struct dns_addresses *result)
{
	struct buf text;

	buf_init(&text, 2048);
	buf_printf(&text, "%.150s: ", host->base.name);
	if (result->status == DNS_OK) {
		buf_printf(&text, "%zu address%s", result->count, result->count == 1 ? "" : "es");
	} else if (host->direct) {
		buf_append_str(&text, worst->detail ? worst->detail : dns_status_text(result->status));
	} else {
		buf_append_str(&text, dns_status_text(result->status));
		if (worst->detail)
			buf_printf(&text, ": %s", worst->detail);
		buf_printf(&text, " (%s, asked ", worst->question.type == ANSWER_A ? "A" : "AAAA");
		hosts_print_servers(&host->base.dns->servers, 0, &text);
		buf_append_char(&text, ')');
	}
	snprintf(result->text, sizeof(result->text), "%s", buf_cstr(&text));
	buf_fini(&text);
}

/* Two families that end at different names have no common one: then it is the name that was asked for. */
static void join_name(const struct host_query *host, const struct part *part, struct dns_addresses *result)
{
	const char *end = part->end ? part->end : host->base.name;

	if (!result->name)
		result->name = end;
	else if (strcmp(result->name, end) != 0)
		result->name = host->base.name;
}

static void keep(struct host_query *host, const struct dns_addresses *result)
{
	struct dns_cache_item item = { .name = host->base.name,
				       .type = ANSWER_A,
				       .bytes = span_of(result->list, result->count * sizeof(*result->list)),
				       .end = result->name,
				       .authentic = result->authentic };

	dns_cache_keep(&host->base.dns->cache, &item, result->ttl_s, loop_now_ms(host->base.dns->loop));
}

static void finish(struct dns_query *query)
{
	struct host_query *host = host_of(query);
	struct dns_address list[ADDRESSES];
	struct dns_addresses result = { .list = list, .authentic = true, .ttl_s = UINT32_MAX };
	const struct part *best = &host->parts[0];

	for (int i = 0; i < 2; i++) {
		struct part *p = &host->parts[i];

		if (!p->done) {
			p->status = DNS_SILENT;
			p->detail = "no answer in time";
		}
		if (hope(p->status) > hope(best->status))
			best = p;
		if (p->status != DNS_OK)
			continue;
		if (p->count)
			memcpy(list + result.count, p->list, p->count * sizeof(*list));
		result.count += p->count;
		result.authentic = result.authentic && p->authentic;
		if (p->ttl_s < result.ttl_s)
			result.ttl_s = p->ttl_s;
		join_name(host, p, &result);
	}
	result.status = best->status == DNS_SILENT && !host->direct ? dns_query_silence(query) : best->status;
	result.authentic = result.authentic && result.count > 0;
	if (!result.name)
		join_name(host, best, &result);
	explain(host, best, &result);
	if (result.status == DNS_OK && !host->direct)
		keep(host, &result);
	dns_query_over(query);
	host->done(host->arg, &result);
	dns_query_end(query);
}

/* ---------------------------------------------------------------- what a resolver says */

static void part_done(struct part *part, enum dns_status status, const char *detail)
{
	struct host_query *host = host_of(part->question.query);

	part->done = true;
	part->status = status;
	part->detail = detail;
	if (host->parts[0].done && host->parts[1].done)
		loop_task_post(&host->base.task);
	/* The other family will hardly fare better with a dead resolver, and is not needed where this one is there. */
	else if ((status == DNS_OK || status == DNS_SILENT) &&
		 host->base.timer.at_ms > loop_now_ms(host->base.dns->loop) + GRACE_MS)
		loop_timer_in(&host->base.timer, GRACE_MS);
}

static struct dns_address *room_for_one(struct part *part)
{
	if (!part->list)
		part->list = mem_calloc(ADDRESSES / 2, sizeof(*part->list));
	return &part->list[part->count];
}

static bool take_address(struct part *part, const struct answer_record *record)
{
	struct dns_address *to = room_for_one(part);

	memset(to, 0, sizeof(*to));
	if (record->type == ANSWER_A && record->data.len == 4) {
		struct sockaddr_in v4 = { .sin_family = AF_INET };

		memcpy(&v4.sin_addr, record->data.data, 4);
		memcpy(&to->addr, &v4, sizeof(v4));
		to->len = sizeof(v4);
	} else if (record->type == ANSWER_AAAA && record->data.len == 16) {
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
	const struct dns_question *question = &part->question;
	struct answer answer;
	struct answer_record record;

	part->count = 0;
	if (!answer_open(&answer, message, question->query->name, true)) {
		part_done(part, DNS_TEMPORARY, "malformed answer");
		return;
	}
	mem_free(part->end);
	part->end = mem_strdup(answer.name);
	if (answer.rcode == ANSWER_NXDOMAIN) {
		part_done(part, DNS_NXDOMAIN, NULL);
		return;
	}
	if (answer.rcode != ANSWER_NOERROR) {
		part_done(part, DNS_TEMPORARY, answer_rcode_text(answer.rcode));
		return;
	}
	while (part->count < ADDRESSES / 2 && answer_next(&answer, question->type, &record))
		if (!take_address(part, &record)) {
			part_done(part, DNS_TEMPORARY, "malformed address record");
			return;
		}
	part->ttl_s = answer.ttl_s;
	part->authentic = answer.authentic && question->trusted;
	if (part->count)
		part_done(part, DNS_OK, NULL);
	else if (answer.looping)
		part_done(part, DNS_TEMPORARY, "the aliases run in a circle");
	else if (answer.referral || answer.truncated)
		part_done(part, DNS_TEMPORARY, "incomplete answer");
	else
		part_done(part, DNS_NODATA, NULL);
}

static void on_replied(struct dns_question *question, const struct dns_channel_reply *reply)
{
	struct part *part = LIST_ENTRY(question, struct part, question);

	if (reply->status != DNS_OK)
		part_done(part, reply->status, reply->detail);
	else
		read_answer(part, reply->message);
}

/* ---------------------------------------------------------------- what needs no resolver */

static void know(struct host_query *host, const struct dns_address *list, size_t count, uint32_t ttl_s, bool authentic)
{
	for (int i = 0; i < 2; i++) {
		host->parts[i].done = true;
		host->parts[i].status = DNS_NODATA;
		host->parts[i].ttl_s = ttl_s;
		host->parts[i].authentic = authentic;
	}
	for (size_t i = 0; i < count; i++) {
		struct part *part = &host->parts[list[i].addr.ss_family == AF_INET];

		if (part->count < ADDRESSES / 2) {
			*room_for_one(part) = list[i];
			part->count++;
		}
		part->status = DNS_OK;
	}
	host->direct = true;
	loop_task_post(&host->base.task);
}

static void know_failure(struct host_query *host, enum dns_status status, const char *detail)
{
	know(host, NULL, 0, 0, false);
	for (int i = 0; i < 2; i++) {
		host->parts[i].status = status;
		host->parts[i].detail = detail;
	}
}

static bool know_from_cache(struct host_query *host)
{
	struct dns *dns = host->base.dns;
	struct dns_address list[ADDRESSES];
	uint32_t left_s;
	const struct dns_cache_item *item =
		dns_cache_find(&dns->cache, host->base.name, ANSWER_A, loop_now_ms(dns->loop), &left_s);

	if (!item)
		return false;
	memcpy(list, item->bytes.data, item->bytes.len);
	for (int i = 0; i < 2; i++)
		host->parts[i].end = mem_strdup(item->end);
	know(host, list, item->bytes.len / sizeof(*list), left_s, item->authentic);
	return true;
}

static bool know_by_itself(struct host_query *host, const char *name)
{
	struct dns_query *query = &host->base;
	struct dns_address found[ADDRESSES];
	enum dns_status status;
	const char *detail;
	size_t count;

	if (addr_literal(name, &found[0].addr, &found[0].len)) {
		snprintf(query->name, sizeof(query->name), "%s", name);
		know(host, found, 1, 0, true);
		return true;
	}
	if (!dns_query_name(query, name)) {
		know_failure(host, DNS_BAD_NAME, NULL);
		return true;
	}
	if (dns_query_is_localhost(query)) {
		addr_literal("::1", &found[0].addr, &found[0].len);
		addr_literal("127.0.0.1", &found[1].addr, &found[1].len);
		know(host, found, 2, 0, true);
		return true;
	}
	count = dns_query_find(query, found, ADDRESSES);
	if (count) {
		know(host, found, count, 0, false);
		return true;
	}
	if (dns_query_is_stuck(query, &status, &detail)) {
		know_failure(host, status, detail);
		return true;
	}
	return know_from_cache(host);
}

struct dns_query *dns_host(struct dns *dns, const char *name,
			   void (*done)(void *arg, const struct dns_addresses *result), void *arg)
{
	static const uint16_t types[2] = { ANSWER_AAAA, ANSWER_A };
	struct host_query *host = MEM_NEW(struct host_query);

	dns_query_begin(&host->base, dns, finish);
	host->base.discard = discard;
	host->done = done;
	host->arg = arg;
	for (int i = 0; i < 2; i++)
		host->parts[i].question =
			(struct dns_question){ .query = &host->base, .type = types[i], .replied = on_replied };
	if (know_by_itself(host, name))
		return &host->base;
	loop_timer_in(&host->base.timer, dns->timeout_ms);
	dns_question_ask(&host->parts[0].question);
	dns_question_ask(&host->parts[1].question);
	return &host->base;
}
