#include "tests/unit/support/script.h"

#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1 << 20 };

struct where {
	const char *path;
	int number;
};

static void fail(struct where at, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

static void fail(struct where at, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", at.path, at.number);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static void *checked(void *p)
{
	if (!p)
		abort();
	return p;
}

static int hex(struct where at, char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	fail(at, "\\x needs two hex digits");
}

/* A growing byte string. */
struct bytes {
	char *data;
	size_t len, size;
};

static void put(struct bytes *b, const char *data, size_t len)
{
	if (b->len + len + 1 > b->size) {
		b->size = (b->len + len + 1) * 2;
		b->data = checked(realloc(b->data, b->size));
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

static void decode(struct where at, struct bytes *b, const char *p);

/* {text*count}: returns what follows it, or NULL if it is none. */
static const char *put_repeated(struct where at, struct bytes *b, const char *p)
{
	const char *end = strchr(p, '}'), *star = end;
	struct bytes once = { 0 };
	char *after, *text;
	unsigned long count;

	while (star && star > p && *star != '*')
		star--;
	if (!star || star <= p + 1)
		return NULL;
	count = strtoul(star + 1, &after, 10);
	if (after != end || after == star + 1)
		return NULL;
	text = checked(strndup(p + 1, (size_t)(star - p - 1)));
	decode(at, &once, text);
	for (unsigned long i = 0; i < count; i++) {
		put(b, once.data, once.len);
		if (b->len > LINE_MAX_BYTES)
			fail(at, "too long");
	}
	free(once.data);
	free(text);
	return end + 1;
}

static void decode(struct where at, struct bytes *b, const char *p)
{
	while (*p) {
		const char *after = *p == '{' ? put_repeated(at, b, p) : NULL;
		char c = *p++;

		if (after) {
			p = after;
			continue;
		}
		if (c == '\\') {
			switch (*p++) {
			case 'r': c = '\r'; break;
			case 'n': c = '\n'; break;
			case 't': c = '\t'; break;
			case '0': c = '\0'; break;
			case '\\': break;
			case 'x':
				c = (char)(hex(at, p[0]) * 16 + hex(at, p[1]));
				p += 2;
				break;
			default: fail(at, "unknown escape; there are \\r \\n \\t \\0 \\\\ \\xHH");
			}
		}
		put(b, &c, 1);
	}
}

static int64_t duration(struct where at, const char *text)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	char *after;
	long long n = strtoll(text, &after, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (after > text && strcmp(after, units[i].unit) == 0)
			return (int64_t)n * units[i].ms;
	fail(at, "time is written +90s, +5m, +1h or +250ms");
}

static struct script_line *add(struct script *script, struct where at, enum script_kind kind)
{
	struct script_line *line;

	script->lines = checked(realloc(script->lines, (script->count + 1) * sizeof(*script->lines)));
	line = &script->lines[script->count++];
	*line = (struct script_line){ .kind = kind, .number = at.number };
	return line;
}

static enum script_kind kind_of(struct where at, char mark)
{
	switch (mark) {
	case '=': return SCRIPT_SETTING;
	case '>': return SCRIPT_PEER;
	case '<': return SCRIPT_US;
	case '!': return SCRIPT_ACTION;
	case '@': return SCRIPT_EVENT;
	case '+': return SCRIPT_TIME;
	default: fail(at, "a line starts with one of # = > < ! @ +");
	}
}

static void read_line(struct script *script, struct where at, const char *text)
{
	struct script_line *line;
	struct bytes b = { 0 };
	bool raw;

	if (!*text)
		return;
	if (*text == '#') {
		if (!script->shows)
			script->shows = checked(strdup(text + 1 + strspn(text + 1, " ")));
		return;
	}
	line = add(script, at, kind_of(at, *text++));
	raw = line->kind == SCRIPT_PEER && *text == '|';
	if (raw)
		text++;
	if (line->kind == SCRIPT_TIME)
		line->ms = duration(at, text);
	else if (*text == ' ')
		text++;
	else if (*text)
		fail(at, "a blank follows the mark");
	put(&b, "", 0);
	decode(at, &b, text);
	if (line->kind == SCRIPT_PEER && !raw)
		put(&b, "\r\n", 2);
	if (line->kind == SCRIPT_US && b.len >= 3 && memcmp(b.data + b.len - 3, "...", 3) == 0) {
		line->is_prefix = true;
		b.data[b.len -= 3] = '\0';
	}
	line->text = b.data;
	line->len = b.len;
}

struct script *script_read(const char *path)
{
	struct script *script = checked(calloc(1, sizeof(*script)));
	FILE *f = fopen(path, "r");
	struct where at = { path, 0 };
	char *text = NULL;
	size_t size = 0;
	ssize_t len;

	if (!f)
		fail(at, "cannot be opened");
	script->path = checked(strdup(path));
	while ((len = getline(&text, &size, f)) > 0) {
		at.number++;
		if (text[len - 1] == '\n')
			text[--len] = '\0';
		read_line(script, at, text);
	}
	free(text);
	fclose(f);
	if (!script->shows)
		fail(at, "the first line is a comment that says what the script shows");
	return script;
}

void script_free(struct script *script)
{
	if (!script)
		return;
	for (size_t i = 0; i < script->count; i++)
		free(script->lines[i].text);
	free(script->lines);
	free(script->shows);
	free(script->path);
	free(script);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **script_find(const char *folder, size_t *out_count)
{
	DIR *dir = opendir(folder);
	char **paths = NULL;
	size_t count = 0;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (len < 6 || strcmp(entry->d_name + len - 5, ".smtp") != 0)
			continue;
		paths = checked(realloc(paths, (count + 1) * sizeof(*paths)));
		if (asprintf(&paths[count++], "%s/%s", folder, entry->d_name) < 0)
			abort();
	}
	if (dir)
		closedir(dir);
	if (!count)
		fail((struct where){ folder, 0 }, "no scripts here (run from the root of the tree)");
	qsort(paths, count, sizeof(*paths), compare);
	*out_count = count;
	return paths;
}

void script_free_paths(char **paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(paths[i]);
	free(paths);
}

bool script_fits(const struct script_line *line, const char *text, size_t len)
{
	if (line->is_prefix ? len < line->len : len != line->len)
		return false;
	return memcmp(line->text, text, line->len) == 0;
}

bool script_word(const char **rest, char *word, size_t size)
{
	const char *p = *rest + strspn(*rest, " ");
	size_t len = strcspn(p, " ");

	if (!len || len >= size)
		return false;
	memcpy(word, p, len);
	word[len] = '\0';
	p += len;
	*rest = p + strspn(p, " ");
	return true;
}

const char *script_setting(const struct script *script, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < script->count; i++) {
		const struct script_line *line = &script->lines[i];

		if (line->kind == SCRIPT_SETTING && strncmp(line->text, name, len) == 0 &&
		    (line->text[len] == ' ' || line->text[len] == '\0'))
			return line->text + len + strspn(line->text + len, " ");
	}
	return NULL;
}
