#include "delivery/mtasts.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "delivery/mtasts_policy.h"
#include "helper/helper.h"
#include "log.h"
#include "smtp/address.h"

enum {
	ENTRIES = 1000,
	ENTRIES_BYTES = 4 * 1024 * 1024, /* of policies in memory */
	ASK_MIN_MS = 1000,               /* a TXT record counts for its TTL, between these */
	ASK_MAX_MS = 3600 * 1000,
	NONE_MIN_MS = 60 * 1000, /* "there is none" at least for so long */
	NONE_MS = 300 * 1000,    /* where the answer has no TTL */
	SILENT_MS = 60 * 1000,
	FAILED_MS = 300 * 1000, /* a policy that could not be had is not fetched again before */
	FETCH_MS = 60 * 1000,   /* RFC 8461, 3.3 */
	FETCHES = 12, /* at once; the others wait for their turn, and are not taken for domains without a policy */
	SWEEP_MS = 3600 * 1000, /* between two sweeps of the state */
	SWEEP_RECORDS = 100,    /* a turn */
	SAVE_PATIENCE_MS = 1000,
	HTTPS_PORT = 443,
};

#define STATE_PREFIX "mtasts:"

struct mtasts_lookup {
	struct list node;
	struct entry *entry;
	void (*done)(void *arg, const struct mtasts_result *result);
	void *arg;
};

struct entry {
	struct list node; /* the latest used first */
	struct mtasts *m;
	char *domain;
	struct mtasts_policy *policy; /* or NULL */
	int64_t ask_boot_ms;          /* until then the last TXT answer counts */
	int64_t fetch_boot_ms;        /* until then `failed_id` is not fetched again */
	char id[MTASTS_ID_SIZE], failed_id[MTASTS_ID_SIZE];
	const char *failure; /* NULL, or what kept the policy from us */
	char why[300];       /* the same in words, or why there is none */
	/* What is under way: */
	struct dns_query *query;
	struct helper_request *request;
	char *ca_file;
	uint16_t port;
	struct list lookups;
	struct list turn; /* waits for its turn to be fetched */
	struct loop_task task;
	bool is_answering;
	bool is_fetching; /* has had its turn */
	bool is_refresh;  /* a fresh copy of `policy` is on its way, and nobody waits for it */
};

struct mtasts {
	struct mtasts_setup setup;
	struct list entries, waiting;
	size_t count, bytes, fetching;
	struct loop_timer sweep;
	char swept[QUEUE_STATE_NAME_SIZE]; /* as far as the sweep came */
};

/* ---------------------------------------------------------------- the state of the queue */

/* A domain that is too long for a name goes by its digest; its record says whose it is. */
static void state_name(const char *domain, char out[QUEUE_STATE_NAME_SIZE])
{
	uint8_t digest[CRYPTO_SHA256_LEN];
	size_t len;

	if (strlen(STATE_PREFIX) + strlen(domain) < QUEUE_STATE_NAME_SIZE) {
		snprintf(out, QUEUE_STATE_NAME_SIZE, STATE_PREFIX "%s", domain);
		return;
	}
	crypto_hash(CRYPTO_SHA256, span_str(domain), digest);
	len = (size_t)snprintf(out, QUEUE_STATE_NAME_SIZE, STATE_PREFIX "sha256-");
	for (size_t i = 0; i < sizeof digest; i++, len += 2)
		snprintf(out + len, 3, "%02x", digest[i]);
}

static struct mtasts_policy *load(struct mtasts *m, const char *domain)
{
	struct queue_view *view = queue_view(m->setup.queue);
	char name[QUEUE_STATE_NAME_SIZE];
	struct queue_bytes value;

	state_name(domain, name);
	if (!view || queue_view_state(view, name, &value) != QUEUE_OK)
		return NULL;
	return mtasts_policy_read(span_of(value.data, value.len), domain);
}

static void save(struct entry *e)
{
	struct queue_op *op;
	char name[QUEUE_STATE_NAME_SIZE];
	struct buf record;

	buf_init(&record, MTASTS_POLICY_RECORD);
	state_name(e->domain, name);
	if (mtasts_policy_write(&record, e->domain, e->policy)) {
		op = queue_op_new(e->m->setup.queue);
		queue_op_state(op, name, (struct queue_bytes){ buf_span(&record).data, record.len });
		queue_op_patience(op, SAVE_PATIENCE_MS);
		queue_op_submit(op, NULL, NULL);
	}
	buf_fini(&record);
}

/* Drops what is over, or no record, among the next few; false: that were all. */
static bool sweep_some(struct mtasts *m, int64_t wall_ms)
{
	struct queue_view *view = queue_view(m->setup.queue);
	struct queue_op *op = NULL;
	struct queue_bytes value;
	char name[QUEUE_STATE_NAME_SIZE];
	bool is_more = false;

	for (int i = 0; view && i < SWEEP_RECORDS; i++) {
		struct mtasts_policy *policy;

		is_more = queue_view_state_next(view, m->swept, name, &value) == QUEUE_OK &&
			  strncmp(name, STATE_PREFIX, strlen(STATE_PREFIX)) == 0;
		if (!is_more)
			break;
		memcpy(m->swept, name, sizeof name);
		policy = mtasts_policy_read(span_of(value.data, value.len), NULL);
		if (!policy || mtasts_policy_is_over(policy, wall_ms)) {
			op = op ? op : queue_op_new(m->setup.queue);
			queue_op_state(op, name, (struct queue_bytes){ "", 0 });
		}
		mtasts_policy_free(policy);
	}
	if (op)
		queue_op_submit(op, NULL, NULL);
	return is_more;
}

static void on_sweep(struct loop_timer *timer)
{
	struct mtasts *m = LIST_ENTRY(timer, struct mtasts, sweep);
	bool is_more = sweep_some(m, loop_wall_ms(m->setup.loop));

	if (!is_more)
		snprintf(m->swept, sizeof m->swept, STATE_PREFIX);
	loop_timer_in(timer, is_more ? 1000 : SWEEP_MS);
}

/* ---------------------------------------------------------------- entries */

static bool is_under_way(const struct entry *e)
{
	return e->query || e->request || !list_is_empty(&e->turn);
}

static bool is_idle(const struct entry *e)
{
	return list_is_empty(&e->lookups) && !is_under_way(e) && !e->is_answering;
}

static void set_policy(struct entry *e, struct mtasts_policy *policy)
{
	if (e->policy)
		e->m->bytes -= e->policy->text.len;
	mtasts_policy_free(e->policy);
	e->policy = policy;
	if (policy)
		e->m->bytes += policy->text.len;
}

/* Also what DNS said of it counts no longer: whether there is another one is asked anew. */
static void forget_if_over(struct entry *e)
{
	if (!e->policy || !mtasts_policy_is_over(e->policy, loop_wall_ms(e->m->setup.loop)))
		return;
	set_policy(e, NULL);
	e->ask_boot_ms = 0;
	snprintf(e->why, sizeof e->why, "its policy is over");
}

static void drop(struct entry *e)
{
	if (e->query)
		dns_cancel(e->query);
	helper_cancel(e->request);
	loop_task_stop(&e->task);
	set_policy(e, NULL);
	list_remove(&e->node);
	list_remove(&e->turn);
	e->m->count--;
	mem_free(e->ca_file);
	mem_free(e->domain);
	mem_free(e);
}

/* Those that were not used for the longest time go first; what is kept of them is in the queue's state. */
static void make_room(struct mtasts *m)
{
	struct list *next;

	for (struct list *node = m->entries.prev; node != &m->entries; node = next) {
		next = node->prev;
		if (m->count <= ENTRIES && m->bytes <= ENTRIES_BYTES)
			return;
		if (is_idle(LIST_ENTRY(node, struct entry, node)))
			drop(LIST_ENTRY(node, struct entry, node));
	}
}

static void on_task(struct loop_task *task);

static struct entry *entry_of(struct mtasts *m, const char *domain)
{
	struct entry *e;

	for (struct list *node = list_first(&m->entries); node; node = list_next(&m->entries, node)) {
		e = LIST_ENTRY(node, struct entry, node);
		if (strcmp(e->domain, domain) == 0) {
			list_remove(&e->node);
			list_prepend(&m->entries, &e->node);
			return e;
		}
	}
	e = MEM_NEW(struct entry);
	e->m = m;
	e->domain = mem_strdup(domain);
	list_init(&e->lookups);
	list_init(&e->turn);
	loop_task_init(&e->task, m->setup.loop, on_task);
	list_init(&e->node);
	list_prepend(&m->entries, &e->node);
	m->count++;
	set_policy(e, load(m, domain));
	return e;
}

/* ---------------------------------------------------------------- answers */

static void describe(const struct entry *e, struct buf *out)
{
	const struct mtasts_policy *policy = e->policy;
	char stamp[CLOCK_DATE_SIZE];

	if (policy) {
		buf_printf(out, "mode %s, id %s, fetched %s", mtasts_policy_mode_name(policy->mode), policy->id,
			   clock_stamp(policy->fetched_wall_ms, stamp));
		for (size_t i = 0; i < policy->mx_count && i < 8; i++)
			buf_printf(out, "%s%s", i ? ", " : ", mx ", policy->mx[i]);
		if (policy->mx_count > 8)
			buf_append_str(out, ", …");
		if (e->failure)
			buf_printf(out, "; kept, because a newer one cannot be had: %s", e->why);
	} else {
		buf_append_str(out, e->why);
	}
}

static void answer(struct entry *e)
{
	struct mtasts_result result = { .failure = e->failure };
	struct list *node, waiting;
	struct buf text;

	loop_task_stop(&e->task);
	forget_if_over(e);
	if (list_is_empty(&e->lookups))
		return;
	buf_init(&text, 4096);
	describe(e, &text);
	result.policy = e->policy;
	result.text = buf_cstr(&text);
	/* Who asks again from inside the callback waits for the next answer. */
	waiting = e->lookups;
	waiting.next->prev = waiting.prev->next = &waiting;
	list_init(&e->lookups);
	e->is_answering = true;
	while ((node = list_first(&waiting))) {
		struct mtasts_lookup *lookup = LIST_ENTRY(node, struct mtasts_lookup, node), was = *lookup;

		list_remove(node);
		mem_free(lookup);
		was.done(was.arg, &result);
	}
	e->is_answering = false;
	buf_fini(&text);
}

static void on_task(struct loop_task *task)
{
	answer(LIST_ENTRY(task, struct entry, task));
}

/* ---------------------------------------------------------------- the policy by HTTPS */

static void fetch_next(struct mtasts *m);

static void fetch_ended(struct entry *e)
{
	e->m->fetching -= e->is_fetching;
	e->is_fetching = false;
	fetch_next(e->m);
}

static void fetch_failed(struct entry *e, const char *failure, const char *what, const char *why)
{
	bool is_news = !e->failure || strcmp(e->failed_id, e->id) != 0;

	e->failure = failure;
	e->fetch_boot_ms = loop_now_ms(e->m->setup.loop) + FAILED_MS;
	memcpy(e->failed_id, e->id, sizeof e->id);
	snprintf(e->why, sizeof e->why, "%s: %s", what, why);
	if (is_news)
		log_event(LOG_LEVEL_WARNING, "mta-sts-failed", LOG_TEXT("domain", e->domain),
			  LOG_TEXT("result", failure), LOG_TEXT("error", e->why),
			  LOG_TEXT("kept", e->policy ? mtasts_policy_mode_name(e->policy->mode) : "nothing"));
	fetch_ended(e);
	answer(e);
}

/* RFC 8461, 3.2: text/plain, whatever its parameters. */
static bool is_plain_text(const char *content_type)
{
	struct span type = span_str(content_type);

	return span_equals_fold(span_trim(span_first(type, span_find(type, ';'))), SPAN("text/plain"));
}

static void on_answer(void *arg, const struct helper_answer *got)
{
	struct entry *e = arg;
	struct mtasts_policy *policy;
	char words[128];
	const char *why;

	e->request = NULL;
	if (!got->ok) {
		fetch_failed(e, got->is_tls ? "sts-webpki-invalid" : "sts-policy-fetch-error",
			     "its policy could not be fetched", got->error);
		return;
	}
	/* RFC 8461, 3.3: no redirects are followed, no other status than 200 is good. */
	if (got->status != 200) {
		snprintf(words, sizeof words, "the server answered with status %u", got->status);
		fetch_failed(e, "sts-policy-fetch-error", "its policy could not be fetched", words);
		return;
	}
	if (!is_plain_text(got->content_type)) {
		snprintf(words, sizeof words, "its type is \"%.80s\", not text/plain", got->content_type);
		fetch_failed(e, "sts-policy-invalid", "its policy is not valid", words);
		return;
	}
	policy = mtasts_policy_new(got->body, e->id, loop_wall_ms(e->m->setup.loop), &why);
	if (!policy) {
		fetch_failed(e, "sts-policy-invalid", "its policy is not valid", why);
		return;
	}
	if (!e->policy || strcmp(e->policy->id, policy->id) != 0 || e->policy->mode != policy->mode)
		log_event(LOG_LEVEL_NOTICE, "mta-sts", LOG_TEXT("domain", e->domain),
			  LOG_TEXT("mode", mtasts_policy_mode_name(policy->mode)), LOG_TEXT("policy", policy->id),
			  LOG_NUM("max_age", policy->max_age_s));
	e->failure = NULL;
	e->fetch_boot_ms = 0;
	set_policy(e, policy);
	save(e);
	fetch_ended(e);
	answer(e);
	make_room(e->m);
}

static void print_address(struct buf *out, const struct dns_address *address)
{
	const struct sockaddr_in *v4 = (const void *)&address->addr;
	const struct sockaddr_in6 *v6 = (const void *)&address->addr;
	bool is_v6 = address->addr.ss_family == AF_INET6;
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(is_v6 ? AF_INET6 : AF_INET, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr,
		      text, sizeof text))
		buf_printf(out, "%s%s", out->len ? "," : "", text);
}

static void on_host(void *arg, const struct dns_addresses *result)
{
	struct entry *e = arg;
	struct helper_fetch fetch = { .ca_file = e->ca_file, .max_bytes = MTASTS_POLICY_TEXT, .timeout_ms = FETCH_MS };
	struct buf addresses, url;

	e->query = NULL;
	if (result->status != DNS_OK) {
		fetch_failed(e, "sts-policy-fetch-error", "its policy could not be fetched", result->text);
		return;
	}
	buf_init(&addresses, 1024);
	buf_init(&url, 1024);
	for (size_t i = 0; i < result->count; i++)
		print_address(&addresses, &result->list[i]);
	buf_printf(&url, "https://mta-sts.%s", e->domain);
	if (e->port != HTTPS_PORT)
		buf_printf(&url, ":%u", e->port);
	buf_append_str(&url, "/.well-known/mta-sts.txt");
	fetch.addresses = buf_cstr(&addresses);
	fetch.url = buf_cstr(&url);
	e->request = helper_fetch(e->m->setup.helper, &fetch, on_answer, e);
	buf_fini(&addresses);
	buf_fini(&url);
}

static void fetch_next(struct mtasts *m)
{
	struct list *node;

	while (m->fetching < FETCHES && (node = list_first(&m->waiting))) {
		struct entry *e = LIST_ENTRY(node, struct entry, turn);
		char host[ADDRESS_DOMAIN_SIZE + 16];

		list_remove(node);
		m->fetching++;
		e->is_fetching = true;
		snprintf(host, sizeof host, "mta-sts.%s", e->domain);
		e->query = dns_host(m->setup.dns, host, on_host, e);
	}
}

static void begin_fetch(struct entry *e)
{
	if (!e->m->setup.helper) {
		fetch_failed(e, "sts-policy-fetch-error", "its policy could not be fetched",
			     "there is no sendoff-helper");
		return;
	}
	list_append(&e->m->waiting, &e->turn);
	fetch_next(e->m);
}

/* ---------------------------------------------------------------- the TXT record */

static int64_t between(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

static void no_record(struct entry *e, const char *why, uint32_t ttl_s)
{
	int64_t for_ms = ttl_s ? between((int64_t)ttl_s * 1000, NONE_MIN_MS, ASK_MAX_MS) : NONE_MS;

	e->ask_boot_ms = loop_now_ms(e->m->setup.loop) + for_ms;
	e->failure = NULL;
	snprintf(e->why, sizeof e->why, "%s", why);
	answer(e);
}

static void found_id(struct entry *e)
{
	int64_t wall_ms = loop_wall_ms(e->m->setup.loop);
	bool is_known =
		e->policy && strcmp(e->policy->id, e->id) == 0 && !mtasts_policy_is_from_the_future(e->policy, wall_ms);

	if (is_known && !mtasts_policy_is_old(e->policy, wall_ms)) {
		e->failure = NULL;
		answer(e);
		return;
	}
	if (strcmp(e->failed_id, e->id) == 0 && loop_now_ms(e->m->setup.loop) < e->fetch_boot_ms) {
		answer(e);
		return;
	}
	e->is_refresh = is_known;
	if (is_known)
		answer(e);
	begin_fetch(e);
}

/* RFC 8461, 3.1: exactly one record, and that well-formed; else there is none. */
static void on_txt(void *arg, const struct dns_records *result)
{
	struct entry *e = arg;
	const struct dns_record *record = NULL;
	size_t count = 0;

	e->query = NULL;
	forget_if_over(e);
	switch (result->status) {
	case DNS_OK: break;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
	case DNS_BAD_NAME: no_record(e, "no policy is published", result->ttl_s); return;
	case DNS_TEMPORARY:
	case DNS_SILENT:
		e->ask_boot_ms = loop_now_ms(e->m->setup.loop) + SILENT_MS;
		e->failure = NULL;
		snprintf(e->why, sizeof e->why, "whether there is a policy is not known: %s", result->text);
		answer(e);
		return;
	}
	for (size_t i = 0; i < result->count; i++)
		if (mtasts_policy_is_record(result->list[i].data)) {
			record = &result->list[i];
			count++;
		}
	if (!count) {
		no_record(e, "no policy is published", result->ttl_s);
	} else if (count > 1) {
		no_record(e, "it has more than one MTA-STS record, which is the same as none", result->ttl_s);
	} else if (!mtasts_policy_id(record->data, e->id)) {
		no_record(e, "its MTA-STS record is not well-formed, which is the same as none", result->ttl_s);
	} else {
		e->ask_boot_ms =
			loop_now_ms(e->m->setup.loop) + between((int64_t)result->ttl_s * 1000, ASK_MIN_MS, ASK_MAX_MS);
		found_id(e);
	}
}

static void begin(struct entry *e, const struct config_smarthost *host)
{
	char name[ADDRESS_DOMAIN_SIZE + 16];

	e->is_refresh = false;
	mem_free(e->ca_file);
	e->ca_file = host->mta_sts_ca ? mem_strdup(host->mta_sts_ca) : NULL;
	e->port = host->mta_sts_port ? host->mta_sts_port : HTTPS_PORT;
	snprintf(name, sizeof name, "_mta-sts.%s", e->domain);
	e->query = dns_records(e->m->setup.dns, name, DNS_TXT, on_txt, e);
}

/* ---------------------------------------------------------------- interface */

struct mtasts_lookup *mtasts_lookup(struct mtasts *m, const struct config_smarthost *host, const char *domain,
				    void (*done)(void *arg, const struct mtasts_result *result), void *arg)
{
	struct mtasts_lookup *lookup = MEM_NEW(struct mtasts_lookup);
	struct entry *e = entry_of(m, domain);
	bool is_asked = is_under_way(e);
	bool is_name = address_is_domain(span_str(domain), 0) && !address_is_literal(span_str(domain));

	lookup->entry = e;
	lookup->done = done;
	lookup->arg = arg;
	list_init(&lookup->node);
	list_append(&e->lookups, &lookup->node);
	make_room(m);
	if (!is_name)
		snprintf(e->why, sizeof e->why, "only the domains of names publish policies");
	forget_if_over(e);
	if (!is_name || (is_asked && e->policy && e->is_refresh) ||
	    (!is_asked && loop_now_ms(m->setup.loop) < e->ask_boot_ms))
		loop_task_post(&e->task);
	else if (!is_asked)
		begin(e, host);
	return lookup;
}

void mtasts_cancel(struct mtasts_lookup *lookup)
{
	if (!lookup)
		return;
	list_remove(&lookup->node);
	mem_free(lookup);
}

bool mtasts_names(const struct mtasts_policy *policy, const char *mx)
{
	struct span name = span_str(mx), below = span_from(name, span_find(name, '.'));

	for (size_t i = 0; i < policy->mx_count; i++) {
		struct span pattern = span_str(policy->mx[i]);

		if (span_equals_fold(pattern, name))
			return true;
		/* "*" stands for one label, the first. */
		if (pattern.data[0] == '*' && below.len && below.len < name.len &&
		    span_equals_fold(span_from(pattern, 1), below))
			return true;
	}
	return false;
}

struct mtasts *mtasts_new(const struct mtasts_setup *setup)
{
	struct mtasts *m = MEM_NEW(struct mtasts);

	m->setup = *setup;
	list_init(&m->entries);
	list_init(&m->waiting);
	snprintf(m->swept, sizeof m->swept, STATE_PREFIX);
	loop_timer_init(&m->sweep, setup->loop, on_sweep);
	loop_timer_in(&m->sweep, SWEEP_MS);
	return m;
}

void mtasts_free(struct mtasts *m)
{
	if (!m)
		return;
	loop_timer_stop(&m->sweep);
	while (!list_is_empty(&m->entries)) {
		struct entry *e = LIST_ENTRY(list_first(&m->entries), struct entry, node);

		while (!list_is_empty(&e->lookups))
			mtasts_cancel(LIST_ENTRY(list_first(&e->lookups), struct mtasts_lookup, node));
		drop(e);
	}
	mem_free(m);
}
