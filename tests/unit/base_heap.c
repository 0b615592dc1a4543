#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/heap.h"

enum { MANY = 500 };

static uint64_t next(uint64_t *seed)
{
	return *seed = *seed * 6364136223846793005u + 1442695040888963407u, *seed >> 33;
}

static int64_t smallest(const struct heap_node *nodes, size_t *out_count)
{
	int64_t key = INT64_MAX;

	*out_count = 0;
	for (int i = 0; i < MANY; i++)
		if (heap_has(&nodes[i])) {
			++*out_count;
			if (nodes[i].key < key)
				key = nodes[i].key;
		}
	return key;
}

static void the_smallest_is_first_whatever_comes_moves_and_goes(void **state)
{
	static struct heap_node nodes[MANY];
	struct heap heap = { .nodes = NULL };
	uint64_t seed = 7;
	size_t count;

	(void)state;
	assert_null(heap_first(&heap));
	for (int i = 0; i < 20000; i++) {
		struct heap_node *node = &nodes[next(&seed) % MANY];

		if (next(&seed) % 3)
			heap_put(&heap, node, (int64_t)(next(&seed) % 1000) - 500);
		else
			heap_remove(&heap, node);
		int64_t key = smallest(nodes, &count);

		assert_int_equal(heap.count, count);
		if (count)
			assert_true(heap_first(&heap)->key == key);
		else
			assert_null(heap_first(&heap));
	}
	while (heap_first(&heap)) {
		struct heap_node *node = heap_first(&heap);

		assert_true(node->key == smallest(nodes, &count));
		heap_remove(&heap, node);
		heap_remove(&heap, node);
		assert_false(heap_has(node));
	}
	heap_fini(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_is_first_whatever_comes_moves_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
