#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { ARENA_BLOCK = 1024 };

struct mem_arena_block {
	struct mem_arena_block *next;
	size_t size, used;
	_Alignas(16) char bytes[];
};

static void *checked(void *p)
{
	if (!p) {
		fputs("sendoff: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_alloc(size_t len)
{
	return checked(malloc(len ? len : 1));
}

void *mem_calloc(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mem_realloc(void *old, size_t count, size_t size)
{
	return checked(reallocarray(old, count ? count : 1, size ? size : 1));
}

void mem_free(void *p)
{
	free(p);
}

void *mem_dup(const void *data, size_t len)
{
	void *copy = mem_alloc(len);

	if (len)
		memcpy(copy, data, len);
	return copy;
}

char *mem_strdup(const char *text)
{
	return mem_dup(text, strlen(text) + 1);
}

char *mem_span_dup(struct span s)
{
	char *copy = mem_alloc(s.len + 1);

	if (s.len)
		memcpy(copy, s.data, s.len);
	copy[s.len] = '\0';
	return copy;
}

char *mem_printf(const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return checked(text);
}

void mem_trim(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

void mem_wipe_free(void *p, size_t len)
{
	if (p)
		explicit_bzero(p, len);
	free(p);
}

void mem_arena_init(struct mem_arena *arena, size_t max)
{
	*arena = (struct mem_arena){ .max = max };
}

void mem_arena_fini(struct mem_arena *arena)
{
	while (arena->blocks) {
		struct mem_arena_block *next = arena->blocks->next;

		mem_free(arena->blocks);
		arena->blocks = next;
	}
	arena->used = 0;
}

void mem_arena_reset(struct mem_arena *arena)
{
	struct mem_arena_block *kept = arena->blocks;

	if (kept && kept->size == ARENA_BLOCK) {
		arena->blocks = kept->next;
		mem_arena_fini(arena);
		kept->next = NULL;
		kept->used = 0;
		arena->blocks = kept;
		return;
	}
	mem_arena_fini(arena);
}

void *mem_arena_alloc(struct mem_arena *arena, size_t len)
{
	size_t rounded = (len + 15) & ~(size_t)15;
	struct mem_arena_block *block = arena->blocks;
	void *p;

	if (rounded < len || rounded > arena->max || arena->used > arena->max - rounded)
		return NULL;
	if (!block || block->size - block->used < rounded) {
		size_t size = rounded > ARENA_BLOCK ? rounded : ARENA_BLOCK;

		block = mem_alloc(sizeof(*block) + size);
		*block = (struct mem_arena_block){ .next = arena->blocks, .size = size };
		arena->blocks = block;
	}
	p = block->bytes + block->used;
	block->used += rounded;
	arena->used += rounded;
	return p;
}

char *mem_arena_dup(struct mem_arena *arena, struct span s)
{
	char *copy = s.len < SIZE_MAX ? mem_arena_alloc(arena, s.len + 1) : NULL;

	if (!copy)
		return NULL;
	if (s.len)
		memcpy(copy, s.data, s.len);
	copy[s.len] = '\0';
	return copy;
}
