#include "delivery/tlsrpt_count.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "smtp/address.h"

enum {
	FORM = 1,
	ARENA_MAX = 256 * 1024,
	STRINGS_MAX = 4096, /* bytes of all of a policy */
	STRING_MAX = 600,   /* a TLSA record of a whole key */
	MX_MAX = 2048,
	TYPE_MAX = 40,
	NAME_MAX_BYTES = 255,
	IP_MAX = 45,
	REASON_MAX = 300,
};

static const char OTHERS[] = "further failures, not told apart";

/* ---------------------------------------------------------------- life */

static const char *keep(struct tlsrpt_count *count, struct span text, size_t max)
{
	struct buf clean;
	const char *copy;

	if (!text.len)
		return "";
	buf_init(&clean, max);
	text_clean(&clean, text, max);
	copy = mem_arena_dup(&count->arena, buf_span(&clean));
	buf_fini(&clean);
	return copy ? copy : "";
}

struct tlsrpt_count *tlsrpt_count_new(int64_t day, const char *domain)
{
	struct tlsrpt_count *count = MEM_NEW(struct tlsrpt_count);

	list_init(&count->node);
	mem_arena_init(&count->arena, ARENA_MAX);
	count->day = day;
	count->domain = keep(count, span_str(domain), ADDRESS_DOMAIN_MAX);
	return count;
}

void tlsrpt_count_free(struct tlsrpt_count *count)
{
	if (!count)
		return;
	list_remove(&count->node);
	mem_arena_fini(&count->arena);
	mem_free(count);
}

size_t tlsrpt_count_size(const struct tlsrpt_count *count)
{
	return sizeof *count + count->arena.used;
}

/* ---------------------------------------------------------------- which policy */

/* A policy as it is looked for: its strings, one a line in `text`. */
struct wanted {
	enum tlsreport_type type;
	struct buf text;
	const char *const *mx;
	size_t mx_count;
};

static bool is_about_dane(const char *failure)
{
	return failure && (strncmp(failure, "dane-", 5) == 0 || strncmp(failure, "tlsa-", 5) == 0 ||
			   strncmp(failure, "dnssec-", 7) == 0);
}

static void add_string(struct wanted *w, struct span line)
{
	struct span text;
	struct buf clean;

	buf_init(&clean, STRING_MAX);
	text_clean(&clean, line, STRING_MAX);
	/* The CR of a line's end has become a blank. */
	text = span_trim(buf_span(&clean));
	if (text.len && w->text.len + text.len + 1 <= STRINGS_MAX) {
		buf_append_span(&w->text, text);
		buf_append_char(&w->text, '\n');
	}
	buf_fini(&clean);
}

/* RFC 8460, 4.4: a TLSA record as it stands in a zone. */
static void add_tlsa(struct wanted *w, const struct tls_tlsa *tlsa)
{
	struct buf line;

	buf_init(&line, STRING_MAX);
	buf_printf(&line, "%u %u %u ", tlsa->usage, tlsa->selector, tlsa->matching);
	for (size_t i = 0; i < tlsa->data.len; i++)
		if (!buf_printf(&line, "%02X", (unsigned char)tlsa->data.data[i]))
			break;
	add_string(w, buf_span(&line));
	buf_fini(&line);
}

static void want(struct wanted *w, const struct tlsrpt_session *s)
{
	const struct mtasts_policy *sts = s->sts ? s->sts->policy : NULL;
	const struct tlspolicy *policy = s->policy;

	*w = (struct wanted){ .type = TLSREPORT_NO_POLICY };
	buf_init(&w->text, STRINGS_MAX);
	if (is_about_dane(s->ok ? NULL : s->failure) ||
	    (policy && (policy->level == TLSPOLICY_DANE || policy->level == TLSPOLICY_DANE_ENCRYPT))) {
		w->type = TLSREPORT_TLSA;
		for (size_t i = 0; policy && policy->demand.tlsa && i < policy->demand.tlsa_count; i++)
			add_tlsa(w, &policy->demand.tlsa[i]);
	} else if (sts && sts->mode != MTASTS_NONE) {
		struct span rest = sts->text;

		w->type = TLSREPORT_STS;
		w->mx = sts->mx;
		w->mx_count = sts->mx_count;
		while (rest.len) {
			struct span line = span_first(rest, span_find(rest, '\n'));

			rest = span_from(rest, line.len + 1);
			add_string(w, line);
		}
	}
}

static bool is_same(const struct tlsreport_policy *p, const struct wanted *w)
{
	struct span rest = buf_span(&w->text);
	size_t i = 0;

	if (p->type != w->type)
		return false;
	for (; rest.len && i < p->string_count; i++) {
		struct span line = span_first(rest, span_find(rest, '\n'));

		rest = span_from(rest, line.len + 1);
		if (!span_equals(line, span_str(p->strings[i])))
			return false;
	}
	return i == p->string_count && (!rest.len || i == TLSREPORT_STRINGS);
}

static struct tlsreport_policy *add_policy(struct tlsrpt_count *count)
{
	struct tlsreport_policy *p = mem_arena_alloc(&count->arena, sizeof *p);

	if (!p)
		return NULL;
	*p = (struct tlsreport_policy){ .type = TLSREPORT_NO_POLICY };
	count->policies[count->policy_count++] = p;
	return p;
}

static struct tlsreport_policy *make_policy(struct tlsrpt_count *count, const struct wanted *w)
{
	struct tlsreport_policy *p = add_policy(count);
	struct span rest = buf_span(&w->text);
	size_t left = MX_MAX;

	if (!p)
		return NULL;
	p->type = w->type;
	while (rest.len && p->string_count < TLSREPORT_STRINGS) {
		struct span line = span_first(rest, span_find(rest, '\n'));

		rest = span_from(rest, line.len + 1);
		p->strings[p->string_count++] = keep(count, line, STRING_MAX);
	}
	for (size_t i = 0; i < w->mx_count && p->mx_count < TLSREPORT_MX && strlen(w->mx[i]) + 2 <= left; i++) {
		left -= strlen(w->mx[i]) + 2;
		p->mx[p->mx_count++] = keep(count, span_str(w->mx[i]), NAME_MAX_BYTES);
	}
	return p;
}

/* Room for one more policy, when a place is kept for each kind that is not there yet. */
static bool has_place(const struct tlsrpt_count *count, enum tlsreport_type type)
{
	bool has[TLSREPORT_TYPES] = { false };
	size_t kept = 0;

	for (size_t i = 0; i < count->policy_count; i++)
		has[count->policies[i]->type] = true;
	for (int i = 0; i < TLSREPORT_TYPES; i++)
		kept += !has[i] && i != (int)type;
	return count->policy_count + kept < TLSREPORT_POLICIES;
}

/* The policy that was in force; when a domain changes its policy all day long, the last one of its kind. */
static struct tlsreport_policy *policy_of(struct tlsrpt_count *count, const struct tlsrpt_session *s)
{
	struct tlsreport_policy *found = NULL, *alike = NULL;
	struct wanted w;

	want(&w, s);
	for (size_t i = 0; i < count->policy_count && !found; i++) {
		if (is_same(count->policies[i], &w))
			found = count->policies[i];
		if (count->policies[i]->type == w.type)
			alike = count->policies[i];
	}
	if (!found && has_place(count, w.type))
		found = make_policy(count, &w);
	buf_fini(&w.text);
	return found ? found : alike;
}

/* ---------------------------------------------------------------- failures */

static bool is_kind(const struct tlsreport_failure *f, const struct tlsrpt_session *s, const char *type)
{
	return strcmp(f->type, type) == 0 && strcmp(f->local_ip, s->local_ip) == 0 && strcmp(f->mx, s->mx) == 0 &&
	       strcmp(f->helo, s->helo) == 0 && strcmp(f->remote_ip, s->remote_ip) == 0;
}

static size_t kinds(const struct tlsrpt_count *count)
{
	size_t sum = 0;

	for (size_t i = 0; i < count->policy_count; i++)
		sum += count->policies[i]->failure_count;
	return sum;
}

static void note_failure(struct tlsrpt_count *count, struct tlsreport_policy *p, const struct tlsrpt_session *s,
			 const char *type, const char *reason)
{
	struct tlsreport_failure *f = NULL;
	bool is_full = kinds(count) >= TLSRPT_FAILURES - TLSREPORT_POLICIES;

	for (size_t i = 0; i < p->failure_count && !f; i++)
		if (is_kind(&p->failures[i], s, type) || (is_full && strcmp(p->failures[i].reason, OTHERS) == 0))
			f = &p->failures[i];
	if (!f && p->failure_count < TLSREPORT_FAILURES) {
		f = &p->failures[p->failure_count++];
		*f = (struct tlsreport_failure){ .type = "validation-failure",
						 .local_ip = "",
						 .mx = "",
						 .helo = "",
						 .remote_ip = "",
						 .reason = OTHERS };
		if (!is_full)
			*f = (struct tlsreport_failure){
				.type = keep(count, span_str(type), TYPE_MAX),
				.local_ip = keep(count, span_str(s->local_ip), IP_MAX),
				.mx = keep(count, span_str(s->mx), NAME_MAX_BYTES),
				.helo = keep(count, span_str(s->helo), NAME_MAX_BYTES),
				.remote_ip = keep(count, span_str(s->remote_ip), IP_MAX),
				.reason = keep(count, span_str(reason), REASON_MAX),
			};
	}
	if (f)
		f->count++;
}

void tlsrpt_count_note(struct tlsrpt_count *count, const struct tlsrpt_session *given, bool is_own)
{
	struct tlsrpt_session s = *given;
	struct tlsreport_policy *p = policy_of(count, given);
	const char *failure = NULL, *reason = given->text;

	s.mx = s.mx ? s.mx : "";
	s.helo = s.helo ? s.helo : "";
	s.local_ip = s.local_ip ? s.local_ip : "";
	s.remote_ip = s.remote_ip ? s.remote_ip : "";
	/* What a policy in force would have refused counts although the mail went out (mode "testing"), and so does a
	 * policy that is published and cannot be had. */
	if (!s.ok) {
		failure = s.failure ? s.failure : "validation-failure";
	} else if (s.policy && s.policy->failure) {
		failure = s.policy->failure;
	} else if (s.sts && s.sts->failure && !s.sts->policy) {
		failure = s.sts->failure;
		reason = s.sts->text;
	}
	count->others += !is_own;
	if (!p)
		return;
	if (failure) {
		p->failure++;
		note_failure(count, p, &s, failure, reason);
	} else {
		p->success++;
	}
}

/* ---------------------------------------------------------------- the record */

static bool put_number(struct buf *out, uint64_t v, int size)
{
	bool ok = true;

	while (size-- > 0)
		ok = ok && buf_append_char(out, (char)(v >> (8 * size)));
	return ok;
}

static bool put_text(struct buf *out, const char *text)
{
	return put_number(out, strlen(text), 2) && buf_append_str(out, text);
}

static bool put_texts(struct buf *out, const char *const *list, size_t count)
{
	bool ok = put_number(out, count, 1);

	for (size_t i = 0; i < count; i++)
		ok = ok && put_text(out, list[i]);
	return ok;
}

static bool put_policy(struct buf *out, const struct tlsreport_policy *p)
{
	bool ok = put_number(out, p->type, 1) && put_number(out, p->success, 8) && put_number(out, p->failure, 8) &&
		  put_texts(out, p->strings, p->string_count) && put_texts(out, p->mx, p->mx_count) &&
		  put_number(out, p->failure_count, 1);

	for (size_t i = 0; i < p->failure_count; i++) {
		const struct tlsreport_failure *f = &p->failures[i];

		ok = ok && put_text(out, f->type) && put_text(out, f->local_ip) && put_text(out, f->mx) &&
		     put_text(out, f->helo) && put_text(out, f->remote_ip) && put_text(out, f->reason) &&
		     put_number(out, f->count, 8);
	}
	return ok;
}

bool tlsrpt_count_write(struct buf *out, const struct tlsrpt_count *count)
{
	bool ok = put_number(out, FORM, 1) && put_number(out, count->flags, 1) &&
		  put_number(out, (uint64_t)count->day, 4) && put_number(out, count->others, 8) &&
		  put_text(out, count->domain) && put_number(out, count->policy_count, 1);

	for (size_t i = 0; i < count->policy_count; i++)
		ok = ok && put_policy(out, count->policies[i]);
	return ok;
}

/* Reads on from `rest`; what goes wrong once stays wrong. */
struct cursor {
	struct span rest;
	struct tlsrpt_count *count;
	bool is_bad;
};

static uint64_t get_number(struct cursor *c, size_t size, uint64_t max)
{
	uint64_t v = 0;

	if (c->is_bad || c->rest.len < size) {
		c->is_bad = true;
		return 0;
	}
	for (size_t i = 0; i < size; i++)
		v = v << 8 | (unsigned char)c->rest.data[i];
	c->rest = span_from(c->rest, size);
	if (v > max)
		c->is_bad = true;
	return c->is_bad ? 0 : v;
}

static const char *get_text(struct cursor *c, size_t max)
{
	size_t len = get_number(c, 2, max);
	struct span text = span_first(c->rest, len);
	const char *copy = "";

	if (text.len < len || !text_is_utf8(text))
		c->is_bad = true;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ')
			c->is_bad = true;
	if (!c->is_bad && len) {
		copy = mem_arena_dup(&c->count->arena, text);
		c->is_bad = !copy;
	}
	c->rest = span_from(c->rest, text.len);
	return copy ? copy : "";
}

static void get_policy(struct cursor *c)
{
	struct tlsreport_policy *p = add_policy(c->count);

	if (!p) {
		c->is_bad = true;
		return;
	}
	p->type = (enum tlsreport_type)get_number(c, 1, TLSREPORT_TYPES - 1);
	p->success = get_number(c, 8, INT64_MAX);
	p->failure = get_number(c, 8, INT64_MAX);
	p->string_count = get_number(c, 1, TLSREPORT_STRINGS);
	for (size_t i = 0; i < p->string_count; i++)
		p->strings[i] = get_text(c, STRING_MAX);
	p->mx_count = get_number(c, 1, TLSREPORT_MX);
	for (size_t i = 0; i < p->mx_count; i++)
		p->mx[i] = get_text(c, NAME_MAX_BYTES);
	p->failure_count = get_number(c, 1, TLSREPORT_FAILURES);
	for (size_t i = 0; i < p->failure_count; i++) {
		struct tlsreport_failure *f = &p->failures[i];

		f->type = get_text(c, TYPE_MAX);
		f->local_ip = get_text(c, IP_MAX);
		f->mx = get_text(c, NAME_MAX_BYTES);
		f->helo = get_text(c, NAME_MAX_BYTES);
		f->remote_ip = get_text(c, IP_MAX);
		f->reason = get_text(c, REASON_MAX);
		f->count = get_number(c, 8, INT64_MAX);
	}
}

struct tlsrpt_count *tlsrpt_count_read(struct span record)
{
	struct cursor c = { .rest = record, .count = tlsrpt_count_new(0, "") };
	size_t policies;

	if (get_number(&c, 1, FORM) != FORM)
		c.is_bad = true;
	c.count->flags = (unsigned)get_number(&c, 1, TLSRPT_COUNT_DONE);
	c.count->day = (int64_t)get_number(&c, 4, INT32_MAX);
	c.count->others = get_number(&c, 8, INT64_MAX);
	c.count->domain = get_text(&c, ADDRESS_DOMAIN_MAX);
	policies = get_number(&c, 1, TLSREPORT_POLICIES);
	for (size_t i = 0; i < policies && !c.is_bad; i++)
		get_policy(&c);
	if (c.is_bad || c.rest.len || !c.count->domain[0]) {
		tlsrpt_count_free(c.count);
		return NULL;
	}
	return c.count;
}
