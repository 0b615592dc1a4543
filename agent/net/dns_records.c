#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/answer_records.h"
#include "net/dns_inside.h"

enum { NEGATIVE_MOST_S = 60 }; /* a "no" may be a mistake that is being mended */

struct records_query {
	struct dns_query base;
	enum dns_type type;
	void (*done)(void *arg, const struct dns_records *result);
	void *arg;
	struct dns_question question;
	char *message; /* an answer, kept until the caller hears of it; NULL: there is none, but: */
	size_t message_len;
	bool trusted;    /* whoever gave it may say that it is authentic */
	uint32_t left_s; /* it is from the cache, and holds so much longer */
	bool cached;
	enum dns_status status;
	const char *detail;
};

static struct records_query *records_of(struct dns_query *query)
{
	return (struct records_query *)query;
}

static void discard(struct dns_query *query)
{
	mem_free(records_of(query)->message);
}

/* ---------------------------------------------------------------- the end */

static void explain(const struct records_query *records, struct dns_records *result)
{
	const char *type = answer_records_type_name(records->type);
	struct buf text;

	buf_init(&text, 2048);
	buf_printf(&text, "%.150s: ", records->base.name);
	if (result->status == DNS_OK)
		buf_printf(&text, "%zu %s record%s", result->count, type, result->count == 1 ? "" : "s");
	else if (result->status == DNS_NODATA)
		buf_printf(&text, "no %s record", type);
	else
		buf_append_str(&text, dns_status_text(result->status));
	if (result->status != DNS_OK && records->detail)
		buf_printf(&text, ": %s", records->detail);
	if (result->status == DNS_TEMPORARY || result->status == DNS_SILENT || result->status == DNS_NXDOMAIN) {
		buf_printf(&text, " (%s, asked ", type);
		hosts_print_servers(&records->base.dns->servers, 0, &text);
		buf_append_char(&text, ')');
	}
	snprintf(result->text, sizeof(result->text), "%s", buf_cstr(&text));
	buf_fini(&text);
}

/* What /etc/hosts names does exist, though DNS does not know of it. */
static bool is_in_hosts_file(const struct records_query *records)
{
	struct dns_address found;

	return dns_query_find(&records->base, &found, 1) > 0;
}

static void keep(struct records_query *records, const struct answer_records *read)
{
	struct dns_cache_item item = { .name = records->base.name,
				       .type = answer_records_type(records->type),
				       .bytes = span_of(records->message, records->message_len),
				       .authentic = records->trusted };
	uint32_t ttl_s = read->ttl_s;

	if (read->status != DNS_OK && ttl_s > NEGATIVE_MOST_S)
		ttl_s = NEGATIVE_MOST_S;
	dns_cache_keep(&records->base.dns->cache, &item, ttl_s, loop_now_ms(records->base.dns->loop));
}

static void tell(struct records_query *records, struct dns_records *result)
{
	explain(records, result);
	dns_query_over(&records->base);
	records->done(records->arg, result);
	dns_query_end(&records->base);
}

static void tell_answer(struct records_query *records)
{
	struct answer_records read;
	struct dns_records result;

	answer_records_read(&read, span_of(records->message, records->message_len), records->base.name, records->type);
	if (!records->cached)
		keep(records, &read);
	records->detail = read.detail;
	result = (struct dns_records){ .status = read.status,
				       .authentic = read.authentic && records->trusted,
				       .list = read.list,
				       .count = read.count,
				       .name = read.name,
				       .ttl_s = records->cached ? records->left_s : read.ttl_s };
	if (read.status == DNS_NXDOMAIN && is_in_hosts_file(records)) {
		result.status = DNS_NODATA;
		result.authentic = false;
	}
	tell(records, &result);
	answer_records_fini(&read);
}

static void finish(struct dns_query *query)
{
	struct records_query *records = records_of(query);
	struct dns_records result = { .name = query->name };

	if (records->message) {
		tell_answer(records);
		return;
	}
	if (records->status == DNS_OK) { /* its time is up */
		records->status = DNS_SILENT;
		records->detail = "no answer in time";
	}
	result.status = records->status == DNS_SILENT ? dns_query_silence(query) : records->status;
	tell(records, &result);
}

/* ---------------------------------------------------------------- the question */

static void take_message(struct records_query *records, struct span message, bool trusted)
{
	records->message = mem_dup(message.data, message.len);
	records->message_len = message.len;
	records->trusted = trusted;
	loop_task_post(&records->base.task);
}

static void take_failure(struct records_query *records, enum dns_status status, const char *detail)
{
	records->status = status;
	records->detail = detail;
	loop_task_post(&records->base.task);
}

static void on_replied(struct dns_question *question, const struct dns_channel_reply *reply)
{
	struct records_query *records = records_of(question->query);

	if (reply->status != DNS_OK)
		take_failure(records, reply->status, reply->detail);
	else
		take_message(records, reply->message, question->trusted);
}

static bool know_from_cache(struct records_query *records)
{
	struct dns *dns = records->base.dns;
	const struct dns_cache_item *item =
		dns_cache_find(&dns->cache, records->base.name, answer_records_type(records->type),
			       loop_now_ms(dns->loop), &records->left_s);

	if (!item)
		return false;
	records->cached = true;
	take_message(records, item->bytes, item->authentic);
	return true;
}

static bool know_by_itself(struct records_query *records, const char *name)
{
	enum dns_status status;
	const char *detail = NULL;

	if (!dns_query_name(&records->base, name))
		status = DNS_BAD_NAME;
	else if (dns_query_is_localhost(&records->base))
		status = DNS_NODATA;
	else if (!dns_query_is_stuck(&records->base, &status, &detail))
		return know_from_cache(records);
	take_failure(records, status, detail);
	return true;
}

struct dns_query *dns_records(struct dns *dns, const char *name, enum dns_type type,
			      void (*done)(void *arg, const struct dns_records *result), void *arg)
{
	struct records_query *records = MEM_NEW(struct records_query);

	dns_query_begin(&records->base, dns, finish);
	records->base.discard = discard;
	records->type = type;
	records->done = done;
	records->arg = arg;
	records->question = (struct dns_question){ .query = &records->base,
						   .type = answer_records_type(type),
						   .replied = on_replied };
	if (know_by_itself(records, name))
		return &records->base;
	loop_timer_in(&records->base.timer, dns->timeout_ms);
	dns_question_ask(&records->question);
	return &records->base;
}
