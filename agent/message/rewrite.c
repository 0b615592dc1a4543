#include "message/rewrite.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "message/addresslist.h"
#include "message/mime.h"

enum { LINE_WANTED = 900 /* RFC 5322, 2.1.1: 998 is the most */, NAME_LINE = 70 };

static bool is_said(const char *text)
{
	return text && *text;
}

static bool parse(struct span text, struct address *out)
{
	return address_parse(text, ADDRESS_UTF8 | ADDRESS_BARE, out) == ADDRESS_OK;
}

/* An address of the configuration, or NULL: what is no address must not get into a header. */
static const char *checked(const char *text)
{
	struct address address;

	return is_said(text) && parse(span_str(text), &address) ? text : NULL;
}

void rewrite_init(struct rewrite *r, const struct rewrite_rules *rules)
{
	struct span domain = span_str(rules->qualify ? rules->qualify : "");

	*r = (struct rewrite){ .rules = *rules };
	r->rules.from = checked(rules->from);
	r->rules.to = checked(rules->to);
	r->rules.name = is_said(rules->name) ? rules->name : NULL;
	if (!address_is_domain(domain, ADDRESS_UTF8))
		return;
	r->is_idn = !text_is_ascii(domain) || strcasestr(rules->qualify, "xn--");
	if (rules->utf8 || text_is_ascii(domain) || !address_domain_ascii(domain, r->domain)) {
		memcpy(r->domain, domain.data, domain.len);
		r->domain[domain.len] = '\0';
	}
}

void rewrite_fini(struct rewrite *r)
{
	mem_free(r->found);
	r->found = NULL;
}

/* ---------------------------------------------------------------- a value in the making */

struct draft {
	struct rewrite *r;
	struct buf *out;
	struct span value; /* the old one */
	size_t from;       /* what `out` held before */
	size_t taken;      /* bytes of the old one that are done with */
	size_t line;       /* where in `out` the last line begins */
	bool changed, full;
};

static void append(struct draft *d, struct span s)
{
	const char *end = s.len ? memrchr(s.data, '\n', s.len) : NULL;

	d->full = d->full || !buf_append_span(d->out, s);
	if (end && !d->full)
		d->line = d->out->len - (size_t)(s.data + s.len - end) + 1;
}

static void append_str(struct draft *d, const char *text)
{
	append(d, span_str(text));
}

/* The old value up to `to`. */
static void keep(struct draft *d, const char *to)
{
	size_t upto = (size_t)(to - d->value.data);

	append(d, span_of(d->value.data + d->taken, upto - d->taken));
	d->taken = upto;
}

/* What we add must not make a line too long: in front of a local part a line may be folded (RFC 5322, 3.2.3). */
static void fold(struct draft *d, size_t more)
{
	if (!d->full && d->out->len - d->line + more > LINE_WANTED)
		append_str(d, "\r\n\t");
}

static enum rewrite_verdict finish(struct draft *d)
{
	if (!d->full && d->changed)
		keep(d, d->value.data + d->value.len);
	if (!d->full && d->changed)
		return REWRITE_CHANGED;
	buf_truncate(d->out, d->from);
	return d->full ? REWRITE_FULL : REWRITE_SAME;
}

static struct draft begin(struct rewrite *r, struct span value, struct buf *out)
{
	return (struct draft){ .r = r, .out = out, .value = value, .from = out->len, .line = out->len };
}

/* ---------------------------------------------------------------- addresses of ours */

/* An address that a rule gives, with its domain in ASCII where that is needed. A bare one gets the domain. */
static void append_address(struct draft *d, const char *text)
{
	const struct rewrite *r = d->r;
	char ascii[ADDRESS_DOMAIN_SIZE];
	struct span local = address_local(span_str(text)), domain = address_domain(span_str(text));

	if (domain.len == 0)
		domain = span_str(r->domain);
	if (!r->rules.utf8 && !text_is_ascii(domain) && address_domain_ascii(domain, ascii))
		domain = span_str(ascii);
	append(d, local);
	if (domain.len)
		append_str(d, "@");
	append(d, domain);
}

/* ---------------------------------------------------------------- names of this machine */

static bool is_local(const struct rewrite *r, struct span domain)
{
	return domain.len == 0 || span_equals_fold(domain, SPAN("localhost")) ||
	       span_equals_fold(domain, SPAN("localhost.localdomain")) ||
	       /* Other letters are compared only where they can be the same: it takes its time. */
	       (r->domain[0] && (r->is_idn || text_is_ascii(domain)) &&
		address_same_domain(domain, span_str(r->domain)));
}

/* The addresses of a name's alias, or NULL: it has none, or they cannot be told. *out_none: it has none. */
static const struct aliases_result *look_up(struct rewrite *r, struct span local, bool *out_none)
{
	struct buf meaning;
	enum aliases_verdict verdict = ALIASES_NONE;

	*out_none = true;
	if (!r->rules.aliases)
		return NULL;
	if (!r->found)
		r->found = mem_alloc(sizeof(*r->found));
	buf_init(&meaning, ADDRESS_LOCAL_MAX);
	if (address_unquote(local, &meaning))
		verdict = aliases_expand(r->rules.aliases, buf_span(&meaning), r->found);
	buf_fini(&meaning);
	*out_none = verdict == ALIASES_NONE;
	return verdict == ALIASES_DONE ? r->found : NULL;
}

/* A name of this machine that an alias leads to is no mailbox either. */
static void append_target(struct draft *d, const char *text)
{
	bool local = is_local(d->r, address_domain(span_str(text)));

	append_address(d, local && d->r->rules.to ? d->r->rules.to : text);
}

/* Puts other addresses in the place of a name. False: the name stays. */
static bool replace_name(struct draft *d, const struct addresslist *l, const struct address *address)
{
	struct rewrite *r = d->r;
	const struct aliases_result *found;
	bool none;

	if (!is_local(r, address_domain(span_of(address->text, address->len))) || r->lookups == REWRITE_NAMES_MAX)
		return false;
	r->lookups++;
	found = look_up(r, span_of(address->text, address->local_len), &none);
	if (!found && !(none && r->rules.to))
		return false;
	keep(d, l->where.data);
	fold(d, ADDRESS_SIZE);
	append_target(d, found ? found->targets[0].address : r->rules.to);
	d->taken += l->where.len;
	keep(d, l->end.data);
	for (size_t i = 1; found && i < found->count && !d->full; i++) {
		append_str(d, ",\r\n\t");
		append_target(d, found->targets[i].address);
	}
	return d->changed = true;
}

static void qualify(struct draft *d, const struct addresslist *l, const struct address *address)
{
	if (address->local_len < address->len || !d->r->domain[0])
		return;
	keep(d, l->where.data);
	fold(d, l->where.len + 1 + strlen(d->r->domain));
	keep(d, l->where.data + l->where.len);
	append_str(d, "@");
	append_str(d, d->r->domain);
	d->changed = true;
}

/*
 * True: whatever is made of the value, no rule about names of this machine is about it. Most fields hold one address
 * elsewhere: one '@', behind the '<' where there is one, and nothing behind its domain. With quotes, comments, groups or
 * several addresses, it has to be read.
 */
static bool is_foreign(const struct rewrite *r, struct span value)
{
	struct span domain = span_of("", 0);

	for (size_t i = 0; i < value.len; i++) {
		switch (value.data[i]) {
		case '"':
		case '(':
		case ')':
		case ',':
		case ':':
		case ';':
		case '\\': return false;
		case '<':
		case '@':
			if (domain.len)
				return false;
			if (value.data[i] == '@')
				domain = span_from(value, i + 1);
			break;
		default: break;
		}
	}
	if (domain.len && domain.data[domain.len - 1] == '>')
		domain.len--;
	for (size_t i = 0; i < domain.len; i++)
		if (domain.data[i] <= ' ' || domain.data[i] >= 0x7f || domain.data[i] == '>')
			return false;
	return domain.len && !is_local(r, domain);
}

enum rewrite_verdict rewrite_addresses(struct rewrite *r, struct span value, bool recipients, struct buf *out)
{
	struct draft d = begin(r, value, out);
	enum addresslist_verdict verdict;
	struct addresslist l;
	struct buf text;

	recipients = recipients && (r->rules.aliases || r->rules.to);
	if ((!recipients && !r->domain[0]) || is_foreign(r, value))
		return REWRITE_SAME;
	buf_init(&text, ADDRESSLIST_MAX);
	addresslist_init(&l, value);
	while ((verdict = addresslist_next(&l, &text)) == ADDRESSLIST_ADDRESS && !d.full) {
		struct address address;

		/* What has a domain elsewhere need not be looked at more closely. */
		if (!is_local(r, address_domain(buf_span(&text))) || !parse(buf_span(&text), &address))
			continue;
		if (!recipients || !replace_name(&d, &l, &address))
			qualify(&d, &l, &address);
	}
	if (verdict == ADDRESSLIST_BAD)
		d.changed = d.full = false;
	buf_fini(&text);
	return finish(&d);
}

/* ---------------------------------------------------------------- identities */

/* What a From field says. */
struct author {
	bool parsed;
	size_t count; /* of mailboxes */
	/* Of the first: */
	struct address address; /* qualified */
	bool well_formed;
	struct span phrase, comment;
};

static void read_first(const struct rewrite *r, const struct addresslist *l, struct span text, struct author *a)
{
	a->phrase = l->phrase;
	a->comment = l->comment;
	a->well_formed = parse(text, &a->address);
	if (a->well_formed && a->address.local_len == a->address.len && r->domain[0] &&
	    a->address.len + 1 + strlen(r->domain) < sizeof(a->address.text)) {
		a->address.text[a->address.len++] = '@';
		memcpy(a->address.text + a->address.len, r->domain, strlen(r->domain) + 1);
		a->address.len += strlen(r->domain);
	}
}

static struct author read_author(const struct rewrite *r, struct span value)
{
	struct author a = { .count = 0 };
	enum addresslist_verdict verdict;
	struct addresslist l;
	struct buf text;

	buf_init(&text, ADDRESSLIST_MAX);
	addresslist_init(&l, value);
	while ((verdict = addresslist_next(&l, &text)) == ADDRESSLIST_ADDRESS)
		if (a.count++ == 0)
			read_first(r, &l, buf_span(&text), &a);
	a.parsed = verdict == ADDRESSLIST_END && a.count;
	buf_fini(&text);
	return a;
}

/* A display name in whichever form the header may hold. */
static void append_name(struct draft *d, struct span name)
{
	struct buf clean;

	buf_init(&clean, REWRITE_NAME_BYTES);
	text_clean(&clean, name, REWRITE_NAME_BYTES);
	d->full = d->full || !(d->r->rules.utf8 ? mime_phrase_utf8(d->out, buf_span(&clean))
						: mime_words_encode(d->out, buf_span(&clean), true));
	buf_fini(&clean);
}

/* "root (Cron Daemon)": the old way to write a name. */
static void append_comment(struct draft *d, struct span comment)
{
	struct buf plain, words;

	buf_init(&plain, REWRITE_NAME_BYTES);
	buf_init(&words, 4 * (size_t)REWRITE_NAME_BYTES);
	for (size_t i = 0; i < comment.len; i++) {
		i += comment.data[i] == '\\' && i + 1 < comment.len;
		if (!buf_append_char(&plain, comment.data[i]))
			break;
	}
	if (mime_words_decode(&words, buf_span(&plain)))
		append_name(d, buf_span(&words));
	buf_fini(&plain);
	buf_fini(&words);
}

static void append_mailbox(struct draft *d, const struct author *a, const char *address)
{
	size_t from;

	append_str(d, " ");
	from = d->out->len;
	if (d->r->rules.name)
		append_name(d, span_str(d->r->rules.name));
	else if (a && a->parsed && a->phrase.len)
		append(d, a->phrase);
	else if (a && a->parsed && a->comment.len)
		append_comment(d, a->comment);
	if (d->full || d->out->len == from) {
		append_address(d, address);
		return;
	}
	append_str(d, d->out->len - from > NAME_LINE ? "\r\n <" : " <");
	append_address(d, address);
	append_str(d, ">");
}

static bool is_empty(struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!strchr(" \t\r\n", value.data[i]) || value.data[i] == '\0')
			return false;
	return true;
}

enum rewrite_verdict rewrite_from(struct rewrite *r, struct span value, struct buf *out, bool *out_replaced,
				  bool *out_parsed)
{
	struct draft d = begin(r, value, out);
	struct author a = read_author(r, value);
	bool same = a.parsed && a.count == 1 && a.well_formed &&
		    (!r->rules.from || address_equals(span_of(a.address.text, a.address.len), span_str(r->rules.from)));
	const char *address = same ? a.address.text : r->rules.from;

	*out_replaced = !same && !is_empty(value);
	*out_parsed = a.parsed;
	if (!address || (same && !r->rules.name)) {
		*out_replaced = false;
		return rewrite_addresses(r, value, false, out);
	}
	append_mailbox(&d, &a, address);
	d.taken = value.len;
	d.changed = !span_equals(span_from(buf_span(out), d.from), value);
	return finish(&d);
}

enum rewrite_verdict rewrite_new_from(struct rewrite *r, struct buf *out)
{
	struct draft d = begin(r, span_of("", 0), out);

	append_mailbox(&d, NULL, r->rules.from);
	d.changed = true;
	return finish(&d);
}
