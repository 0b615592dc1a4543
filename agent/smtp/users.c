#include "smtp/users.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "smtp/sasl_server.h"

enum { CRYPT_MIN = 20, CRYPT_MAX = 383 };

struct users {
	struct users_entry *entries;
	size_t count, capacity;
};

/* ---------------------------------------------------------------- names and secrets */

char *users_name(struct span text)
{
	char *name = text.len <= USERS_NAME_MAX ? sasl_server_prepare(text) : NULL;
	bool good = name && name[0] != '#' && strlen(name) <= USERS_NAME_MAX;

	for (const char *p = name; good && *p; p++)
		good = (unsigned char)*p > ' ' && *p != 0x7f && *p != ':';
	if (good)
		return name;
	mem_free(name);
	return NULL;
}

static bool is_crypt(struct span s)
{
	static const struct span prefixes[] = { { "$y$", 3 },  { "$gy$", 4 }, { "$7$", 3 }, { "$2a$", 4 },
						{ "$2b$", 4 }, { "$2y$", 4 }, { "$6$", 3 }, { "$5$", 3 } };
	bool known = false;

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		known |= s.len > prefixes[i].len && memcmp(s.data, prefixes[i].data, prefixes[i].len) == 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = span_lower(s.data[i]);

		if ((c < '0' || c > '9') && (c < 'a' || c > 'z') && (!c || !strchr("./$=,", c)))
			return false;
	}
	return known && s.len >= CRYPT_MIN && s.len <= CRYPT_MAX;
}

/* Verifiers of different hashes, a blank between them. 0: it is something else. */
static unsigned read_scram(struct span s)
{
	unsigned found = 0;

	while (s.len) {
		struct span word = span_first(s, span_find(s, ' '));
		struct scram_verifier verifier;

		if (!scram_read(word, &verifier) || found & 1u << verifier.hash)
			return 0;
		found |= 1u << verifier.hash;
		if (word.len + 1 == s.len)
			return 0;
		s = span_from(s, word.len + 1);
	}
	return found;
}

const char *users_secret_mistake(struct span secret)
{
	if (secret.len && secret.len <= USERS_SECRET_MAX && (is_crypt(secret) || read_scram(secret)))
		return NULL;
	if (!secret.len)
		return "there is nothing behind the colon";
	if (span_starts_fold(secret, SPAN("SCRAM-")))
		return "this is no SCRAM verifier that is understood";
	if (span_starts_fold(secret, SPAN("$1$")) || span_starts_fold(secret, SPAN("{")) ||
	    span_starts_fold(secret, SPAN("$apr1$")))
		return "hashes of this kind are too weak, or not understood";
	if (secret.data[0] == '$')
		return "this is no hash of crypt(5) that is understood";
	if (secret.data[0] == '!' || secret.data[0] == '*')
		return "locked users are simply left out of the file";
	return "this looks like a plain password";
}

/* ---------------------------------------------------------------- lines */

static bool next_line(struct span *text, struct span *out)
{
	if (!text->len)
		return false;
	*out = span_first(*text, span_find(*text, '\n'));
	*text = span_from(*text, out->len + 1);
	return true;
}

static struct span bare(struct span line)
{
	if (line.len && line.data[line.len - 1] == '\r')
		line.len--;
	return span_trim(line);
}

static bool is_said(struct span line)
{
	return line.len && line.data[0] != '#';
}

struct report {
	const char *file;
	struct buf *errors;
	unsigned line, mistakes;
};

static void say(struct report *report, const char *what, const char *meant)
{
	if (report->mistakes++ < USERS_ERRORS)
		buf_printf(report->errors, "%s:%u: %s - %s\n", report->file, report->line, what, meant);
}

static void add(struct users *users, char *name, struct span secret, unsigned line)
{
	if (users->count == users->capacity) {
		users->capacity = users->capacity ? 2 * users->capacity : 16;
		users->entries = mem_realloc(users->entries, users->capacity, sizeof(*users->entries));
	}
	users->entries[users->count++] = (struct users_entry){
		.name = name, .secret = mem_span_dup(secret), .has_scram = read_scram(secret), .line = line
	};
}

static void read_line(struct users *users, struct span line, struct report *report)
{
	size_t colon = span_find(line, ':');
	struct span secret = span_trim(span_from(line, colon + 1));
	const char *mistake;
	char *name;

	if (colon == line.len) {
		say(report, "there is no colon", "a line is NAME:SECRET; run: sendoff user add NAME");
		return;
	}
	name = users_name(span_trim(span_first(line, colon)));
	if (!name) {
		say(report, "this is nobody's name", "UTF-8 of at most 255 bytes, without blanks");
		return;
	}
	mistake = users_secret_mistake(secret);
	if (mistake) {
		say(report, mistake, "run: sendoff user add NAME");
		mem_free(name);
		return;
	}
	add(users, name, secret, report->line);
}

static int compare(const void *a, const void *b)
{
	const struct users_entry *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order ? order : (left->line > right->line) - (left->line < right->line);
}

static void release(struct users_entry *entry)
{
	mem_wipe_free((char *)(uintptr_t)entry->secret, strlen(entry->secret));
	mem_free((char *)(uintptr_t)entry->name);
}

/* Who is there twice would have two passwords: the first counts. */
static void drop_doubles(struct users *users, struct report *report)
{
	size_t kept = 0;

	for (size_t i = 0; i < users->count; i++) {
		if (kept && strcmp(users->entries[kept - 1].name, users->entries[i].name) == 0) {
			report->line = users->entries[i].line;
			say(report, "this user is there already", "one line for each");
			release(&users->entries[i]);
		} else {
			users->entries[kept++] = users->entries[i];
		}
	}
	users->count = kept;
}

struct users *users_parse(struct span text, const char *file, struct buf *errors)
{
	struct users *users = MEM_NEW(struct users);
	struct report report = { .file = file, .errors = errors };
	struct span line;

	while (next_line(&text, &line)) {
		report.line++;
		line = bare(line);
		if (is_said(line))
			read_line(users, line, &report);
	}
	if (users->count)
		qsort(users->entries, users->count, sizeof(*users->entries), compare);
	drop_doubles(users, &report);
	if (report.mistakes > USERS_ERRORS)
		buf_printf(errors, "%s: %u more mistakes\n", file, report.mistakes - USERS_ERRORS);
	return users;
}

void users_free(struct users *users)
{
	if (!users)
		return;
	for (size_t i = 0; i < users->count; i++)
		release(&users->entries[i]);
	mem_free(users->entries);
	mem_free(users);
}

/* ---------------------------------------------------------------- looking up */

size_t users_count(const struct users *users)
{
	return users->count;
}

const struct users_entry *users_at(const struct users *users, size_t i)
{
	return &users->entries[i];
}

const struct users_entry *users_find(const struct users *users, const char *name)
{
	size_t low = 0, high = users->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(users->entries[middle].name, name);

		if (order == 0)
			return &users->entries[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool users_verifier(const struct users_entry *entry, enum scram_hash hash, struct scram_verifier *out)
{
	struct span rest = span_str(entry->secret);
	struct scram_verifier verifier;

	if (!(entry->has_scram & 1u << hash))
		return false;
	while (rest.len) {
		struct span word = span_first(rest, span_find(rest, ' '));

		if (scram_read(word, &verifier) && verifier.hash == hash) {
			*out = verifier;
			return true;
		}
		rest = span_from(rest, word.len + 1);
	}
	return false;
}

bool users_all_have(const struct users *users, enum scram_hash hash)
{
	for (size_t i = 0; i < users->count; i++)
		if (!(users->entries[i].has_scram & 1u << hash))
			return false;
	return users->count > 0;
}

/* ---------------------------------------------------------------- writing */

static bool is_line_of(struct span line, const char *name)
{
	struct span said = bare(line);
	size_t colon = span_find(said, ':');
	char *own = is_said(said) && colon < said.len ? users_name(span_trim(span_first(said, colon))) : NULL;
	bool same = own && strcmp(own, name) == 0;

	mem_free(own);
	return same;
}

static bool put(struct buf *out, const char *name, const char *secret)
{
	return buf_append_str(out, name) && buf_append_char(out, ':') && buf_append_str(out, secret) &&
	       buf_append_char(out, '\n');
}

bool users_edit(struct span text, const char *name, const char *secret, struct buf *out, bool *out_had)
{
	struct span line;
	bool had = false, good = true;

	while (good && next_line(&text, &line)) {
		if (!is_line_of(line, name))
			good = buf_append_span(out, line) && buf_append_char(out, '\n');
		else if (!had && secret)
			good = put(out, name, secret);
		had |= is_line_of(line, name);
	}
	if (good && !had && secret)
		good = put(out, name, secret);
	if (good)
		*out_had = had;
	return good;
}
