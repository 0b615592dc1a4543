#include "net/hosts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { DNS_PORT = 53 };

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

void hosts_print_servers(const struct hosts_servers *servers, size_t turn, struct buf *out)
{
	for (size_t i = 0; i < servers->count; i++) {
		const struct dns_address *server = &servers->list[(i + turn) % servers->count];
		char text[ADDR_TEXT_SIZE];

		buf_printf(out, "%s%s", i ? "," : "", addr_text(&server->addr, text));
	}
}
