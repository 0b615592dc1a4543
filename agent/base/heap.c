#include "base/heap.h"

#include "base/mem.h"

enum { SMALLEST = 16 };

void heap_fini(struct heap *heap)
{
	mem_free(heap->nodes);
	*heap = (struct heap){ .nodes = NULL };
}

static void set(struct heap *heap, size_t place, struct heap_node *node)
{
	heap->nodes[place] = node;
	node->place = place;
}

/* The node at `place` may be too small for it. */
static void rise(struct heap *heap, size_t place)
{
	struct heap_node *node = heap->nodes[place];

	for (; place > 1 && heap->nodes[place / 2]->key > node->key; place /= 2)
		set(heap, place, heap->nodes[place / 2]);
	set(heap, place, node);
}

/* Or too large. */
static void sink(struct heap *heap, size_t place)
{
	struct heap_node *node = heap->nodes[place];

	for (;;) {
		size_t child = place * 2;

		if (child < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key)
			child++;
		if (child > heap->count || heap->nodes[child]->key >= node->key)
			break;
		set(heap, place, heap->nodes[child]);
		place = child;
	}
	set(heap, place, node);
}

void heap_put(struct heap *heap, struct heap_node *node, int64_t key)
{
	if (!node->place) {
		if (heap->count + 1 >= heap->room) {
			heap->room = heap->room ? heap->room * 2 : SMALLEST;
			heap->nodes = mem_realloc(heap->nodes, heap->room, sizeof *heap->nodes);
		}
		set(heap, ++heap->count, node);
	}
	node->key = key;
	rise(heap, node->place);
	sink(heap, node->place);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	size_t place = node->place;
	struct heap_node *last;

	if (!place)
		return;
	node->place = 0;
	last = heap->nodes[heap->count--];
	if (last == node)
		return;
	set(heap, place, last);
	rise(heap, place);
	sink(heap, last->place);
}
