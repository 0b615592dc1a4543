#include "submission/dropmark.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"

enum { LINE_MAX_LEN = DROPFILE_NAME_LEN + 24 };

void dropmark_init(struct dropmarks *m)
{
	m->count = 0;
	buf_init(&m->text, (DROPMARK_MAX + 1) * LINE_MAX_LEN);
}

void dropmark_fini(struct dropmarks *m)
{
	buf_fini(&m->text);
}

/* ---------------------------------------------------------------- the list */

static struct dropmark *find(const struct dropmarks *m, const char *name)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->list[i].name, name) == 0)
			return (struct dropmark *)&m->list[i];
	return NULL;
}

const struct dropmark *dropmark_find(const struct dropmarks *m, const char *name)
{
	return find(m, name);
}

void dropmark_set(struct dropmarks *m, const struct dropmark *mark)
{
	struct dropmark *place = find(m, mark->name);

	if (!place) {
		assert(m->count < DROPMARK_MAX);
		place = &m->list[m->count++];
	}
	*place = *mark;
}

void dropmark_forget(struct dropmarks *m, const char *name)
{
	struct dropmark *place = find(m, name);

	if (place)
		*place = m->list[--m->count];
}

void dropmark_forget_whole(struct dropmarks *m)
{
	for (size_t i = m->count; i-- > 0;)
		if (m->list[i].is_whole)
			m->list[i] = m->list[--m->count];
}

size_t dropmark_whole(const struct dropmarks *m)
{
	size_t whole = 0;

	for (size_t i = 0; i < m->count; i++)
		whole += m->list[i].is_whole;
	return whole;
}

bool dropmark_has_room(const struct dropmarks *m)
{
	return dropmark_whole(m) < DROPMARK_WHOLE;
}

bool dropmark_has_room_in_part(const struct dropmarks *m, uint32_t uid)
{
	size_t parts = 0, own = 0;

	for (size_t i = 0; i < m->count; i++) {
		parts += !m->list[i].is_whole;
		own += !m->list[i].is_whole && m->list[i].uid == uid;
	}
	return parts < DROPMARK_PARTS && own < DROPMARK_OWN;
}

/* ---------------------------------------------------------------- the value */

static struct span take_word(struct span *line)
{
	struct span word = span_first(*line, span_find(*line, ' '));

	*line = span_from(*line, word.len + 1);
	return word;
}

static bool read_line(struct span line, struct dropmark *out)
{
	struct span name = take_word(&line), done = take_word(&line);
	uint64_t number = 0, uid = 0;

	*out = (struct dropmark){ .is_whole = span_equals(done, SPAN("-")) };
	if (name.len != DROPFILE_NAME_LEN)
		return false;
	memcpy(out->name, name.data, name.len);
	if (!dropfile_is_name(out->name))
		return false;
	if (!out->is_whole && (!text_number(done, UINT32_MAX, &number) || !text_number(line, UINT32_MAX, &uid)))
		return false;
	out->done = (uint32_t)number;
	out->uid = (uint32_t)uid;
	return true;
}

void dropmark_read(struct dropmarks *m, struct span text)
{
	while (text.len && m->count < DROPMARK_MAX) {
		struct span line = span_first(text, span_find(text, '\n'));
		struct dropmark mark;

		text = span_from(text, line.len + 1);
		if (read_line(line, &mark))
			dropmark_set(m, &mark);
	}
}

static void write_line(struct buf *out, const struct dropmark *mark)
{
	if (mark->is_whole)
		buf_printf(out, "%s -\n", mark->name);
	else
		buf_printf(out, "%s %" PRIu32 " %" PRIu32 "\n", mark->name, mark->done, mark->uid);
}

struct span dropmark_write(struct dropmarks *m, const struct dropmark *also)
{
	buf_clear(&m->text);
	for (size_t i = 0; i < m->count; i++)
		if (!also || strcmp(m->list[i].name, also->name) != 0)
			write_line(&m->text, &m->list[i]);
	if (also)
		write_line(&m->text, also);
	return buf_span(&m->text);
}
