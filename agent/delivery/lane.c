#include "delivery/lane.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/text.h"
#include "delivery/backoff.h"
#include "route.h"

static char nothing[] = "";

struct lane *lane_new(struct agenda *agenda, const char *name, struct moment now)
{
	struct lane *lane = MEM_NEW(struct lane);

	list_init(&lane->node);
	list_init(&lane->look_node);
	list_init(&lane->dirty_node);
	list_init(&lane->spent_node);
	list_init(&lane->loose_node);
	list_init(&lane->slot_node);
	lane->agenda = agenda;
	lane->name = mem_strdup(name);
	if (span_starts_fold(span_str(name), SPAN(ROUTE_MX)))
		lane->domain = lane->name + sizeof ROUTE_MX - 1;
	lane->error = nothing;
	pace_init(&lane->pace);
	lane->bucket.tokens = -1; /* not known yet: lane_configure() fills it */
	lane->bucket.at_boot_ms = now.boot_ms;
	for (int i = 0; i < LANE_BANDS; i++)
		list_init(&lane->bands[i]);
	return lane;
}

static void set_error(struct lane *lane, const char *text)
{
	char *copy = *text ? mem_span_dup(span_first(span_str(text), LANE_ERROR_MAX - 1)) : nothing;

	if (lane->error != nothing)
		mem_free(lane->error);
	lane->error = copy;
}

void lane_free(struct lane *lane)
{
	if (!lane)
		return;
	list_remove(&lane->node);
	list_remove(&lane->look_node);
	list_remove(&lane->dirty_node);
	list_remove(&lane->spent_node);
	list_remove(&lane->loose_node);
	list_remove(&lane->slot_node);
	if (lane->agenda)
		heap_remove(&lane->agenda->later, &lane->later);
	set_error(lane, "");
	mem_free(lane->name);
	mem_free(lane->paused_by);
	mem_free(lane);
}

/* ---------------------------------------------------------------- agenda */

void lane_look(struct lane *lane)
{
	if (lane->agenda && list_is_empty(&lane->look_node))
		list_append(&lane->agenda->now, &lane->look_node);
}

void lane_look_at(struct lane *lane, int64_t boot_ms)
{
	if (lane->agenda)
		heap_put(&lane->agenda->later, &lane->later, boot_ms);
}

void lane_look_by(struct lane *lane, int64_t boot_ms)
{
	if (!heap_has(&lane->later) || lane->later.key > boot_ms)
		lane_look_at(lane, boot_ms);
}

void lane_loosen(struct lane *lane)
{
	if (lane->domain && lane->agenda && list_is_empty(&lane->loose_node))
		list_append(&lane->agenda->loose, &lane->loose_node);
}

/* Its record in the queue is out of date. */
static void soil(struct lane *lane)
{
	if (lane->agenda && list_is_empty(&lane->dirty_node))
		list_append(&lane->agenda->dirty, &lane->dirty_node);
}

static bool is_at_work(const struct lane *lane)
{
	return lane->connecting || lane->ready || lane->held || lane->writing || !list_is_empty(&lane->dirty_node) ||
	       !list_is_empty(&lane->spent_node);
}

bool lane_is_needless(const struct lane *lane)
{
	return lane->domain && !lane->seats && !lane->paused_by && !is_at_work(lane);
}

int64_t lane_rests_until(const struct lane *lane)
{
	if (is_at_work(lane) || lane->paused_by || !list_is_empty(&lane->look_node) ||
	    !list_is_empty(&lane->slot_node) || !heap_has(&lane->later))
		return 0;
	return lane->later.key;
}

/* ---------------------------------------------------------------- configuration */

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_strings(const struct config_strings *a, const struct config_strings *b)
{
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if (!same(a->list[i], b->list[i]))
			return false;
	return a->count == b->count;
}

static bool same_proxy(const struct config_proxy *a, const struct config_proxy *b)
{
	return same(a->host, b->host) && a->port == b->port && same(a->user, b->user) && same(a->password, b->password);
}

static bool account_differs(const struct config_smarthost *a, const struct config_smarthost *b)
{
	return !same(a->host, b->host) || a->port != b->port || a->protocol != b->protocol || a->tls != b->tls ||
	       !same_strings(&a->source, &b->source) || !same_proxy(&a->proxy, &b->proxy) || a->auth != b->auth ||
	       a->mta_sts != b->mta_sts || a->mta_sts_port != b->mta_sts_port || !same(a->mta_sts_ca, b->mta_sts_ca) ||
	       !same(a->user, b->user) || !same(a->secret_file, b->secret_file) ||
	       !same(a->secret_command, b->secret_command) || !same(a->secret_credential, b->secret_credential) ||
	       a->tls_verify != b->tls_verify || !same(a->tls_ca, b->tls_ca) || !same(a->tls_name, b->tls_name) ||
	       !same(a->tls_certificate, b->tls_certificate) || !same(a->tls_key, b->tls_key) ||
	       !same(a->tls_minimum, b->tls_minimum) || !same_strings(&a->tls_pins, &b->tls_pins);
}

static bool is_literal(const char *host, bool *out_is_loopback)
{
	uint8_t address[16];

	if (!cidr_address(span_str(host), address))
		return false;
	*out_is_loopback = cidr_is_loopback(address);
	return true;
}

/* Where it is does not depend on the machine's network, or its name needs no resolver. The hosts of a domain are
 * somewhere else, and to find them takes a resolver, unless the domain is an address; a proxy finds a smart host by
 * itself. */
static void locate(struct lane *lane, const struct config_smarthost *how)
{
	const char *host = how->proxy.host ? how->proxy.host : how->host;
	bool is_loopback = false, is_address;

	if (lane->domain) {
		lane->is_local = false;
		lane->needs_dns = lane->domain[0] != '[';
		return;
	}
	is_address = is_literal(host, &is_loopback);
	lane->is_local = !how->proxy.host &&
			 (host[0] == '/' || is_loopback || span_equals_fold(span_str(host), SPAN("localhost")));
	lane->needs_dns = host[0] != '/' && !is_address;
}

bool lane_configure(struct lane *lane, const struct config_smarthost *host, struct moment now)
{
	bool differs = lane->host && host && account_differs(lane->host, host);
	uint32_t capacity = host ? host->rate.count : 0;

	lane->host = host;
	if (!host)
		return differs;
	locate(lane, host);
	pace_bound(&lane->pace, host->connections);
	if (lane->bucket.tokens < 0 || lane->bucket.tokens > capacity) {
		lane->bucket.tokens = capacity;
		lane->bucket.at_boot_ms = now.boot_ms;
	}
	return differs;
}

/* Of its kind of trouble. */
static int64_t longest_wait(const struct lane *lane)
{
	int64_t max = lane->trouble == TRAFFIC_LANE ? 0 : LANE_THROTTLE_MAX_MS + LANE_THROTTLE_MAX_MS / 8;

	if (lane->host && lane->host->reconnect.max_ms + lane->host->reconnect.max_ms / 8 > max)
		max = lane->host->reconnect.max_ms + lane->host->reconnect.max_ms / 8;
	return max;
}

void lane_restore(struct lane *lane, const struct queue_lane *record, struct moment now)
{
	int64_t wait = record->retry_ms - now.wall_ms;

	if (record->paused_by[0]) {
		mem_free(lane->paused_by);
		lane->paused_by = mem_strdup(record->paused_by);
		lane->paused_wall_ms = record->paused_ms;
	}
	if (record->trouble != TRAFFIC_LANE && record->trouble != TRAFFIC_ACCOUNT)
		return;
	lane->trouble = (enum traffic_trouble)record->trouble;
	lane->is_parked = record->parked;
	lane->failures = record->failures;
	lane->since_wall_ms = record->since_ms;
	lane->retry_boot_ms = now.boot_ms + (wait < 0 ? 0 : moment_min(wait, longest_wait(lane)));
	/* It failed no earlier than this, or it would have been tried again. */
	lane->tried_wall_ms = moment_wall(now, lane->retry_boot_ms) - longest_wait(lane);
	lane_look_at(lane, lane->retry_boot_ms);
	set_error(lane, record->error);
}

bool lane_record(const struct lane *lane, struct moment now, struct queue_lane *out)
{
	*out = (struct queue_lane){
		.name = lane->name,
		.failures = lane->failures,
		.since_ms = lane->since_wall_ms,
		.retry_ms = lane->trouble ? moment_wall(now, lane->retry_boot_ms) : 0,
		.trouble = (uint8_t)lane->trouble,
		.parked = lane->is_parked,
		.error = lane->error,
		.paused_by = lane->paused_by ? lane->paused_by : "",
		.paused_ms = lane->paused_wall_ms,
	};
	if (lane->domain && lane_has_rate(lane) && !lane->trouble)
		out->since_ms = now.wall_ms;
	return lane->trouble || lane->paused_by || (lane->domain && lane_has_rate(lane));
}

bool lane_is_well(const struct lane *lane)
{
	return lane->host && lane->trouble == TRAFFIC_WELL && !lane->paused_by;
}

bool lane_may_work(const struct lane *lane, struct moment now)
{
	return lane->host && !lane->paused_by && (lane->trouble == TRAFFIC_WELL || now.boot_ms >= lane->retry_boot_ms);
}

bool lane_has_slot(const struct lane *lane, struct moment now)
{
	uint32_t open = lane->connecting + lane->ready;

	if (!lane_may_work(lane, now))
		return false;
	if (lane->trouble)
		return open == 0;
	/* As many on their way as work already: fast enough to rise, slow enough not to knock a door down. */
	return open < lane->pace.limit && lane->connecting < (lane->ready ? lane->ready : 1);
}

bool lane_has_turn(const struct lane *lane, struct moment now)
{
	if (!lane_may_work(lane, now))
		return false;
	if (lane->trouble)
		return lane->jobs == 0;
	/* Connections that are more than it should have now finish what they have. */
	return lane->ready <= lane->pace.limit || lane->jobs < lane->pace.limit;
}

static int64_t wait_ms(const struct lane *lane, const struct lane_failure *failure, struct chance *chance)
{
	static const struct config_backoff throttle = { .first_ms = LANE_THROTTLE_MS,
							.factor = 2,
							.max_ms = LANE_THROTTLE_MAX_MS };

	if (failure->is_parked)
		return chance_jitter(chance, LANE_PARK_MS);
	return backoff_ms(failure->is_throttled ? &throttle : &lane->host->reconnect, lane->failures, chance);
}

bool lane_failed(struct lane *lane, const struct lane_failure *failure, uint32_t others, struct chance *chance,
		 struct moment now)
{
	if (!lane->host)
		return false;
	lane->tried_wall_ms = now.wall_ms;
	/* Only one of several connections failed, or there are too many of them: the others go on. */
	if (others && !lane->trouble &&
	    (failure->trouble == TRAFFIC_LANE || (failure->is_throttled && pace_is_crowd(failure->text)))) {
		pace_failed(&lane->pace, others, failure->was_ready, failure->text, &lane->host->reconnect, chance,
			    now);
		return false;
	}
	/* Connections of a lane that already waits fall down one after another: that is one failure, not many. */
	if (lane->trouble && now.boot_ms < lane->retry_boot_ms && (lane->is_parked || !failure->is_parked))
		return false;
	if (!lane->trouble)
		lane->since_wall_ms = now.wall_ms;
	if (lane->failures < UINT32_MAX)
		lane->failures++;
	lane->trouble = failure->trouble;
	lane->is_parked = failure->is_parked;
	lane->retry_boot_ms = now.boot_ms + wait_ms(lane, failure, chance);
	lane_look_at(lane, lane->retry_boot_ms);
	pace_restart(&lane->pace);
	set_error(lane, failure->text);
	soil(lane);
	return true;
}

static void forget(struct lane *lane)
{
	lane->trouble = TRAFFIC_WELL;
	lane->is_parked = false;
	lane->failures = 0;
	lane->since_wall_ms = 0;
	lane->retry_boot_ms = 0;
	set_error(lane, "");
}

bool lane_succeeded(struct lane *lane, struct moment now)
{
	bool was_in_trouble = lane->trouble != TRAFFIC_WELL;

	lane->tried_wall_ms = now.wall_ms;
	if (!was_in_trouble)
		return false;
	forget(lane);
	soil(lane);
	lane_look(lane);
	return true;
}

void lane_rise(struct lane *lane, struct moment now)
{
	lane->success_wall_ms = now.wall_ms;
	if (lane->host && pace_delivered(&lane->pace, lane->host->connections, now))
		lane_look(lane);
}

void lane_age_doubt(struct lane *lane, struct moment now)
{
	int64_t wait_ms = LANE_PLAIN_MS;

	if (!lane->no_pipelining)
		return;
	if (lane->plain_boot_ms == 0) {
		for (uint32_t i = 0; i < lane->doubts && wait_ms < LANE_PLAIN_MAX_MS; i++)
			wait_ms *= 2;
		lane->doubts++;
		lane->plain_boot_ms = now.boot_ms + moment_min(wait_ms, LANE_PLAIN_MAX_MS);
	} else if (now.boot_ms >= lane->plain_boot_ms) {
		lane->no_pipelining = false;
		lane->plain_boot_ms = 0;
	}
}

void lane_hurry(struct lane *lane, int64_t boot_ms)
{
	if (lane->trouble != TRAFFIC_LANE || lane->is_local || lane->retry_boot_ms <= boot_ms)
		return;
	lane->retry_boot_ms = boot_ms;
	soil(lane); /* it may leave memory before its time comes */
	lane_look_at(lane, boot_ms);
}

void lane_wake(struct lane *lane)
{
	if (lane->trouble)
		soil(lane);
	forget(lane);
	lane_look(lane);
}

void lane_pause(struct lane *lane, const char *by, struct moment now)
{
	char *copy = mem_strdup(by[0] ? by : "somebody");

	mem_free(lane->paused_by);
	lane->paused_by = copy;
	lane->paused_wall_ms = now.wall_ms;
	soil(lane);
}

void lane_resume(struct lane *lane)
{
	if (lane->paused_by)
		soil(lane);
	mem_free(lane->paused_by);
	lane->paused_by = NULL;
	lane->paused_wall_ms = 0;
	lane_loosen(lane);
	lane_wake(lane);
}

static double tokens_at(const struct lane *lane, struct moment now)
{
	const struct lane_bucket *b = &lane->bucket;
	const struct config_rate *rate = &lane->host->rate;
	double tokens = b->tokens + (double)(now.boot_ms - b->at_boot_ms) * rate->count / (double)rate->per_ms;

	return tokens > rate->count ? rate->count : tokens;
}

static void fill(struct lane *lane, struct moment now)
{
	lane->bucket.tokens = tokens_at(lane, now);
	lane->bucket.at_boot_ms = now.boot_ms;
}

bool lane_has_rate(const struct lane *lane)
{
	return lane->host && lane->host->rate.count && lane->host->rate.per_ms > 0;
}

bool lane_take_token(struct lane *lane, struct moment now)
{
	if (!lane_has_rate(lane))
		return true;
	fill(lane, now);
	if (lane->bucket.tokens < 1)
		return false;
	lane->bucket.tokens -= 1;
	if (lane->agenda && list_is_empty(&lane->spent_node))
		list_append(&lane->agenda->spent, &lane->spent_node);
	return true;
}

void lane_give_token(struct lane *lane)
{
	if (lane_has_rate(lane))
		lane->bucket.tokens += 1;
}

int64_t lane_token_ms(const struct lane *lane, struct moment now)
{
	const struct config_rate *rate = lane->host ? &lane->host->rate : NULL;
	double tokens;

	if (!lane_has_rate(lane))
		return 0;
	tokens = tokens_at(lane, now);
	if (tokens >= 1)
		return 0;
	return now.boot_ms + (int64_t)((1 - tokens) * (double)rate->per_ms / rate->count) + 1;
}

size_t lane_bucket_print(const struct lane *lane, struct moment now, char out[LANE_BUCKET_SIZE])
{
	int len = snprintf(out, LANE_BUCKET_SIZE, "%.3f %" PRId64, lane->bucket.tokens,
			   moment_wall(now, lane->bucket.at_boot_ms));

	return len > 0 && len < LANE_BUCKET_SIZE ? (size_t)len : 0;
}

void lane_bucket_restore(struct lane *lane, const char *text, struct moment now)
{
	double tokens;
	int64_t wall_ms;

	if (!lane_has_rate(lane) || sscanf(text, "%lf %" SCNd64, &tokens, &wall_ms) != 2 || !(tokens >= 0))
		return;
	if (wall_ms > now.wall_ms)
		wall_ms = now.wall_ms; /* the clock went back: as if nothing had flowed in meanwhile */
	lane->bucket.tokens = tokens > lane->host->rate.count ? lane->host->rate.count : tokens;
	lane->bucket.at_boot_ms = moment_boot(now, wall_ms);
	fill(lane, now);
}
