#include "tools/sendmail_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "message/addresslist.h"
#include "message/header.h"
#include "message/mime.h"

/* ---------------------------------------------------------------- recipients */

static void append(struct sendmail_header_list *list, struct span address)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity ? 2 * list->capacity : 16;
		list->items = mem_realloc(list->items, list->capacity, sizeof(char *));
	}
	list->items[list->count++] = mem_span_dup(address);
}

bool sendmail_header_list_add(struct sendmail_header_list *list, struct span value,
			      char error[SENDMAIL_HEADER_ERROR_SIZE])
{
	enum addresslist_verdict verdict;
	struct addresslist l;
	struct buf address, shown;

	buf_init(&address, ADDRESSLIST_MAX);
	addresslist_init(&l, value);
	while ((verdict = addresslist_next(&l, &address)) == ADDRESSLIST_ADDRESS)
		append(list, buf_span(&address));
	if (verdict == ADDRESSLIST_BAD) {
		buf_init(&shown, 100);
		text_clean(&shown, value, 80);
		snprintf(error, SENDMAIL_HEADER_ERROR_SIZE, "%s: %s", buf_cstr(&shown), l.error);
		buf_fini(&shown);
	}
	buf_fini(&address);
	return verdict == ADDRESSLIST_END;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void sendmail_header_list_unify(struct sendmail_header_list *list)
{
	size_t kept = 0;

	if (list->count < 2)
		return;
	qsort(list->items, list->count, sizeof(char *), compare);
	for (size_t i = 0; i < list->count; i++) {
		if (kept && strcmp(list->items[kept - 1], list->items[i]) == 0)
			mem_free(list->items[i]);
		else
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

void sendmail_header_list_fini(struct sendmail_header_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		mem_free(list->items[i]);
	mem_free(list->items);
	memset(list, 0, sizeof(*list));
}

/* ---------------------------------------------------------------- the header */

static bool names_recipients(enum header_name name, bool resent)
{
	if (resent)
		return name == HEADER_RESENT_TO || name == HEADER_RESENT_CC || name == HEADER_RESENT_BCC;
	return name == HEADER_TO || name == HEADER_CC || name == HEADER_BCC;
}

static bool take_fields(struct sendmail_header *h, struct span fields, bool resent, struct sendmail_header_list *list,
			char *error)
{
	struct header_field f;
	bool ok = true;

	while (ok && header_next(&fields, &f)) {
		if (list && names_recipients(f.name, resent))
			ok = sendmail_header_list_add(list, f.value, error);
		if (!list || (f.name != HEADER_BCC && f.name != HEADER_RESENT_BCC))
			buf_append_span(&h->kept, f.whole);
	}
	return ok;
}

/* The length of the line that mailbox files put in front of each message, or 0. */
static size_t mailbox_line(struct span text)
{
	size_t end = span_find(text, '\n');

	return text.len >= 5 && memcmp(text.data, "From ", 5) == 0 && end < text.len ? end + 1 : 0;
}

static enum header_verdict find_header(struct header *header, struct span text, bool is_all)
{
	header_init(header);
	return is_all ? header_finish(header, text) : header_scan(header, text);
}

bool sendmail_header_read(struct sendmail_header *h, struct span text, bool is_all, struct sendmail_header_list *list,
			  char error[SENDMAIL_HEADER_ERROR_SIZE])
{
	size_t skip = mailbox_line(text);
	enum header_verdict verdict;
	struct header header;
	bool resent;

	memset(h, 0, sizeof(*h));
	buf_init(&h->kept, text.len + 2);
	verdict = find_header(&header, span_from(text, skip), is_all);
	/* Text that begins with the word From, and no header anywhere. */
	if (verdict == HEADER_NONE && skip) {
		skip = 0;
		header_init(&header);
	}
	text = span_from(text, skip);
	if (verdict == HEADER_MORE) {
		snprintf(error, SENDMAIL_HEADER_ERROR_SIZE, "the header has no end");
		return false;
	}
	h->no_header = verdict == HEADER_NONE;
	h->has_from = header.counts[HEADER_FROM] > 0;
	h->has_date = header.counts[HEADER_DATE] > 0;
	h->body = skip + header.body;
	resent = header.counts[HEADER_RESENT_TO] || header.counts[HEADER_RESENT_CC] || header.counts[HEADER_RESENT_BCC];
	if (!take_fields(h, span_first(text, header.length), resent, list, error))
		return false;
	buf_append_str(&h->kept, "\r\n");
	return true;
}

void sendmail_header_fini(struct sendmail_header *h)
{
	buf_fini(&h->kept);
}

bool sendmail_header_from(struct buf *out, const char *address, const char *host, const char *full_name)
{
	bool named = full_name && *full_name;
	bool ok = buf_append_str(out, "From: ");

	if (named)
		ok = ok && mime_words_encode(out, span_str(full_name), true) && buf_append_str(out, " <");
	ok = ok && buf_append_str(out, address) && (!host || strchr(address, '@') || buf_printf(out, "@%s", host));
	return ok && buf_append_str(out, named ? ">\r\n" : "\r\n");
}
