#include "message/aliases.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "message/aliases_line.h"
#include "smtp/address.h"

enum { DOMAINS_MAX = 8, INCLUDES_MAX = 256, SHOWN_MAX = 100 };

enum kind { TO_NAME, TO_ADDRESS, TO_LIST };

struct target {
	const char *text;
	int line;
	enum kind kind;
	uint32_t include; /* TO_LIST: which */
};

enum state { READ, WANTED, LOST };

/* What stands behind a name, or in an included file. */
struct list {
	const char *name; /* what it means, folded; or the path */
	const char *file; /* that it was read from */
	int line;         /* where it begins; of an include: where it was named first */
	const char *named_in;
	enum state state;
	uint32_t number; /* of all lists, from 0 on */
	size_t first, count;
};

struct lists {
	struct list *list;
	size_t count, room;
};

struct aliases {
	unsigned references;
	size_t bytes; /* read so far */
	struct mem_arena text;
	struct lists names; /* sorted by name once they are read */
	struct lists includes;
	struct list *otherwise; /* '*' */
	struct target *targets;
	size_t target_count, target_room;
	uint32_t numbers;
	const char *domains[DOMAINS_MAX];
	size_t domain_count;
};

struct aliases *aliases_new(void)
{
	struct aliases *a = MEM_NEW(struct aliases);

	a->references = 1;
	/* An object of one byte takes sixteen. */
	mem_arena_init(&a->text, (size_t)16 * ALIASES_MAX_BYTES);
	return a;
}

struct aliases *aliases_ref(struct aliases *a)
{
	a->references++;
	return a;
}

void aliases_unref(struct aliases *a)
{
	if (!a || --a->references)
		return;
	mem_arena_fini(&a->text);
	mem_free(a->names.list);
	mem_free(a->includes.list);
	mem_free(a->otherwise);
	mem_free(a->targets);
	mem_free(a);
}

void aliases_local(struct aliases *a, const char *domain)
{
	char *copy = a->domain_count < DOMAINS_MAX ? mem_arena_dup(&a->text, span_str(domain)) : NULL;

	if (copy)
		a->domains[a->domain_count++] = copy;
}

static bool is_local(const struct aliases *a, struct span domain)
{
	bool local = domain.len == 0 || span_equals_fold(domain, SPAN("localhost")) ||
		     span_equals_fold(domain, SPAN("localhost.localdomain"));

	for (size_t i = 0; i < a->domain_count && !local; i++)
		local = address_same_domain(domain, span_str(a->domains[i]));
	return local;
}

/* ---------------------------------------------------------------- reading */

/* Where a reader is, and what it has found wrong so far. */
struct reader {
	struct aliases *a;
	const char *file;
	struct buf *errors;
	unsigned mistakes;
	struct buf text; /* one item */
};

static void complain(struct reader *r, int line, struct span shown, const char *what)
{
	r->mistakes++;
	buf_printf(r->errors, "%s:%d: ", r->file, line);
	text_clean(r->errors, shown, SHOWN_MAX);
	buf_printf(r->errors, "%s%s\n", shown.len ? ": " : "", what);
}

static struct list *add_list(struct aliases *a, struct lists *lists)
{
	if (lists->count == lists->room) {
		lists->room = lists->room ? 2 * lists->room : 16;
		lists->list = mem_realloc(lists->list, lists->room, sizeof(*lists->list));
	}
	lists->list[lists->count] = (struct list){ .number = a->numbers++, .first = a->target_count };
	return &lists->list[lists->count++];
}

static void add_target(struct aliases *a, struct target target)
{
	if (a->target_count == a->target_room) {
		a->target_room = a->target_room ? 2 * a->target_room : 64;
		a->targets = mem_realloc(a->targets, a->target_room, sizeof(*a->targets));
	}
	a->targets[a->target_count++] = target;
}

/* Which of the included files; INCLUDES_MAX: there are too many. */
static uint32_t find_include(struct reader *r, const char *path, int line)
{
	struct aliases *a = r->a;
	struct list *list;

	for (size_t i = 0; i < a->includes.count; i++)
		if (strcmp(a->includes.list[i].name, path) == 0)
			return (uint32_t)i;
	if (a->includes.count == INCLUDES_MAX)
		return INCLUDES_MAX;
	list = add_list(a, &a->includes);
	list->name = path;
	list->file = path;
	list->named_in = r->file;
	list->line = line;
	list->state = WANTED;
	return (uint32_t)a->includes.count - 1;
}

/* What is wrong with one item of a list, or NULL: it was added to the targets. */
static const char *take_item(struct reader *r, const struct aliases_line_items *items)
{
	struct span text = buf_span(&r->text);
	struct target target = { .line = items->line, .kind = TO_ADDRESS };

	if (items->kind == ALIASES_LINE_BAD)
		return items->error;
	target.text = mem_arena_dup(&r->a->text, text);
	if (!target.text)
		return "the files are too long";
	if (items->kind == ALIASES_LINE_INCLUDE) {
		target.kind = TO_LIST;
		target.include = find_include(r, target.text, items->line);
		if (target.include == INCLUDES_MAX)
			return "too many files are included";
	} else if (items->kind == ALIASES_LINE_ADDRESS && is_local(r->a, address_domain(text))) {
		target.kind = TO_NAME;
	}
	add_target(r->a, target);
	return NULL;
}

/* Returns how many items there were, good or bad. */
static size_t take_items(struct reader *r, struct span list, int line)
{
	struct aliases_line_items items;
	size_t count = 0;

	aliases_line_items(&items, list, line);
	for (; aliases_line_item(&items, &r->text); count++) {
		const char *error = take_item(r, &items);

		if (error)
			complain(r, items.line, buf_span(&r->text), error);
	}
	return count;
}

static void take_line(struct reader *r, struct span logical, int line)
{
	struct span list = logical;
	struct aliases *a = r->a;
	bool is_default;
	const char *error = aliases_line_name(&list, &r->text, &is_default), *name;
	struct list *entry;

	if (error) {
		complain(r, line, span_first(logical, span_find(logical, '\n')), error);
		return;
	}
	if (is_default && a->otherwise) {
		complain(r, line, SPAN("*"), "it was said before - the first one counts");
		return;
	}
	name = mem_arena_dup(&a->text, buf_span(&r->text));
	if (!name) {
		complain(r, line, SPAN(""), "the files are too long");
		return;
	}
	entry = add_list(a, &a->names);
	entry->name = name;
	entry->file = r->file;
	entry->line = line;
	if (take_items(r, list, line) == 0)
		complain(r, line, span_str(name), "there is no address behind the name");
	entry->count = a->target_count - entry->first;
	if (is_default) {
		a->otherwise = mem_dup(entry, sizeof(*entry));
		a->names.count--;
	}
}

/* By name; of one name the first first. */
static int compare(const void *left, const void *right)
{
	const struct list *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	return order ? order : a->number < b->number ? -1 : a->number > b->number;
}

/* Sorts the names; of those that were said twice the first stays. */
static void sort_names(struct reader *r)
{
	struct lists *names = &r->a->names;
	size_t kept = 0;

	if (names->count)
		qsort(names->list, names->count, sizeof(*names->list), compare);
	for (size_t i = 0; i < names->count; i++) {
		if (kept && strcmp(names->list[kept - 1].name, names->list[i].name) == 0)
			complain(r, names->list[i].line, span_str(names->list[i].name),
				 "it was said before - the first one counts");
		else
			names->list[kept++] = names->list[i];
	}
	names->count = kept;
}

static struct reader begin(struct aliases *a, const char *file, struct buf *errors)
{
	struct reader r = { .a = a, .file = file, .errors = errors };

	/* Every item comes from a line, and no line is longer than all the text. */
	buf_init(&r.text, ALIASES_MAX_BYTES);
	return r;
}

/* Whether so much more may be read. */
static bool is_admitted(struct reader *r, size_t len, const char *where, int line)
{
	if (len <= ALIASES_MAX_BYTES - r->a->bytes) {
		r->a->bytes += len;
		return true;
	}
	r->mistakes++;
	buf_printf(r->errors, "%s:%d: %s%sthe files are too long, more than %d bytes with all that they include\n",
		   where, line, where == r->file ? "" : r->file, where == r->file ? "" : ": ", ALIASES_MAX_BYTES);
	return false;
}

/* Some editors put a byte order mark in front. */
static struct span without_mark(struct span text)
{
	return span_starts_fold(text, SPAN("\xef\xbb\xbf")) ? span_from(text, 3) : text;
}

unsigned aliases_read(struct aliases *a, const char *file, struct span text, struct buf *errors)
{
	struct reader r = begin(a, file, errors);
	struct buf logical;
	int line = 1, first = 1;

	r.file = mem_arena_dup(&a->text, span_str(file));
	buf_init(&logical, ALIASES_MAX_BYTES + 1);
	text = without_mark(text);
	if (is_admitted(&r, text.len, r.file, 1)) {
		while (aliases_line_next(&text, &line, true, &logical, &first))
			take_line(&r, buf_span(&logical), first);
		sort_names(&r);
	}
	buf_fini(&logical);
	buf_fini(&r.text);
	return r.mistakes;
}

static struct list *wanted(const struct aliases *a)
{
	for (size_t i = 0; i < a->includes.count; i++)
		if (a->includes.list[i].state == WANTED)
			return &a->includes.list[i];
	return NULL;
}

const char *aliases_wanted(const struct aliases *a)
{
	const struct list *list = wanted(a);

	return list ? list->name : NULL;
}

unsigned aliases_supply(struct aliases *a, const char *file, const struct span *text, const char *why,
			struct buf *errors)
{
	struct list *list = wanted(a);
	struct reader r;
	struct buf line_text;
	struct span rest;
	int line = 1, first = 1;
	size_t number;

	if (!list || strcmp(list->name, file) != 0)
		return 0;
	number = (size_t)(list - a->includes.list);
	r = begin(a, list->name, errors);
	list->state = LOST;
	if (!text) {
		r.mistakes++;
		buf_printf(errors, "%s:%d: %s: %s\n", list->named_in, list->line, list->name, why);
	} else if (is_admitted(&r, text->len, list->named_in, list->line)) {
		list->state = READ;
		list->first = a->target_count;
		buf_init(&line_text, ALIASES_MAX_BYTES + 1);
		for (rest = without_mark(*text); aliases_line_next(&rest, &line, false, &line_text, &first);)
			take_items(&r, buf_span(&line_text), first);
		buf_fini(&line_text);
		/* An include within it may have moved the lists. */
		list = &a->includes.list[number];
		list->count = a->target_count - list->first;
	}
	buf_fini(&r.text);
	return r.mistakes;
}

/* ---------------------------------------------------------------- following a name */

static int compare_name(const void *key, const void *entry)
{
	return strcmp(key, ((const struct list *)entry)->name);
}

/* `name` is folded. */
static const struct list *find(const struct aliases *a, const char *name)
{
	const struct list *list =
		a->names.count ? bsearch(name, a->names.list, a->names.count, sizeof(struct list), compare_name) : NULL;

	return list ? list : a->otherwise;
}

enum mark { NEW, OPEN, CLOSED };

enum { SLOTS = 2048 }; /* a power of two, and well above ALIASES_TARGETS */

struct walk {
	const struct aliases *a;
	struct aliases_result *out;
	uint16_t slots[SLOTS]; /* targets found, 1 for the first, by the hash of their local part */
	unsigned char *marks;  /* of each list: enum mark */
	bool is_many;
};

static bool same(const char *a, const char *b)
{
	struct span left = span_str(a), right = span_str(b);

	if (span_equals(left, right))
		return true;
	/* Bare names are names of this machine, whose case is folded. */
	if (address_domain(left).len == 0)
		return span_equals_fold(left, right);
	return address_equals(left, right);
}

/* Of what two addresses of one mailbox have in common byte by byte, but for case. */
static size_t hash(const char *text)
{
	return text_hash(address_local(span_str(text)));
}

static void arrive(struct walk *w, const char *file, const struct target *target)
{
	struct aliases_result *out = w->out;
	size_t slot = hash(target->text) % SLOTS;

	for (; w->slots[slot]; slot = (slot + 1) % SLOTS)
		if (same(out->targets[w->slots[slot] - 1].address, target->text))
			return;
	if (out->count == ALIASES_TARGETS) {
		w->is_many = true;
		return;
	}
	out->targets[out->count++] = (struct aliases_target){ target->text, file, target->line };
	w->slots[slot] = (uint16_t)out->count;
}

/* Names longer than a local part can be do not occur. Returns whether `out` was written. */
static bool fold_name(struct span local, char out[ADDRESS_LOCAL_MAX + 1])
{
	if (local.len > ADDRESS_LOCAL_MAX || span_find(local, '\0') < local.len)
		return false;
	for (size_t i = 0; i < local.len; i++)
		out[i] = span_lower(local.data[i]);
	out[local.len] = '\0';
	return true;
}

/* The list that an address of this machine stands for, or NULL. */
static const struct list *list_of(const struct aliases *a, const char *address)
{
	char name[ADDRESS_LOCAL_MAX + 1];
	const struct list *list = NULL;
	struct buf meaning;

	buf_init(&meaning, ADDRESS_LOCAL_MAX);
	if (address_unquote(address_local(span_str(address)), &meaning) && fold_name(buf_span(&meaning), name))
		list = find(a, name);
	buf_fini(&meaning);
	return list;
}

static void follow(struct walk *w, const struct list *list, int depth)
{
	w->marks[list->number] = OPEN;
	for (size_t i = 0; i < list->count && !w->is_many; i++) {
		const struct target *target = &w->a->targets[list->first + i];
		const struct list *next = NULL;

		if (target->kind == TO_LIST)
			next = &w->a->includes.list[target->include];
		else if (target->kind == TO_NAME)
			next = list_of(w->a, target->text);
		if (target->kind == TO_LIST && w->marks[next->number] != NEW)
			continue;
		if (!next || w->marks[next->number] == OPEN)
			arrive(w, list->file, target); /* no alias, or one that leads back to itself */
		else if (w->marks[next->number] == NEW && depth == ALIASES_DEPTH)
			w->is_many = true;
		else if (w->marks[next->number] == NEW)
			follow(w, next, depth + 1);
	}
	w->marks[list->number] = CLOSED;
}

enum aliases_verdict aliases_expand(const struct aliases *a, struct span local, struct aliases_result *out)
{
	char name[ADDRESS_LOCAL_MAX + 1];
	const struct list *list = fold_name(local, name) ? find(a, name) : NULL;
	struct walk w = { .a = a, .out = out };

	out->count = 0;
	if (!list)
		return ALIASES_NONE;
	w.marks = mem_calloc(a->numbers, sizeof(*w.marks));
	follow(&w, list, 1);
	mem_free(w.marks);
	if (w.is_many) {
		out->count = 0;
		return ALIASES_MANY;
	}
	return out->count ? ALIASES_DONE : ALIASES_LOST;
}
