/*
 * heap - an intrusive priority queue: whose time comes first, among many.
 *
 * Owns:    the array of pointers; the nodes belong to their objects, which take them out before they go.
 * Threads: any, one heap per thread.
 */
#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: in no heap. */
struct heap_node {
	int64_t key;  /* what it is sorted by, the smallest first; only heap_put() changes it */
	size_t place; /* 0: in none */
};

struct heap {
	struct heap_node **nodes; /* from 1 on */
	size_t count, room;
};

/* The object of type `type` whose member `member` is `node`. */
#define HEAP_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

/* An empty heap is all zero, and needs no memory. */
void heap_fini(struct heap *heap);
/* Into the heap, or to another place in it; O(log n). */
void heap_put(struct heap *heap, struct heap_node *node, int64_t key);
/* Nothing happens where it is in no heap. */
void heap_remove(struct heap *heap, struct heap_node *node);

static inline bool heap_has(const struct heap_node *node)
{
	return node->place != 0;
}

/* The one with the smallest key, or NULL. */
static inline struct heap_node *heap_first(const struct heap *heap)
{
	return heap->count ? heap->nodes[1] : NULL;
}

#endif
