#include "delivery/approach.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "delivery/approach_inside.h"
#include "delivery/own.h"
#include "delivery/tlspolicy.h"

enum {
	ARENA_MAX = 192 * 1024, /* names of hosts, and an MTA-STS policy with its text */
	HOST_ARENA_MAX = 128 * 1024,
};

/* ---------------------------------------------------------------- steps, and what is said */

void approach_begin(struct approach *a)
{
	a->begun_ms = loop_now_ms(a->setup.account.loop);
}

void approach_tell(struct approach *a, enum approach_step_kind kind, bool ok, const char *text)
{
	struct approach_step step = {
		.kind = kind,
		.ok = ok,
		.took_ms = kind == APPROACH_POLICY ? -1 : loop_now_ms(a->setup.account.loop) - a->begun_ms,
		.host = kind > APPROACH_STS ? approach_current(a)->name : "",
		.where = "",
		.text = text,
		.policy = kind == APPROACH_POLICY ? &a->policy : NULL,
		.sts = a->has_sts ? &a->sts : NULL,
	};

	if (a->setup.step)
		a->setup.step(a->setup.step_arg, &step);
}

void approach_note(struct approach *a, const char *text)
{
	static const char more[] = "; …";
	size_t room = APPROACH_STORY_MAX - a->story.len;

	if (strlen(text) + 2 + sizeof more <= room)
		buf_printf(&a->story, "%s%s", a->story.len ? "; " : "", text);
	else if (!a->story.len)
		text_clean(&a->story, span_str(text), APPROACH_STORY_MAX - sizeof more);
	else if (!memmem(a->story.data + a->story.start, a->story.len, more, sizeof more - 1))
		buf_append_str(&a->story, more);
}

void approach_note_host(struct approach *a, const char *text)
{
	const char *name = approach_current(a)->name;
	size_t len = strlen(name);
	char line[APPROACH_STORY_MAX];

	/* What DNS says begins with the name itself. */
	if (a->host_count > 1 && (strncmp(text, name, len) != 0 || text[len] != ':'))
		snprintf(line, sizeof line, "%s: %s", name, text);
	else
		snprintf(line, sizeof line, "%s", text);
	approach_note(a, line);
}

const char *approach_story(struct approach *a)
{
	return buf_cstr(&a->story);
}

/* ---------------------------------------------------------------- the end */

static void cancel_all(struct approach *a)
{
	account_cancel(a->account);
	target_cancel(a->target);
	mtasts_cancel(a->lookup);
	if (a->query)
		dns_cancel(a->query);
	dial_cancel(a->dial);
	a->account = NULL;
	a->target = NULL;
	a->lookup = NULL;
	a->query = NULL;
	a->dial = NULL;
	loop_task_stop(&a->task);
}

static void work(struct approach *a)
{
	loop_timer_at(&a->timer, loop_now_ms(a->setup.account.loop) + a->left_ms);
}

void approach_rest(struct approach *a)
{
	int64_t left_ms = a->timer.at_ms - loop_now_ms(a->setup.account.loop);

	/* One that has fired has no time left. */
	a->left_ms = a->timer.at_ms != INT64_MAX && left_ms > 0 ? left_ms : 0;
	loop_timer_stop(&a->timer);
}

void approach_end(struct approach *a, enum approach_end how, const char *status, const char *text)
{
	struct approach_result result = {
		.end = how,
		.by_dns = a->by_dns,
		.by_host = a->by_host,
		.is_refused = how == APPROACH_NO_SECRET && a->setup.account.refused,
		.fd = -1,
		.status = status,
		.text = text,
	};

	approach_rest(a);
	a->done(a->arg, &result);
}

static void on_late(struct loop_timer *timer)
{
	struct approach *a = LIST_ENTRY(timer, struct approach, timer);
	char waited[TEXT_DURATION_SIZE], text[64];

	cancel_all(a);
	snprintf(text, sizeof text, "given up after %s", text_duration_print(APPROACH_MS, waited));
	approach_note(a, text);
	approach_end(a, APPROACH_REFUSED, "", approach_story(a));
}

/* How all hosts together ended: whoever answered anything counts before who did not. */
static void end_all(struct approach *a)
{
	const char *text = approach_story(a);

	if (a->setup.only_look)
		approach_end(a, APPROACH_LOOKED, "", text);
	else if (a->ended & APPROACH_ENDED_REFUSED)
		approach_end(a, APPROACH_REFUSED, "", text);
	else if (a->ended & APPROACH_ENDED_BARRED)
		approach_end(a, APPROACH_NO_HOST, "", text);
	else if (a->ended & APPROACH_ENDED_OFFLINE)
		approach_end(a, APPROACH_OFFLINE, "", text);
	else if (a->ended & APPROACH_ENDED_SILENT)
		approach_end(a, APPROACH_SILENT, "", text);
	else if (a->setup.domain && a->ended & APPROACH_ENDED_NOWHERE && a->host_count < TARGET_HOSTS)
		approach_end(a, APPROACH_NEVER, "5.4.4", text);
	else /* there may be more than those that were tried, which do exist */
		approach_end(a, APPROACH_NO_HOST, "", text);
}

static bool is_last_host(const struct approach *a)
{
	return a->at + 1 >= a->host_count && (a->is_late_round || !a->has_put_off);
}

void approach_give_up_host(struct approach *a, unsigned ended)
{
	a->ended |= ended;
	a->count = 0;
	if (is_last_host(a)) {
		end_all(a);
		return;
	}
	if (a->at + 1 >= a->host_count) {
		a->is_late_round = true;
		a->at = 0;
	} else {
		a->at++;
	}
	loop_task_post(&a->task);
}

static void next_host(struct loop_task *task)
{
	approach_host_start(LIST_ENTRY(task, struct approach, task));
}

/* ---------------------------------------------------------------- MTA-STS */

static const char *keep(struct approach *a, const char *text)
{
	const char *copy = mem_arena_dup(&a->arena, span_str(text));

	return copy ? copy : "";
}

static void got_sts(void *arg, const struct mtasts_result *r)
{
	struct approach *a = arg;

	a->lookup = NULL;
	a->has_sts = true;
	a->sts = (struct mtasts_result){ .failure = r->failure ? keep(a, r->failure) : NULL, .text = keep(a, r->text) };
	if (r->policy) {
		a->sts_policy = *r->policy;
		for (size_t i = 0; i < r->policy->mx_count; i++)
			a->sts_policy.mx[i] = keep(a, r->policy->mx[i]);
		a->sts_policy.text = span_of(mem_arena_dup(&a->arena, r->policy->text), r->policy->text.len);
		if (!a->sts_policy.text.data)
			a->sts_policy.text = SPAN("");
		a->sts.policy = &a->sts_policy;
	}
	approach_tell(a, APPROACH_STS, !r->failure, r->text);
	approach_host_start(a);
}

/* ---------------------------------------------------------------- hosts */

/* One that worked when others did not comes before its equals. */
static void prefer(struct approach *a)
{
	for (size_t i = 0; a->setup.prefer && i < a->host_count && a->hosts[i].preference == a->hosts[0].preference;
	     i++) {
		struct target_host host = a->hosts[i];

		if (strcmp(host.name, a->setup.prefer) != 0)
			continue;
		memmove(&a->hosts[1], &a->hosts[0], i * sizeof host);
		a->hosts[0] = host;
		return;
	}
}

static void take_hosts(struct approach *a, const struct target_result *r)
{
	for (size_t i = 0; i < r->count; i++) {
		a->hosts[i] = r->hosts[i];
		a->hosts[i].name = keep(a, r->hosts[i].name);
		if (r->hosts[i].reference)
			a->hosts[i].reference = keep(a, r->hosts[i].reference);
	}
	a->host_count = r->count;
	a->is_authentic = r->is_authentic;
	a->domain_alias = r->domain_alias ? keep(a, r->domain_alias) : NULL;
	if (a->setup.domain)
		prefer(a);
}

static void got_target(void *arg, const struct target_result *r)
{
	struct approach *a = arg;
	const struct approach_setup *s = &a->setup;

	a->target = NULL;
	a->by_dns |= r->by_dns;
	take_hosts(a, r);
	approach_tell(a, APPROACH_TARGET, r->end == TARGET_OK, r->text);
	switch (r->end) {
	case TARGET_OK: break;
	case TARGET_NEVER: approach_end(a, APPROACH_NEVER, r->status, r->text); return;
	case TARGET_NO_HOST: approach_end(a, APPROACH_NO_HOST, "", r->text); return;
	case TARGET_SILENT: approach_end(a, APPROACH_SILENT, "", r->text); return;
	}
	approach_begin(a);
	if (s->mtasts && s->domain && tlspolicy_wants_sts(s->host, s->domain))
		a->lookup = mtasts_lookup(s->mtasts, s->host, s->domain, got_sts, a);
	else
		approach_host_start(a);
}

static bool is_own(void *arg, const struct dns_address *address, uint16_t port)
{
	return own_is(arg, address, port);
}

static void find_hosts(struct approach *a)
{
	const struct approach_setup *s = &a->setup;
	struct target_setup setup = {
		.loop = s->account.loop,
		.dns = s->dns,
		.config = s->config,
		.host = s->host,
		.domain = s->domain,
		.is_own = own_has_port(s->config, s->host->port) ? is_own : NULL,
		.is_own_arg = (void *)s->config,
		.seed = s->seed,
	};

	approach_begin(a);
	a->target = target_resolve(&setup, got_target, a);
}

/* ---------------------------------------------------------------- the secret */

static void got_secret(void *arg, struct span secret, const char *why)
{
	struct approach *a = arg;

	a->account = NULL;
	approach_tell(a, APPROACH_SECRET, !why, why ? why : "the account's secret was read");
	if (why) {
		approach_end(a, APPROACH_NO_SECRET, "", why);
		return;
	}
	a->secret = mem_dup(secret.data, secret.len);
	a->secret_len = secret.len;
	if (a->setup.account.refused)
		approach_dial(a, true);
	else
		find_hosts(a);
}

static void fetch_secret(struct approach *a)
{
	a->account = account_fetch(&a->setup.account, a->setup.host, got_secret, a);
}

struct span approach_secret(const struct approach *a)
{
	return span_of(a->secret ? a->secret : "", a->secret_len);
}

void approach_forget_secret(struct approach *a)
{
	mem_wipe_free(a->secret, a->secret_len);
	a->secret = NULL;
	a->secret_len = 0;
}

bool approach_refuse(struct approach *a, const char *text)
{
	if (a->setup.account.refused || !a->secret || !account_is_renewable(a->setup.host))
		return false;
	account_refuse(&a->refused, approach_secret(a), text);
	a->setup.account.refused = &a->refused;
	return true;
}

void approach_renew(struct approach *a)
{
	assert(a->setup.account.refused && !a->account);
	approach_forget_secret(a);
	work(a);
	approach_begin(a);
	fetch_secret(a);
}

/* ---------------------------------------------------------------- what the caller asks */

const struct target_host *approach_host(const struct approach *a)
{
	return approach_current(a);
}

const struct tlspolicy *approach_policy(const struct approach *a)
{
	return &a->policy;
}

const struct mtasts_result *approach_sts(const struct approach *a)
{
	return a->has_sts ? &a->sts : NULL;
}

const struct dns_address *approach_address(const struct approach *a)
{
	return &a->last;
}

bool approach_has_family(const struct approach *a, int family, bool *out_maybe)
{
	*out_maybe = !is_last_host(a);
	for (size_t i = 0; i < a->count; i++)
		if (a->addresses[i].addr.ss_family == family)
			return true;
	return false;
}

void approach_avoid(struct approach *a, int family)
{
	if (a->is_late_round)
		return;
	a->setup.avoid_family = family;
	approach_host_put_off(a);
}

bool approach_has_next(const struct approach *a)
{
	return a->connections < APPROACH_CONNECTIONS && a->left_ms > 0 && (a->count || !is_last_host(a));
}

void approach_next(struct approach *a, bool without_tls)
{
	assert(without_tls || approach_has_next(a));
	work(a);
	if (!without_tls && !a->count) {
		approach_give_up_host(a, 0);
		return;
	}
	approach_host_decide(a, without_tls);
	approach_dial(a, without_tls);
}

/* ---------------------------------------------------------------- life */

struct approach *approach_new(const struct approach_setup *setup,
			      void (*done)(void *arg, const struct approach_result *result), void *arg)
{
	struct approach *a = MEM_NEW(struct approach);
	struct loop *loop = setup->account.loop;

	a->setup = *setup;
	a->done = done;
	a->arg = arg;
	a->left_ms = APPROACH_MS;
	mem_arena_init(&a->arena, ARENA_MAX);
	mem_arena_init(&a->host_arena, HOST_ARENA_MAX);
	buf_init(&a->story, APPROACH_STORY_MAX + 1);
	loop_task_init(&a->task, loop, next_host);
	loop_timer_init(&a->timer, loop, on_late);
	if (setup->prefer)
		a->setup.prefer = keep(a, setup->prefer);
	work(a);
	approach_begin(a);
	if (account_wants_secret(setup->host) && !setup->only_look)
		fetch_secret(a);
	else
		find_hosts(a);
	return a;
}

void approach_free(struct approach *a)
{
	if (!a)
		return;
	cancel_all(a);
	loop_timer_stop(&a->timer);
	approach_forget_secret(a);
	mem_arena_fini(&a->arena);
	mem_arena_fini(&a->host_arena);
	buf_fini(&a->story);
	mem_free(a);
}
