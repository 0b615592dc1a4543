/*
 * script - reads the session scripts of tests/scripts (README.md there has the format).
 *
 * Owns:    what script_read() returns, until script_free().
 * Needs:   libc only: the unit tests of every room are linked with it.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum script_kind {
	SCRIPT_SETTING, /* = name value */
	SCRIPT_PEER,    /* > bytes: text holds them decoded, CRLF included; consecutive lines are one group */
	SCRIPT_US,      /* < line: text without CRLF */
	SCRIPT_ACTION,  /* ! name arguments */
	SCRIPT_EVENT,   /* @ name arguments */
	SCRIPT_TIME,    /* +90s: ms */
};

struct script_line {
	enum script_kind kind;
	int number; /* in the file */
	char *text; /* decoded, NUL-terminated; may hold NULs */
	size_t len;
	bool is_prefix; /* ended in "...": what follows is not compared */
	int64_t ms;     /* SCRIPT_TIME */
};

struct script {
	char *path;
	char *shows; /* the first comment */
	struct script_line *lines;
	size_t count;
};

/* Ends the test program with file:line and words on a mistake in the script. */
struct script *script_read(const char *path);
void script_free(struct script *script);

/* Paths of all *.smtp files in a folder, sorted; an empty or missing folder ends the program. Free with
 * script_free_paths(). */
char **script_find(const char *folder, size_t *out_count);
void script_free_paths(char **paths, size_t count);

/* Does what was said or done fit the line? */
bool script_fits(const struct script_line *line, const char *text, size_t len);
/* Splits the next blank-separated word off *rest into word; false at the end or when it is too long. */
bool script_word(const char **rest, char *word, size_t size);
/* The setting's value in the script, or NULL. */
const char *script_setting(const struct script *script, const char *name);

#endif
