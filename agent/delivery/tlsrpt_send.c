#include "delivery/tlsrpt_send.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/text.h"
#include "log.h"
#include "route.h"
#include "smtp/address.h"

enum {
	START_MS = 5000,                /* after the start, when a day is overdue */
	LOOK_MS = 3600 * 1000,          /* the clock may have jumped: it is looked at this often */
	LIFETIME_MS = 24 * 3600 * 1000, /* RFC 8460, 5.5 */
	POST_MS = 60 * 1000,
	POST_ANSWER = 4096,
};

static void next_domain(struct tlsrpt_send *s);
static void post_next(struct tlsrpt_send *s);

/* ---------------------------------------------------------------- the report */

int64_t tlsrpt_send_due_ms(int64_t day, int64_t jitter_ms)
{
	return (day + 1) * TLSREPORT_DAY_MS + TLSRPT_SEND_EARLIEST_MS + jitter_ms;
}

struct tlsreport tlsrpt_send_report(const struct config *config, const struct tlsrpt_count *count, char *id)
{
	const struct config_tlsrpt *c = &config->tlsrpt;
	uint8_t digest[CRYPTO_SHA256_LEN];
	struct buf all;

	/* The same whenever it is made, so that a receiver knows one that comes twice. */
	buf_init(&all, 4096);
	buf_printf(&all, "%s\n%s\n%lld", config->hostname, count->domain, (long long)count->day);
	crypto_hash(CRYPTO_SHA256, buf_span(&all), digest);
	buf_fini(&all);
	for (size_t i = 0; i < (TLSRPT_SEND_ID_SIZE - 1) / 2; i++)
		snprintf(id + 2 * i, 3, "%02x", digest[i]);
	return (struct tlsreport){
		.organization = c->organization ? c->organization : config->hostname,
		.contact = c->contact ? c->contact : config->postmaster,
		.id = id,
		.domain = count->domain,
		.day = count->day,
		.policies = (const struct tlsreport_policy *const *)count->policies,
		.policy_count = count->policy_count,
	};
}

static struct tlsrpt_count *current(struct tlsrpt_send *s)
{
	return tlsrpt_store_find(s->store, s->day, s->domain, false);
}

/* ---------------------------------------------------------------- rounds */

static void set_timer(struct tlsrpt_send *s)
{
	int64_t wall_ms = loop_wall_ms(s->loop), day = wall_ms / TLSREPORT_DAY_MS - 1;
	int64_t in_ms = tlsrpt_send_due_ms(day, s->jitter_ms) - wall_ms;

	if (day <= s->over_day)
		in_ms += TLSREPORT_DAY_MS;
	if (in_ms <= 0)
		in_ms = s->is_left ? TLSRPT_SEND_AGAIN_MS : START_MS;
	loop_timer_in(&s->timer, in_ms < LOOK_MS ? in_ms : LOOK_MS);
}

static void end_round(struct tlsrpt_send *s)
{
	s->is_busy = false;
	if (!s->is_left)
		s->over_day = s->day;
	log_event(LOG_LEVEL_DEBUG, "tls-report-round", LOG_NUM("day", s->day), LOG_NUM("left", s->is_left));
	set_timer(s);
}

static void on_timer(struct loop_timer *timer)
{
	struct tlsrpt_send *s = LIST_ENTRY(timer, struct tlsrpt_send, timer);
	int64_t wall_ms = loop_wall_ms(s->loop), day = wall_ms / TLSREPORT_DAY_MS - 1;

	if (s->is_busy || !s->config->tlsrpt.send || day <= s->over_day ||
	    wall_ms < tlsrpt_send_due_ms(day, s->jitter_ms)) {
		set_timer(s);
		return;
	}
	s->day = day;
	s->is_busy = true;
	s->is_left = false;
	s->name[0] = '\0';
	next_domain(s);
}

/* ---------------------------------------------------------------- by HTTPS */

static void on_marked(void *arg, enum queue_err err, uint64_t id)
{
	struct tlsrpt_send *s = arg;
	struct tlsrpt_count *count = current(s);

	(void)id;
	s->is_writing = false;
	if (err == QUEUE_OK && count)
		count->flags |= s->flags;
	else
		s->is_left = true;
	next_domain(s);
}

/* Notes what was done, then goes on. */
static void mark(struct tlsrpt_send *s, unsigned flags)
{
	struct tlsrpt_count *count = current(s);
	struct queue_op *op;

	if (!count) {
		next_domain(s);
		return;
	}
	op = queue_op_new(s->queue);
	s->flags = flags;
	s->is_writing = true;
	tlsrpt_store_put(op, count, count->flags | flags);
	queue_op_submit(op, on_marked, s);
}

static void end_post(struct tlsrpt_send *s, bool ok, const char *why)
{
	const char *url = s->rua.https[s->posting];

	if (ok)
		log_event(LOG_LEVEL_INFO, "tls-report", LOG_TEXT("domain", s->domain), LOG_TEXT("to", url));
	else
		log_event(LOG_LEVEL_WARNING, "tls-report-failed", LOG_TEXT("domain", s->domain), LOG_TEXT("to", url),
			  LOG_TEXT("error", why));
	s->has_post_failed = s->has_post_failed || !ok;
	s->posting++;
	post_next(s);
}

static void on_posted(void *arg, const struct helper_answer *answer)
{
	struct tlsrpt_send *s = arg;
	char words[64];

	s->request = NULL;
	snprintf(words, sizeof words, "the server answered with status %u", answer->status);
	end_post(s, answer->ok && answer->status / 100 == 2, answer->ok ? words : answer->error);
}

static void on_host(void *arg, const struct dns_addresses *result)
{
	struct tlsrpt_send *s = arg;
	struct helper_fetch fetch = {
		.url = s->rua.https[s->posting],
		.ca_file = s->config->mx.mta_sts_ca,
		.content_type = "application/tlsrpt+json",
		.body = buf_span(&s->json),
		.max_bytes = POST_ANSWER,
		.timeout_ms = POST_MS,
	};
	char text[INET6_ADDRSTRLEN];
	struct buf addresses;

	s->query = NULL;
	if (result->status != DNS_OK) {
		end_post(s, false, result->text);
		return;
	}
	buf_init(&addresses, 1024);
	for (size_t i = 0; i < result->count; i++) {
		const struct sockaddr_storage *a = &result->list[i].addr;
		const void *binary = a->ss_family == AF_INET6
					     ? (const void *)&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr
					     : (const void *)&((const struct sockaddr_in *)(const void *)a)->sin_addr;

		if (inet_ntop(a->ss_family, binary, text, sizeof text))
			buf_printf(&addresses, "%s%s", addresses.len ? "," : "", text);
	}
	fetch.addresses = buf_cstr(&addresses);
	s->request = helper_fetch(s->helper, &fetch, on_posted, s);
	buf_fini(&addresses);
}

/* The host in "https://host:port/…"; a name only. */
static bool host_of(const char *url, char *out, size_t size)
{
	struct span rest = span_from(span_str(url), strlen("https://")), host;
	size_t end = 0;

	while (end < rest.len && !strchr("/?#", rest.data[end]))
		end++;
	rest = span_first(rest, end);
	host = span_first(rest, span_find(rest, ':'));
	if (!host.len || host.len >= size || !address_is_domain(host, 0) || address_is_literal(host))
		return false;
	snprintf(out, size, "%.*s", SPAN_ARGS(host));
	return true;
}

static void post_next(struct tlsrpt_send *s)
{
	char host[ADDRESS_DOMAIN_SIZE];

	if (s->posting == s->rua.https_count) {
		if (!s->has_post_failed) {
			mark(s, TLSRPT_COUNT_POSTED);
			return;
		}
		s->is_left = true;
		next_domain(s);
		return;
	}
	if (!s->helper || !host_of(s->rua.https[s->posting], host, sizeof host)) {
		end_post(s, false, s->helper ? "no usable host in it" : "there is no sendoff-helper");
		return;
	}
	s->query = dns_host(s->dns, host, on_host, s);
}

static void begin_post(struct tlsrpt_send *s)
{
	struct tlsrpt_count *count = current(s);

	s->posting = 0;
	s->has_post_failed = false;
	if (!count || count->flags & TLSRPT_COUNT_POSTED)
		next_domain(s);
	else
		post_next(s);
}

/* ---------------------------------------------------------------- by mail */

static void on_mailed(void *arg, enum queue_err err, uint64_t id)
{
	struct tlsrpt_send *s = arg;
	struct tlsrpt_count *count = current(s);

	s->is_writing = false;
	if (err != QUEUE_OK) {
		s->is_left = true;
		next_domain(s);
		return;
	}
	if (count)
		count->flags |= TLSRPT_COUNT_MAILED;
	log_event(LOG_LEVEL_INFO, "tls-report", LOG_ID(id), LOG_TEXT("domain", s->domain),
		  LOG_TEXT("to", s->rua.mailto[0]));
	begin_post(s);
}

static struct queue_receipt *compose(struct tlsrpt_send *s, const struct tlsrpt_count *count, const char *from,
				     char message_id[512])
{
	struct queue_receipt *receipt = NULL;
	const char *to[TLSREPORT_TARGETS];
	char id[TLSRPT_SEND_ID_SIZE];
	struct tlsreport report = tlsrpt_send_report(s->config, count, id);
	struct tlsreport_mail mail = {
		.report = &report,
		.hostname = s->config->hostname,
		.from = from,
		.to = to,
		.to_count = s->rua.mailto_count,
		.message_id = message_id,
		.boundary = id,
		.now_ms = loop_wall_ms(s->loop),
		.json = buf_span(&s->json),
	};
	struct buf text;

	for (size_t i = 0; i < s->rua.mailto_count; i++)
		to[i] = s->rua.mailto[i];
	snprintf(message_id, 512, "%s@%.255s", id, s->config->hostname);
	buf_init(&text, TLSREPORT_MAIL);
	if (tlsreport_mail(&text, &mail)) {
		receipt = queue_receipt_new(s->queue);
		if (queue_receipt_append(receipt, buf_span(&text).data, text.len) != QUEUE_OK) {
			queue_receipt_free(receipt);
			receipt = NULL;
		}
	}
	buf_fini(&text);
	return receipt;
}

/* Mail, its note in the count, and that it waits for these domains: one operation. */
static void hand_over(struct tlsrpt_send *s, struct tlsrpt_count *count, struct queue_receipt *receipt,
		      const char *from, const char *message_id)
{
	int64_t now_ms = loop_wall_ms(s->loop);
	struct queue_op *op = queue_op_new(s->queue);
	struct queue_envelope envelope = {
		.id = queue_next_id(s->queue, now_ms),
		.arrival_ms = now_ms,
		.sender = from,
		.submitter = "self",
		.uid = UINT32_MAX,
		.origin = "tls report",
		.envid = "",
		.message_id = message_id,
		.subject = "TLS report",
		.route = "",
		.ret = QUEUE_RET_HDRS,
		.body = QUEUE_BODY_7BIT,
		.expires_ms = now_ms + LIFETIME_MS,
	};
	struct queue_rcpt rcpts[TLSREPORT_TARGETS];
	struct buf targets[TLSREPORT_TARGETS];

	for (size_t i = 0; i < s->rua.mailto_count; i++) {
		const char *to = s->rua.mailto[i];
		struct span domain = address_domain(span_str(to));
		char name[ADDRESS_DOMAIN_SIZE];

		buf_init(&targets[i], 4096);
		route_target_of(s->config, route_of(s->config, "", from, to), to, &targets[i]);
		rcpts[i] = (struct queue_rcpt){
			.address = to,
			.orcpt = "",
			.notify = QUEUE_NOTIFY_NEVER,
			.flow = { .target = buf_cstr(&targets[i]), .submitter = "self", .band = 1 },
			.due_ms = now_ms,
			.reply = "",
			.host = "",
		};
		if (address_domain_ascii(domain, name))
			tlsrpt_store_put_mail(s->store, op, name, envelope.id);
	}
	queue_op_accept(op, receipt, &envelope, rcpts, s->rua.mailto_count);
	tlsrpt_store_put(op, count, count->flags | TLSRPT_COUNT_MAILED);
	s->is_writing = true;
	queue_op_submit(op, on_mailed, s);
	for (size_t i = 0; i < s->rua.mailto_count; i++)
		buf_fini(&targets[i]);
}

static void begin_mail(struct tlsrpt_send *s, struct tlsrpt_count *count)
{
	const struct config_tlsrpt *c = &s->config->tlsrpt;
	const char *from = c->from ? c->from : c->contact ? c->contact : s->config->postmaster;
	struct queue_receipt *receipt;
	char message_id[512];

	if (count->flags & TLSRPT_COUNT_MAILED || !s->rua.mailto_count) {
		begin_post(s);
		return;
	}
	receipt = compose(s, count, from, message_id);
	if (receipt) {
		hand_over(s, count, receipt, from, message_id);
		return;
	}
	s->is_left = true;
	next_domain(s);
}

/* ---------------------------------------------------------------- who wants it */

/* RFC 8460, 3: exactly one record, or there is none. False: nobody wants reports. */
static bool read_rua(const struct dns_records *result, struct tlsreport_rua *out)
{
	const struct dns_record *found = NULL;

	for (size_t i = 0; i < result->count; i++)
		if (tlsreport_is_record(result->list[i].data)) {
			if (found)
				return false;
			found = &result->list[i];
		}
	return found && tlsreport_rua(found->data, out);
}

static void on_txt(void *arg, const struct dns_records *result)
{
	struct tlsrpt_send *s = arg;
	struct tlsrpt_count *count = current(s);
	char id[TLSRPT_SEND_ID_SIZE];
	struct tlsreport report;

	s->query = NULL;
	if (!count || result->status == DNS_TEMPORARY || result->status == DNS_SILENT) {
		s->is_left = s->is_left || count;
		next_domain(s);
		return;
	}
	if (result->status != DNS_OK || !read_rua(result, &s->rua)) {
		mark(s, TLSRPT_COUNT_DONE);
		return;
	}
	report = tlsrpt_send_report(s->config, count, id);
	buf_clear(&s->json);
	if (!tlsreport_json(&s->json, &report)) {
		mark(s, TLSRPT_COUNT_DONE); /* larger than any report that means well */
		return;
	}
	begin_mail(s, count);
}

/* One after the other, each in a turn of the loop of its own, because each asks DNS. */
static void next_domain(struct tlsrpt_send *s)
{
	char name[ADDRESS_DOMAIN_SIZE + 16];
	struct tlsrpt_count *count;

	if (s->is_over)
		return;
	for (;;) {
		count = tlsrpt_store_next(s->store, s->day, s->name);
		if (!count) {
			end_round(s);
			return;
		}
		if ((count->flags & TLSRPT_COUNT_DONE) != TLSRPT_COUNT_DONE && count->others && count->policy_count)
			break;
	}
	snprintf(s->domain, sizeof s->domain, "%s", count->domain);
	s->rua = (struct tlsreport_rua){ .mailto_count = 0 };
	snprintf(name, sizeof name, "_smtp._tls.%s", s->domain);
	s->query = dns_records(s->dns, name, DNS_TXT, on_txt, s);
}

/* ---------------------------------------------------------------- life */

void tlsrpt_send_init(struct tlsrpt_send *s)
{
	s->over_day = -1;
	buf_init(&s->json, TLSREPORT_JSON);
	loop_timer_init(&s->timer, s->loop, on_timer);
	if (s->config->tlsrpt.send)
		set_timer(s);
}

void tlsrpt_send_configure(struct tlsrpt_send *s, const struct config *config)
{
	s->config = config;
	if (!config->tlsrpt.send)
		loop_timer_stop(&s->timer);
	else if (!s->is_busy)
		set_timer(s);
}

void tlsrpt_send_fini(struct tlsrpt_send *s)
{
	s->is_over = true;
	if (s->is_writing)
		queue_wait(s->queue);
	loop_timer_stop(&s->timer);
	if (s->query)
		dns_cancel(s->query);
	helper_cancel(s->request);
	buf_fini(&s->json);
}
