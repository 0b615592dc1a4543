#include "tests/bench/support/letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

static const char line[] = "The quick brown fox jumps over the lazy dog, and goes on to the next one.";

static void add(struct letter *letter, const char *text, const char *eol)
{
	size_t len = strlen(text), eol_len = strlen(eol);

	memcpy(letter->bytes + letter->len, text, len);
	memcpy(letter->bytes + letter->len + len, eol, eol_len);
	letter->len += len + eol_len;
}

void letter_init(struct letter *letter, size_t size, const char *from, const char *to, const char *eol)
{
	char field[512];

	letter->bytes = mem_alloc(size + 4 * sizeof field);
	letter->len = 0;
	memset(field, '0', LETTER_HEAD);
	field[LETTER_HEAD] = '\0';
	memcpy(field, LETTER_FIELD, sizeof(LETTER_FIELD) - 1);
	add(letter, field, eol);
	snprintf(field, sizeof field, "From: <%s>", from);
	add(letter, field, eol);
	snprintf(field, sizeof field, "To: <%s>", to);
	add(letter, field, eol);
	add(letter, "Subject: load", eol);
	add(letter, "Date: Tue, 24 Nov 2026 05:30:00 +0000", eol);
	add(letter, "Message-ID: <load@example.org>", eol);
	add(letter, "", eol);
	while (letter->len < size)
		add(letter, line, eol);
}

void letter_fini(struct letter *letter)
{
	mem_free(letter->bytes);
}

void letter_stamp(char *head, int64_t now_ns)
{
	char text[LETTER_HEAD + 8];

	snprintf(text, sizeof text, LETTER_FIELD "%0*" PRId64, (int)LETTER_STAMP, now_ns);
	memcpy(head, text, LETTER_HEAD);
}

int64_t letter_find(const char *bytes, size_t len)
{
	const char *at = memmem(bytes, len, LETTER_FIELD, sizeof(LETTER_FIELD) - 1);
	int64_t stamp = 0;

	if (!at || (size_t)(bytes + len - at) < LETTER_HEAD)
		return 0;
	for (const char *p = at + sizeof(LETTER_FIELD) - 1; p < at + LETTER_HEAD; p++) {
		if (*p < '0' || *p > '9')
			return 0;
		stamp = (int64_t)((uint64_t)stamp * 10 + (uint64_t)(*p - '0'));
	}
	return stamp;
}

int64_t letter_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
