#include "net/hosts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

enum {
	DNS_PORT = 53,
	RESOLV_BYTES = 64 * 1024, /* of a resolv.conf; what is beyond is not read */
	INDEX_FROM = 64 * 1024,   /* bytes of a file: a shorter one is read in no time */
	INDEX_BYTES =
		256 * 1024, /* a power of two: with 100,000 names one of a thousand others is looked for in vain */
	INDEX_MARKS = 5,    /* bits of a name */
};

/* The next word of the line; empty at its end or at a comment. */
static struct span take_word(struct span *line)
{
	size_t start = 0, end;

	while (start < line->len && strchr(" \t\r\n", line->data[start]))
		start++;
	end = start;
	while (end < line->len && line->data[end] && !strchr(" \t\r\n#;", line->data[end]))
		end++;
	*line = span_from(*line, end);
	return span_of(line->data - (end - start), end - start);
}

static bool read_address(struct span word, struct dns_address *out)
{
	char text[ADDR_TEXT_SIZE];

	if (word.len == 0 || word.len >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(word));
	return addr_literal(text, &out->addr, &out->len);
}

bool hosts_line(struct span line, const char *name, struct dns_address *out)
{
	struct span address = take_word(&line), word;

	if (address.len == 0)
		return false;
	while ((word = take_word(&line)).len) {
		struct dns_address found;

		if (word.data[word.len - 1] == '.')
			word.len--;
		if (!span_equals_fold(word, span_str(name)))
			continue;
		if (!read_address(address, &found))
			return false;
		*out = found;
		return true;
	}
	return false;
}

size_t hosts_find(const char *path, const char *name, struct dns_address *out, size_t max)
{
	FILE *f = fopen(path, "re");
	char line[4096];
	size_t count = 0;
	bool inside = false; /* in the rest of a line longer than the buffer, which is passed by */

	if (!f)
		return 0;
	while (count < max && fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);
		bool whole = len && line[len - 1] == '\n';

		if (!inside && hosts_line(span_of(line, len), name, &out[count]))
			count++;
		inside = !whole;
	}
	fclose(f);
	return count;
}

/* ---------------------------------------------------------------- which names need not be looked for */

static uint32_t mark_of(uint32_t hash, unsigned i)
{
	return (hash + i * (hash * 2654435761u >> 7 | 1)) % (8 * INDEX_BYTES);
}

static void mark(struct hosts_index *index, struct span name)
{
	uint32_t hash;

	if (name.data[name.len - 1] == '.')
		name.len--;
	hash = text_hash(name);
	for (unsigned i = 0; i < INDEX_MARKS; i++)
		index->bits[mark_of(hash, i) / 8] |= (unsigned char)(1u << mark_of(hash, i) % 8);
}

static void make_index(struct hosts_index *index, const char *path)
{
	FILE *f = fopen(path, "re");
	char text[4096];

	index->bits = mem_calloc(INDEX_BYTES, 1);
	while (f && fgets(text, sizeof(text), f)) {
		struct span line = span_of(text, strlen(text)), word;

		while ((word = take_word(&line)).len)
			mark(index, word);
	}
	if (f)
		fclose(f);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool hosts_index_may_have(struct hosts_index *index, const char *path, const char *name)
{
	uint32_t hash = text_hash(span_str(name));
	struct stat now;

	if (stat(path, &now) != 0)
		return false;
	if (!is_same_file(&now, &index->file)) {
		hosts_index_fini(index);
		index->file = now;
		if (now.st_size >= INDEX_FROM)
			make_index(index, path);
	}
	for (unsigned i = 0; index->bits && i < INDEX_MARKS; i++)
		if (!(index->bits[mark_of(hash, i) / 8] & 1u << mark_of(hash, i) % 8))
			return false;
	return true;
}

void hosts_index_fini(struct hosts_index *index)
{
	mem_free(index->bits);
	*index = (struct hosts_index){ .bits = NULL };
}

/* ---------------------------------------------------------------- resolv.conf */

void hosts_servers(struct span text, struct hosts_servers *out)
{
	out->count = 0;
	while (text.len && out->count < HOSTS_SERVERS) {
		struct span line = span_first(text, span_find(text, '\n')), word;
		struct dns_address found;

		text = span_from(text, line.len + 1);
		word = take_word(&line);
		if (!span_equals(word, SPAN("nameserver")))
			continue;
		word = take_word(&line);
		if (!read_address(word, &found))
			continue;
		addr_set_port(&found.addr, DNS_PORT);
		out->list[out->count++] = found;
	}
}

void hosts_servers_of(const char *path, struct hosts_servers *out)
{
	FILE *f = fopen(path, "re");
	struct buf text;
	char *room;

	out->count = 0;
	buf_init(&text, RESOLV_BYTES);
	room = buf_reserve(&text, RESOLV_BYTES);
	if (f && room) {
		buf_commit(&text, fread(room, 1, RESOLV_BYTES, f));
		hosts_servers(buf_span(&text), out);
	}
	if (f)
		fclose(f);
	buf_fini(&text);
}

void hosts_print_servers(const struct hosts_servers *servers, size_t turn, struct buf *out)
{
	for (size_t i = 0; i < servers->count; i++) {
		const struct dns_address *server = &servers->list[(i + turn) % servers->count];
		char text[ADDR_TEXT_SIZE];

		buf_printf(out, "%s%s", i ? "," : "", addr_text(&server->addr, text));
	}
}
