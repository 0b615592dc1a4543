/*
 * mem - allocation that cannot fail for small fixed needs, and arenas.
 *
 * A failed allocation ends the process: the queue is durable and the service restarts. What a peer
 * can make grow goes through a capped buf or a capped arena, which fail softly long before that.
 * Threads: any; one arena per thread.
 */
#ifndef MEM_H
#define MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

void *mem_alloc(size_t len) __attribute__((malloc, returns_nonnull));
/* Zeroed; count * size is checked. */
void *mem_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
void mem_free(void *p);
char *mem_strdup(const char *text) __attribute__((returns_nonnull));
char *mem_span_dup(struct span s) __attribute__((returns_nonnull)); /* NUL-terminated copy */
void *mem_dup(const void *data, size_t len) __attribute__((returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
/* What is free goes back to the system, as far as it can: after a flood. Takes milliseconds. */
void mem_trim(void);
/* Overwrites before freeing: for secrets. */
void mem_wipe_free(void *p, size_t len);

#define MEM_NEW(type) ((type *)mem_calloc(1, sizeof(type)))

/* Memory given back all at once: an envelope's addresses live in one, freed at RSET or commit. */
struct mem_arena {
	struct mem_arena_block *blocks;
	size_t used; /* bytes handed out */
	size_t max;  /* cap on `used` */
};

void mem_arena_init(struct mem_arena *arena, size_t max);
void mem_arena_fini(struct mem_arena *arena);
/* Forgets all objects but keeps one block, so that the next message needs no allocation. */
void mem_arena_reset(struct mem_arena *arena);
/* Aligned for any object; NULL when the cap is hit. */
void *mem_arena_alloc(struct mem_arena *arena, size_t len);
char *mem_arena_dup(struct mem_arena *arena, struct span s); /* NUL-terminated; NULL at the cap */

#endif
