#include "submission/draft.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "route.h"

enum { SAY_MAX = 480, FIRST_SLOTS = 64, NONE = UINT32_MAX };

/* One address of the message. */
struct entry {
	const char *address;
	const char *orcpt;
	uint8_t notify;
	uint32_t hash;
	uint32_t next; /* of its slot */
};

struct draft {
	const struct config *config;
	struct aliases *aliases;
	int64_t mail_ms; /* wall clock */
	struct envelope_from from;
	struct mem_arena text;
	struct entry *entries;
	uint32_t count, room;
	uint32_t *slots; /* the last entry of each hash */
	uint32_t slot_count;
	struct queue_rcpt *rcpts;
	struct mem_arena targets; /* of the recipients; grows no longer than addresses and routes, which have bounds */
	struct buf say;
};

struct draft *draft_new(const struct config *config, struct aliases *aliases, int64_t wall_ms)
{
	struct draft *d = MEM_NEW(struct draft);

	d->config = config;
	d->aliases = aliases ? aliases_ref(aliases) : NULL;
	d->mail_ms = wall_ms;
	mem_arena_init(&d->text, DRAFT_TEXT_MAX);
	mem_arena_init(&d->targets, SIZE_MAX);
	buf_init(&d->say, SAY_MAX);
	return d;
}

void draft_free(struct draft *d)
{
	if (!d)
		return;
	aliases_unref(d->aliases);
	mem_arena_fini(&d->text);
	mem_arena_fini(&d->targets);
	mem_free(d->entries);
	mem_free(d->slots);
	mem_free(d->rcpts);
	buf_fini(&d->say);
	mem_free(d);
}

uint32_t draft_count(const struct draft *d)
{
	return d->count;
}

const struct envelope_from *draft_from(const struct draft *d)
{
	return &d->from;
}

struct aliases *draft_aliases(const struct draft *d)
{
	return d->aliases;
}

/* What does not fit is cut: replies have their own, smaller, limit. */
static bool refuse(struct draft *d, int code, const char *status, struct server_reply *out_reply)
{
	*out_reply = (struct server_reply){ code, status, buf_cstr(&d->say) };
	return false;
}

/* ---------------------------------------------------------------- the sender */

static void say_not_allowed(struct draft *d, const struct who *who)
{
	const struct config_submitter *rule = d->from.submitter;
	char name[WHO_TEXT_SIZE];

	buf_printf(&d->say, "%s may not send as <%s>; allowed are", who_text(who, name, sizeof(name)), d->from.given);
	for (size_t i = 0; i < rule->senders.count && d->say.len < SAY_MAX / 2; i++)
		buf_printf(&d->say, "%s %.100s", i > 0 ? "," : "", rule->senders.list[i]);
	buf_printf(&d->say, " (submitter \"%.60s\" at %s:%d)", rule->name, rule->at.file ? rule->at.file : "",
		   rule->at.line);
}

/* FUTURERELEASE promises no longer time than EHLO says (RFC 4865, 4.1). */
static bool is_too_far(const struct draft *d, const struct server_envelope *envelope)
{
	int64_t longest_ms = INT64_C(86400000) * DRAFT_HOLD_MAX_DAYS;

	return envelope->hold_for_ms > longest_ms || envelope->hold_until_ms > d->mail_ms + longest_ms;
}

/* Wall clock; 0: at once. */
static int64_t release_of(const struct draft *d, const struct server_envelope *envelope)
{
	if (envelope->hold_for_ms > 0)
		return d->mail_ms + envelope->hold_for_ms;
	return envelope->hold_until_ms > d->mail_ms ? envelope->hold_until_ms : 0;
}

bool draft_sender(struct draft *d, const struct who *who, const struct server_envelope *envelope,
		  struct server_reply *out_reply)
{
	buf_clear(&d->say);
	switch (envelope_from(d->config, who, envelope->sender, &d->from)) {
	case ENVELOPE_OK: break;
	case ENVELOPE_NOT_ALLOWED: say_not_allowed(d, who); return refuse(d, 553, "5.7.1", out_reply);
	case ENVELOPE_LONG:
	case ENVELOPE_MANY:
	case ENVELOPE_LOST:
		buf_printf(&d->say, "<%s> with this machine's name behind it is too long for an address",
			   envelope->sender);
		return refuse(d, 553, "5.1.7", out_reply);
	}
	if (is_too_far(d, envelope)) {
		buf_printf(&d->say, "a message is held for %d days at most", DRAFT_HOLD_MAX_DAYS);
		return refuse(d, 501, "5.5.4", out_reply);
	}
	if (envelope->by == SERVER_BY_RETURN && d->mail_ms + envelope->by_ms <= release_of(d, envelope)) {
		buf_append_str(&d->say, "the time of BY= passes before the message is released");
		return refuse(d, 501, "5.5.4", out_reply);
	}
	return true;
}

/* ---------------------------------------------------------------- recipients */

/* Domains are equal in more ways than their bytes (RFC 5890): such ones are found by their local part alone. */
static uint32_t hash_of(const char *address)
{
	struct span whole = span_str(address), domain = address_domain(whole);
	bool is_plain = text_is_ascii(domain) && !strcasestr(address, "xn--");

	return text_hash(is_plain ? whole : span_first(whole, whole.len - domain.len));
}

static void index_entry(struct draft *d, uint32_t i)
{
	uint32_t *slot = &d->slots[d->entries[i].hash & (d->slot_count - 1)];

	d->entries[i].next = *slot;
	*slot = i;
}

static void grow(struct draft *d)
{
	d->room = d->room ? 2 * d->room : 4;
	d->entries = mem_realloc(d->entries, d->room, sizeof(*d->entries));
	if (d->slot_count >= d->room && d->slots)
		return;
	d->slot_count = d->slot_count ? 2 * d->slot_count : FIRST_SLOTS;
	d->slots = mem_realloc(d->slots, d->slot_count, sizeof(*d->slots));
	for (uint32_t i = 0; i < d->slot_count; i++)
		d->slots[i] = NONE;
	for (uint32_t i = 0; i < d->count; i++)
		index_entry(d, i);
}

static struct entry *find(const struct draft *d, const char *address, uint32_t hash)
{
	if (!d->slots)
		return NULL;
	for (uint32_t i = d->slots[hash & (d->slot_count - 1)]; i != NONE; i = d->entries[i].next)
		if (d->entries[i].hash == hash && address_equals(span_str(d->entries[i].address), span_str(address)))
			return &d->entries[i];
	return NULL;
}

/* NEVER stands alone (RFC 3461, 4.1): somebody who wants to hear outweighs it. Nothing said is FAILURE and, where it
 * waits, DELAY. */
static uint8_t add_up(uint8_t a, uint8_t b)
{
	enum { USUAL = SERVER_NOTIFY_FAILURE | SERVER_NOTIFY_DELAY };
	uint8_t both;

	if (a == b)
		return a;
	both = (uint8_t)((a ? a : USUAL) | (b ? b : USUAL));
	return both == SERVER_NOTIFY_NEVER ? both : (uint8_t)(both & ~SERVER_NOTIFY_NEVER);
}

static void append(struct draft *d, const char *address, const char *orcpt, uint8_t notify)
{
	uint32_t hash = hash_of(address);
	struct entry *known = find(d, address, hash);

	if (known) {
		known->notify = add_up(known->notify, notify);
		return;
	}
	if (d->count == d->room)
		grow(d);
	d->entries[d->count] =
		(struct entry){ .address = address, .orcpt = orcpt, .notify = notify, .hash = hash, .next = NONE };
	index_entry(d, d->count++);
}

void draft_cut(struct draft *d, uint32_t count)
{
	while (d->count > count) {
		const struct entry *last = &d->entries[--d->count];

		d->slots[last->hash & (d->slot_count - 1)] = last->next;
	}
}

static bool refuse_rcpt(struct draft *d, enum envelope_verdict verdict, const char *given,
			struct server_reply *out_reply)
{
	switch (verdict) {
	case ENVELOPE_LONG:
		buf_printf(&d->say, "<%s> with this machine's name behind it is too long for an address", given);
		return refuse(d, 553, "5.1.3", out_reply);
	case ENVELOPE_MANY:
		buf_printf(&d->say, "the alias <%s> leads to too many addresses or round in a circle", given);
		return refuse(d, 452, "4.5.3", out_reply);
	case ENVELOPE_LOST:
		buf_printf(
			&d->say,
			"the alias <%s> leads to no address: its line is wrong, or a file that it includes is empty or "
			"cannot be read; `sendoff status` says more",
			given);
		return refuse(d, 451, "4.3.0", out_reply);
	case ENVELOPE_OK:
	case ENVELOPE_NOT_ALLOWED: break;
	}
	return refuse(d, 451, "4.3.0", out_reply);
}

/* Alone it is too much for every message; behind others it may come in the next one. */
static bool refuse_number(struct draft *d, const char *given, uint32_t before, uint32_t max,
			  struct server_reply *out_reply)
{
	if (before == 0) {
		buf_printf(&d->say, "<%s> leads to more than the %u recipients that one message may have", given, max);
		return refuse(d, 550, "5.5.3", out_reply);
	}
	buf_printf(&d->say, "one message may have %u recipients; send it again for the others", max);
	return refuse(d, 452, "4.5.3", out_reply);
}

/* As the client gave it, and as the report to the sender is to name it. */
static const char *original(struct draft *d, const struct server_rcpt *rcpt)
{
	bool is_ascii = text_is_ascii(span_str(rcpt->address));
	char full[ADDRESS_SIZE];
	struct buf orcpt;
	char *kept;

	if (rcpt->orcpt && rcpt->orcpt[0])
		return mem_arena_dup(&d->text, span_str(rcpt->orcpt));
	if (!envelope_qualify(d->config, rcpt->address, full))
		return "";
	buf_init(&orcpt, sizeof(full) + 16);
	buf_printf(&orcpt, "%s;%s", is_ascii ? "rfc822" : "utf-8", full);
	kept = mem_arena_dup(&d->text, buf_span(&orcpt));
	buf_fini(&orcpt);
	return kept;
}

static bool is_changed(const struct draft *d, const struct envelope_to *to, const char *given)
{
	char full[ADDRESS_SIZE];

	return to->count != 1 || to->list[0].alias_file || to->list[0].by_identity ||
	       !envelope_qualify(d->config, given, full) || strcmp(full, to->list[0].address) != 0;
}

bool draft_to(struct draft *d, const struct server_rcpt *rcpt, uint32_t max, struct server_reply *out_reply)
{
	struct envelope_to to;
	enum envelope_verdict verdict;
	uint32_t before = d->count;
	const char *orcpt = rcpt->orcpt && rcpt->orcpt[0] ? original(d, rcpt) : "";

	buf_clear(&d->say);
	verdict = envelope_to(d->config, &d->from, d->aliases, rcpt->address, &d->text, &to);
	if (verdict != ENVELOPE_OK)
		return refuse_rcpt(d, verdict, rcpt->address, out_reply);
	if (orcpt && !orcpt[0] && is_changed(d, &to, rcpt->address))
		orcpt = original(d, rcpt);
	if (!orcpt)
		return refuse_rcpt(d, ENVELOPE_MANY, rcpt->address, out_reply);
	for (size_t i = 0; i < to.count; i++)
		append(d, to.list[i].address, orcpt, rcpt->notify);
	if (d->count > max) {
		draft_cut(d, before);
		return refuse_number(d, rcpt->address, before, max, out_reply);
	}
	return true;
}

/* ---------------------------------------------------------------- what the queue is told */

_Static_assert((int)QUEUE_NOTIFY_NEVER == SERVER_NOTIFY_NEVER && (int)QUEUE_NOTIFY_SUCCESS == SERVER_NOTIFY_SUCCESS &&
		       (int)QUEUE_NOTIFY_FAILURE == SERVER_NOTIFY_FAILURE &&
		       (int)QUEUE_NOTIFY_DELAY == SERVER_NOTIFY_DELAY,
	       "NOTIFY is handed on as it is");

static uint8_t band_of(int8_t priority)
{
	return priority > 0 ? 0 : priority == 0 ? 1 : 2;
}

static enum queue_ret ret_of(enum server_ret ret)
{
	switch (ret) {
	case SERVER_RET_FULL: return QUEUE_RET_FULL;
	case SERVER_RET_HDRS: return QUEUE_RET_HDRS;
	case SERVER_RET_UNSAID: break;
	}
	return QUEUE_RET_UNSAID;
}

static enum queue_body body_of(const struct server_envelope *envelope)
{
	if (envelope->body == SERVER_BODY_BINARYMIME || envelope->has_nul)
		return QUEUE_BODY_BINARY;
	return envelope->body == SERVER_BODY_8BITMIME || envelope->has_8bit ? QUEUE_BODY_8BIT : QUEUE_BODY_7BIT;
}

static bool needs_utf8(const struct draft *d, const struct draft_end *end)
{
	bool needed = !text_is_ascii(span_str(d->from.address)) || (end->envelope->smtputf8 && end->header_8bit);

	for (uint32_t i = 0; i < d->count && !needed; i++)
		needed = !text_is_ascii(span_str(d->entries[i].address));
	return needed;
}

static uint32_t flags_of(const struct draft *d, const struct draft_end *end)
{
	uint32_t flags = needs_utf8(d, end) ? QUEUE_SMTPUTF8 : 0;

	if (end->envelope->requiretls)
		flags |= QUEUE_REQUIRETLS;
	switch (end->envelope->by) {
	case SERVER_BY_RETURN: flags |= QUEUE_BY_RETURN; break;
	case SERVER_BY_NOTIFY: flags |= QUEUE_BY_NOTIFY; break;
	case SERVER_BY_UNSAID: return flags;
	}
	return end->envelope->by_trace ? flags | QUEUE_BY_TRACE : flags;
}

struct schedule {
	int64_t lifetime_ms, warn_ms;
};

/* The message lives as long as the most patient of its routes, and warns with the first. */
static void join_route(struct schedule *schedule, const struct config *routes, const struct config_route *route)
{
	int64_t lifetime = route ? route->lifetime_ms : routes->queue.lifetime_ms;
	int64_t warn = route ? route->warn_after_ms : routes->queue.warn_after_ms;

	if (lifetime > schedule->lifetime_ms)
		schedule->lifetime_ms = lifetime;
	if (warn > 0 && (schedule->warn_ms == 0 || warn < schedule->warn_ms))
		schedule->warn_ms = warn;
}

/* Many recipients in a row have the same one, which is `last`. */
static const char *keep_target(struct draft *d, struct buf *target, const char *last)
{
	return last && strcmp(last, buf_cstr(target)) == 0 ? last : mem_arena_dup(&d->targets, buf_span(target));
}

static struct schedule fill_rcpts(struct draft *d, const struct draft_end *end, int64_t due_ms)
{
	struct schedule schedule = { 0 };
	const char *last = NULL;
	struct buf target;

	buf_init(&target, ROUTE_TARGET_MAX + 1);
	mem_arena_reset(&d->targets);
	d->rcpts = mem_realloc(d->rcpts, d->count ? d->count : 1, sizeof(*d->rcpts));
	for (uint32_t i = 0; i < d->count; i++) {
		const struct entry *entry = &d->entries[i];
		const struct config_route *route =
			route_of(end->routes, d->from.route, d->from.address, entry->address);

		join_route(&schedule, end->routes, route);
		route_target_of(end->routes, route, entry->address, &target);
		last = keep_target(d, &target, last);
		d->rcpts[i] = (struct queue_rcpt){
			.address = entry->address,
			.orcpt = entry->orcpt,
			.notify = entry->notify,
			.flow = { .target = last,
				  .submitter = end->submitter,
				  .band = band_of(end->envelope->priority) },
			.due_ms = due_ms,
			.reply = "",
			.host = "",
		};
	}
	buf_fini(&target);
	return schedule;
}

/* RFC 2852, 4. */
static void apply_by(const struct draft *d, const struct server_envelope *envelope, struct queue_envelope *out)
{
	if (envelope->by == SERVER_BY_UNSAID)
		return;
	out->deliver_by_ms = d->mail_ms + envelope->by_ms;
	if (envelope->by == SERVER_BY_RETURN && out->deliver_by_ms < out->expires_ms)
		out->expires_ms = out->deliver_by_ms;
	if (envelope->by == SERVER_BY_NOTIFY && envelope->by_ms > 0 &&
	    (out->warn_ms == 0 || out->deliver_by_ms < out->warn_ms))
		out->warn_ms = out->deliver_by_ms;
}

const struct queue_rcpt *draft_seal(struct draft *d, const struct draft_end *end, struct queue_envelope *out)
{
	const struct server_envelope *envelope = end->envelope;
	int64_t release_ms = release_of(d, envelope);
	int64_t from_ms = release_ms > end->wall_ms ? release_ms : end->wall_ms;
	struct schedule schedule = fill_rcpts(d, end, from_ms);

	*out = (struct queue_envelope){
		.id = end->id,
		.arrival_ms = end->wall_ms,
		.sender = d->from.address,
		.submitter = end->submitter,
		.uid = end->uid,
		.origin = end->origin,
		.envid = envelope->envid ? envelope->envid : "",
		.message_id = end->facts->message_id,
		.subject = end->facts->subject,
		.route = d->from.route,
		.ret = ret_of(envelope->ret),
		.body = body_of(envelope),
		.priority = envelope->priority,
		.flags = flags_of(d, end),
		.hold_until_ms = release_ms > end->wall_ms ? release_ms : 0,
		.expires_ms = from_ms + schedule.lifetime_ms,
		.warn_ms = schedule.warn_ms ? from_ms + schedule.warn_ms : 0,
	};
	apply_by(d, envelope, out);
	return d->rcpts;
}
