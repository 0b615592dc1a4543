/*
 * table - reads the rows of a table in a Markdown file, so that a test can walk what the docs say. Header only.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { TABLE_CELLS = 6, TABLE_LINE = 2048 };

struct table {
	FILE *file;
	bool is_inside; /* the rows have begun */
	int number;     /* of the line */
	char line[TABLE_LINE];
	char *cells[TABLE_CELLS];
	int count;
};

static inline char *table_trim(char *text)
{
	char *end;

	while (*text == ' ')
		text++;
	for (end = text + strlen(text); end > text && (end[-1] == ' ' || end[-1] == '\n'); end--)
		end[-1] = '\0';
	return text;
}

/* The first table behind a line that is `heading`. False: there is no such file or heading. */
static inline bool table_open(struct table *t, const char *path, const char *heading)
{
	*t = (struct table){ .file = fopen(path, "r") };
	while (t->file && fgets(t->line, sizeof t->line, t->file)) {
		t->number++;
		if (strcmp(table_trim(t->line), heading) == 0)
			return true;
	}
	if (t->file)
		fclose(t->file);
	return false;
}

/* The next row; the heads and the line below them are none. False: the table is over, and closed. */
static inline bool table_next(struct table *t)
{
	while (fgets(t->line, sizeof t->line, t->file)) {
		char *at = t->line;

		t->number++;
		if (*at != '|' && t->is_inside)
			break;
		if (strncmp(at, "|---", 4) == 0)
			t->is_inside = true;
		else if (*at == '|' && t->is_inside) {
			for (t->count = 0, at++; t->count < TABLE_CELLS && strchr(at, '|'); t->count++) {
				char *end = strchr(at, '|');

				*end = '\0';
				t->cells[t->count] = table_trim(at);
				at = end + 1;
			}
			return true;
		}
	}
	fclose(t->file);
	return false;
}

#endif
