#include "config_load.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* libconfuse's own reader is given only text that cannot trip it: it crashes on an empty comment, miscounts lines
 * behind C comments, drops unquoted stars silently, and an error inside a quoted string or an included file leaves it
 * unusable for the rest of the process. All of these are found or taken out here. */

enum { FILE_MAX = 1 << 20, FILES_MAX = 256, DEPTH_MAX = 8, BRACES_MAX = 8 };

enum token_kind { TOKEN_WORD = 'w', TOKEN_STRING = 's', TOKEN_APPEND = '+' }; /* the rest are their own character */

struct token {
	int kind;
	int line;
	size_t from, to; /* of the text, quotes included */
};

struct scan {
	struct config_load *load; /* NULL: nothing is reported */
	const char *file;
	char *text;
	size_t len, at;
	int line;
	struct token *tokens;
	size_t count, capacity;
	bool is_bad;
};

static void complain(struct scan *scan, int line, const char *what)
{
	scan->is_bad = true;
	if (scan->load)
		config_error(scan->load, &(struct config_at){ scan->file, line }, "%s", what);
}

static void push(struct scan *scan, int kind, size_t from, size_t to)
{
	if (scan->count == scan->capacity) {
		scan->capacity = scan->capacity ? scan->capacity * 2 : 64;
		scan->tokens = mem_realloc(scan->tokens, scan->capacity, sizeof(*scan->tokens));
	}
	scan->tokens[scan->count++] = (struct token){ kind, scan->line, from, to };
}

static void blank(char *text, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (text[i] != '\n')
			text[i] = ' ';
}

static bool starts(const struct scan *scan, const char *with)
{
	return scan->len - scan->at >= strlen(with) && memcmp(scan->text + scan->at, with, strlen(with)) == 0;
}

static void skip_comment(struct scan *scan)
{
	size_t from = scan->at;
	int line = scan->line;

	if (starts(scan, "/*")) {
		for (scan->at += 2; scan->at < scan->len && !starts(scan, "*/"); scan->at++)
			scan->line += scan->text[scan->at] == '\n';
		if (scan->at >= scan->len)
			complain(scan, line, "this comment is never closed - end it with */");
		else
			scan->at += 2;
	} else {
		while (scan->at < scan->len && scan->text[scan->at] != '\n')
			scan->at++;
	}
	blank(scan->text, from, scan->at);
}

/* "${NAME}" stands for a variable of the environment, "${NAME:-text}" has a default. */
static void check_variable(struct scan *scan)
{
	const char *from = scan->text + scan->at + 2, *end = memchr(from, '}', scan->len - scan->at - 2);
	char name[64];
	size_t len;

	if (!end || memchr(from, '\n', (size_t)(end - from)) || memchr(from, '"', (size_t)(end - from))) {
		complain(scan, scan->line, "\"${\" without its } - write \\${ for the characters themselves");
		return;
	}
	if (memmem(from, (size_t)(end - from), ":-", 2))
		return;
	len = (size_t)(end - from);
	if (len >= sizeof(name))
		len = sizeof(name) - 1;
	memcpy(name, from, len);
	name[len] = '\0';
	if (!getenv(name)) {
		scan->is_bad = true;
		if (scan->load)
			config_error(scan->load, &(struct config_at){ scan->file, scan->line },
				     "the environment has no variable '%s' - set it, or write ${%s:-default}", name,
				     name);
	}
}

static void take_string(struct scan *scan)
{
	size_t from = scan->at;
	char quote = scan->text[scan->at++];

	while (scan->at < scan->len && scan->text[scan->at] != quote && scan->text[scan->at] != '\n') {
		if (scan->text[scan->at] == '\\' && scan->at + 1 < scan->len) {
			char next = scan->text[scan->at + 1];

			if (quote == '"' && next >= '0' && next <= '9')
				complain(scan, scan->line, "a backslash before a digit - write \\\\ for a backslash");
			if (next == '\n')
				break;
			scan->at++;
		} else if (quote == '"' && starts(scan, "${")) {
			check_variable(scan);
		}
		scan->at++;
	}
	if (scan->at >= scan->len || scan->text[scan->at] != quote) {
		complain(scan, scan->line, "this quoted text is not closed on its line - add the closing quote");
		return;
	}
	scan->at++;
	push(scan, TOKEN_STRING, from, scan->at);
}

static bool is_word_byte(char c)
{
	return !strchr(" #\"'\t\n\r={}()+,*", c) && (unsigned char)c > ' ';
}

static void take_word(struct scan *scan)
{
	size_t from = scan->at;

	while (scan->at < scan->len && is_word_byte(scan->text[scan->at]))
		scan->at++;
	if (scan->text[scan->at - 1] == '$' && scan->at < scan->len && scan->text[scan->at] == '{')
		complain(scan, scan->line, "\"${\" outside of quotes - always quote text");
	if (scan->text[scan->at - 1] == ';')
		complain(scan, scan->line, "a semicolon - settings end without one, remove it");
	push(scan, TOKEN_WORD, from, scan->at);
}

static void take_one(struct scan *scan)
{
	char c = scan->text[scan->at];

	if (c == '\n') {
		scan->line++;
		scan->at++;
	} else if (c == ' ' || c == '\t' || c == '\r') {
		scan->at++;
	} else if (c == '#' || starts(scan, "//") || starts(scan, "/*")) {
		skip_comment(scan);
	} else if (c == '"' || c == '\'') {
		take_string(scan);
	} else if (starts(scan, "+=")) {
		push(scan, TOKEN_APPEND, scan->at, scan->at + 2);
		scan->at += 2;
	} else if (strchr("={}(),", c) && c) {
		push(scan, c, scan->at, scan->at + 1);
		scan->at++;
	} else if (is_word_byte(c)) {
		take_word(scan);
	} else if (c == '*' || c == '+') {
		complain(scan, scan->line, "'*' or '+' outside of quotes - always quote text, as in \"*@example.com\"");
		scan->at++;
	} else {
		/* Once for a line, and for a file that is no text at all only once. */
		complain(scan, scan->line, c ? "a control character - remove it" : "this is not a text file");
		while (scan->at < scan->len && (scan->text[scan->at] != '\n' || !c))
			scan->at++;
	}
}

static void scan_text(struct scan *scan)
{
	scan->line = 1;
	while (scan->at < scan->len)
		take_one(scan);
}

static int kind_at(const struct scan *scan, size_t i)
{
	return i < scan->count ? scan->tokens[i].kind : 0;
}

static bool is_text_at(const struct scan *scan, size_t i)
{
	return kind_at(scan, i) == TOKEN_WORD || kind_at(scan, i) == TOKEN_STRING;
}

static struct span text_at(const struct scan *scan, size_t i)
{
	const struct token *t = &scan->tokens[i];

	if (t->kind == TOKEN_STRING)
		return span_of(scan->text + t->from + 1, t->to - t->from - 2);
	return span_of(scan->text + t->from, t->to - t->from);
}

/* The token behind the one that closes what token i opens. */
static size_t behind(const struct scan *scan, size_t i, int open, int close)
{
	int depth = 0;

	for (; i < scan->count; i++) {
		if (scan->tokens[i].kind == open)
			depth++;
		else if (scan->tokens[i].kind == close && --depth == 0)
			return i + 1;
	}
	return scan->count;
}

/* Token i is a key. The token behind its statement; for a section, *out_inside is its first inner token. */
static size_t statement_end(const struct scan *scan, size_t i, size_t *out_inside)
{
	int next = kind_at(scan, i + 1);

	*out_inside = 0;
	if (next == '=' || next == TOKEN_APPEND)
		return kind_at(scan, i + 2) == '{' ? behind(scan, i + 2, '{', '}')
		       : is_text_at(scan, i + 2)   ? i + 3
						   : i + 2;
	if (next == '(')
		return behind(scan, i + 1, '(', ')');
	if (next == '{') {
		*out_inside = i + 2;
		return behind(scan, i + 1, '{', '}');
	}
	if (is_text_at(scan, i + 1) && kind_at(scan, i + 2) == '{') {
		*out_inside = i + 3;
		return behind(scan, i + 2, '{', '}');
	}
	return i + 1;
}

static size_t offset_of(const struct scan *scan, size_t i)
{
	return i < scan->count ? scan->tokens[i].from : scan->len;
}

bool config_text_blank(struct config_piece *piece, int line, const char *name)
{
	struct scan scan = { .file = piece->file, .text = piece->text, .len = piece->len };
	bool found = false;
	size_t i = 0, inside;

	scan_text(&scan);
	while (i < scan.count && !found) {
		size_t end;

		if (!is_text_at(&scan, i)) {
			i++;
			continue;
		}
		end = statement_end(&scan, i, &inside);
		if (scan.tokens[i].line == line && span_equals(text_at(&scan, i), span_str(name))) {
			blank(piece->text, scan.tokens[i].from, end ? scan.tokens[end - 1].to : scan.len);
			found = true;
		}
		i = inside ? inside : end;
	}
	mem_free(scan.tokens);
	return found;
}

const struct config_at *config_text_place(const struct config_load *load, const char *section, const char *title)
{
	for (size_t i = 0; i < load->place_count; i++)
		if (strcmp(load->places[i].section, section) == 0 && strcmp(load->places[i].title, title) == 0)
			return &load->places[i].at;
	return NULL;
}

/* Braces that do not match are found here, where the one to blame is still known. */
static void check_braces(struct scan *scan)
{
	int open[BRACES_MAX], depth = 0;

	for (size_t i = 0; i < scan->count && !scan->is_bad; i++) {
		const struct token *t = &scan->tokens[i];

		if (t->kind == '{' && depth == BRACES_MAX)
			complain(scan, t->line, "braces nested too deeply - close the ones before");
		else if (t->kind == '{')
			open[depth++] = t->line;
		else if (t->kind == '}' && depth-- == 0)
			complain(scan, t->line, "a closing brace too many - remove it, or open one before it");
	}
	if (!scan->is_bad && depth > 0)
		complain(scan, open[depth - 1], "the brace opened here is never closed - add a }");
}

static void add_piece(struct scan *scan, size_t from, size_t to)
{
	struct config_load *load = scan->load;
	struct config_piece *piece;
	size_t lines = 0;

	for (size_t i = 0; i < from; i++)
		lines += scan->text[i] == '\n';
	load->pieces = mem_realloc(load->pieces, load->piece_count + 1, sizeof(*load->pieces));
	piece = &load->pieces[load->piece_count++];
	*piece = (struct config_piece){ .file = scan->file, .len = lines + to - from };
	piece->text = mem_alloc(piece->len + 1);
	memset(piece->text, '\n', lines);
	memcpy(piece->text + lines, scan->text + from, to - from);
	piece->text[piece->len] = '\0';
}

static void read_file(struct config_load *load, const char *file, const struct config_at *by, unsigned depth);

/* A folder that is not there holds nothing; one that cannot be read is a mistake. */
static int unreadable(const char *path, int err)
{
	(void)path;
	return err != ENOENT;
}

static void include(struct scan *scan, struct span what, int line, unsigned depth)
{
	struct config_at at = { scan->file, line };
	const char *slash = strrchr(scan->file, '/');
	size_t folder = slash ? (size_t)(slash - scan->file) + 1 : 0;
	char *pattern = what.len && what.data[0] == '/'
				? mem_span_dup(what)
				: mem_printf("%.*s%.*s", (int)folder, scan->file, SPAN_ARGS(what));
	glob_t found = { 0 };
	int err = glob(pattern, 0, unreadable, &found);

	if (err == GLOB_NOMATCH && !strpbrk(pattern, "*?["))
		config_error(scan->load, &at, "cannot include %s: no such file - correct the path or remove the line",
			     pattern);
	else if (err && err != GLOB_NOMATCH)
		config_error(scan->load, &at, "cannot include %s: its folder cannot be read", pattern);
	for (size_t i = 0; !err && i < found.gl_pathc; i++)
		read_file(scan->load, found.gl_pathv[i], &at, depth + 1);
	if (err && (err != GLOB_NOMATCH || !strpbrk(pattern, "*?[")))
		scan->load->is_incomplete = true;
	globfree(&found);
	mem_free(pattern);
}

static void add_place(struct scan *scan, size_t i, struct span title, size_t end)
{
	struct config_load *load = scan->load;
	const char *name = config_keep(load, text_at(scan, i)), *kept = config_keep(load, title);
	const struct config_at *first = config_text_place(load, name, kept);
	struct config_at at = { scan->file, scan->tokens[i].line };

	if (first && title.len) {
		config_error(load, &at, "%s \"%s\" is there twice, first in %s:%d - %s", name, kept, first->file,
			     first->line,
			     strcmp(name, "domain") == 0 ? "put them together" : "give one of them another name");
		blank(scan->text, scan->tokens[i].from, end ? scan->tokens[end - 1].to : scan->len);
		return;
	}
	load->places = mem_realloc(load->places, load->place_count + 1, sizeof(*load->places));
	load->places[load->place_count++] = (struct config_place){ at, name, kept };
}

/* Statement by statement: notes where sections begin, cuts at includes. */
static void split(struct scan *scan, unsigned depth)
{
	size_t start = 0, i = 0;

	while (i < scan->count) {
		size_t inside, end;
		size_t call = kind_at(scan, i + 1) == '(' ? 1 : 0;

		if (is_text_at(scan, i) && span_equals(text_at(scan, i), SPAN("include")) &&
		    is_text_at(scan, i + 1 + call)) {
			end = i + 2 + call + (call && kind_at(scan, i + 3) == ')' ? 1 : 0);
			add_piece(scan, start, scan->tokens[i].from);
			include(scan, text_at(scan, i + 1 + call), scan->tokens[i].line, depth);
			start = end < scan->count ? offset_of(scan, end) : scan->len;
			i = end;
			continue;
		}
		if (!is_text_at(scan, i)) {
			i++;
			continue;
		}
		end = statement_end(scan, i, &inside);
		if (inside)
			add_place(scan, i, inside == i + 3 ? text_at(scan, i + 1) : SPAN(""), end);
		i = end;
	}
	add_piece(scan, start, scan->len);
}

/* The whole file, or NULL with the mistake reported. */
static char *slurp(struct config_load *load, const char *file, const struct config_at *by, size_t *out_len)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text = NULL;
	size_t len = 0;
	ssize_t got = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		config_error(load, by, "cannot read %s: %s", file, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		config_error(load, by, "%s is not a regular file", file);
	} else if (st.st_mode & S_IWOTH) {
		config_error(load, by, "%s can be changed by everybody on this machine - chmod o-w it", file);
	} else {
		size_t most = st.st_size < FILE_MAX ? (size_t)st.st_size : FILE_MAX + 1;

		text = mem_alloc(most + 1);
		while (len < most && (got = read(fd, text + len, most - len)) > 0)
			len += (size_t)got;
		if (got < 0 || len > FILE_MAX) {
			config_error(load, by, "cannot read %s: %s", file,
				     got < 0 ? strerror(errno) : "larger than 1 MB");
			mem_free(text);
			text = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	*out_len = len;
	return text;
}

static void read_file(struct config_load *load, const char *file, const struct config_at *by, unsigned depth)
{
	struct scan scan = { .load = load };

	if (depth > DEPTH_MAX || load->files >= FILES_MAX) {
		config_error(load, by, "%s - does a file include itself?",
			     depth > DEPTH_MAX ? "includes nested too deeply" : "too many files included");
		load->is_incomplete = true;
		return;
	}
	load->files++;
	scan.file = config_keep(load, span_str(file));
	scan.text = slurp(load, file, by, &scan.len);
	if (scan.text) {
		scan_text(&scan);
		check_braces(&scan);
		if (!scan.is_bad)
			split(&scan, depth);
	}
	if (!scan.text || scan.is_bad)
		load->is_incomplete = true;
	mem_free(scan.tokens);
	mem_free(scan.text);
}

void config_text_read(struct config_load *load, const char *file)
{
	read_file(load, file, NULL, 0);
}
