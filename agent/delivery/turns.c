#include "delivery/turns.h"

#include "base/text.h"

unsigned turns_line(const char *submitter)
{
	return text_hash(span_str(submitter)) % TURNS_LINES;
}

void turns_init(struct turns *turns)
{
	for (int band = 0; band < TURNS_BANDS; band++) {
		turns->next[band] = 0;
		for (int i = 0; i < TURNS_LINES; i++)
			list_init(&turns->lines[band][i]);
	}
}

void turns_join(struct turns *turns, struct list *node, unsigned band, const char *submitter)
{
	list_append(&turns->lines[band < TURNS_BANDS ? band : TURNS_BANDS - 1][turns_line(submitter)], node);
}

struct list *turns_take(struct turns *turns)
{
	for (int band = 0; band < TURNS_BANDS; band++)
		for (unsigned i = 0; i < TURNS_LINES; i++) {
			unsigned line = (turns->next[band] + i) % TURNS_LINES;
			struct list *node = list_first(&turns->lines[band][line]);

			if (!node)
				continue;
			list_remove(node);
			turns->next[band] = (line + 1) % TURNS_LINES;
			return node;
		}
	return NULL;
}

bool turns_is_empty(const struct turns *turns)
{
	for (int band = 0; band < TURNS_BANDS; band++)
		for (int i = 0; i < TURNS_LINES; i++)
			if (!list_is_empty(&turns->lines[band][i]))
				return false;
	return true;
}
