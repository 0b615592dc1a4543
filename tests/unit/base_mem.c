/* Allocation and arenas. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

static void small_things_are_copied_and_zeroed(void **state)
{
	struct span s = SPAN("abcdef");
	char *a = mem_strdup("text"), *b = mem_span_dup(span_first(s, 3)), *c = mem_printf("%s-%d", "x", 7);
	char *d = mem_dup("1\0002", 3), *e = mem_span_dup(span_of(NULL, 0));
	int *many = mem_calloc(10, sizeof(*many)), *one = MEM_NEW(int);

	(void)state;
	assert_string_equal(a, "text");
	assert_string_equal(b, "abc");
	assert_string_equal(c, "x-7");
	assert_memory_equal(d, "1\0002", 3);
	assert_string_equal(e, "");
	for (int i = 0; i < 10; i++)
		assert_int_equal(many[i], 0);
	assert_int_equal(*one, 0);
	many[9] = 99;
	many = mem_realloc(many, 1000, sizeof(*many));
	assert_int_equal(many[9], 99);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	mem_free(d);
	mem_free(e);
	mem_free(many);
	mem_free(one);
	mem_free(NULL);
	mem_wipe_free(NULL, 0);
	mem_wipe_free(mem_strdup("secret"), 6);
}

static void nothing_is_a_thing_too(void **state)
{
	void *a = mem_alloc(0), *b = mem_calloc(0, 0), *c = mem_dup(NULL, 0), *d = mem_realloc(NULL, 0, 8);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	assert_non_null(d);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	mem_free(d);
}

/* The size is hidden from the compiler, which would complain rightly. */
static void ask_too_much(int how)
{
	volatile size_t huge = SIZE_MAX / 2;

	if (how == 0)
		mem_free(mem_calloc(huge, 16));
	else
		mem_free(mem_realloc(NULL, huge, 16));
}

static void sizes_that_overflow_end_the_process(void **state)
{
	(void)state;
	for (int how = 0; how < 2; how++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			signal(SIGABRT, SIG_DFL);
			if (!freopen("/dev/null", "w", stderr))
				_exit(1);
			ask_too_much(how);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* abort(), or a sanitizer's exit. */
		assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) != 0));
	}
}

static void arenas_hand_out_aligned_memory_up_to_their_cap(void **state)
{
	struct mem_arena arena;
	char *first, *second, *large;

	(void)state;
	mem_arena_init(&arena, 5000);
	first = mem_arena_alloc(&arena, 1);
	second = mem_arena_alloc(&arena, 17);
	assert_int_equal((uintptr_t)first % 16, 0);
	assert_int_equal((uintptr_t)second % 16, 0);
	assert_ptr_not_equal(first, second);
	large = mem_arena_alloc(&arena, 3000); /* larger than a block */
	assert_non_null(large);
	memset(large, 'x', 3000);
	assert_string_equal(mem_arena_dup(&arena, SPAN("user@example.org")), "user@example.org");
	assert_string_equal(mem_arena_dup(&arena, span_of(NULL, 0)), "");
	assert_true(arena.used <= 5000);
	mem_arena_fini(&arena);
	assert_int_equal(arena.used, 0);
	assert_non_null(mem_arena_alloc(&arena, 100));
	mem_arena_fini(&arena);
}

static void a_full_arena_says_no_and_stays_whole(void **state)
{
	struct mem_arena arena;
	size_t count = 0;

	(void)state;
	mem_arena_init(&arena, 1600);
	while (mem_arena_alloc(&arena, 16))
		count++;
	assert_int_equal(count, 100);
	assert_null(mem_arena_alloc(&arena, 1));
	assert_null(mem_arena_dup(&arena, SPAN("x")));
	assert_non_null(mem_arena_alloc(&arena, 0));
	assert_null(mem_arena_alloc(&arena, SIZE_MAX));
	assert_null(mem_arena_alloc(&arena, SIZE_MAX - 14));
	assert_int_equal(arena.used, 1600);
	mem_arena_fini(&arena);
}

static void an_arena_that_was_reset_gives_the_same_memory_again(void **state)
{
	struct mem_arena arena;
	const char *first;

	(void)state;
	mem_arena_init(&arena, 5000);
	mem_arena_reset(&arena); /* nothing there yet */
	first = mem_arena_alloc(&arena, 100);
	mem_arena_reset(&arena);
	assert_int_equal(arena.used, 0);
	assert_ptr_equal(mem_arena_alloc(&arena, 100), first);
	while (mem_arena_alloc(&arena, 100))
		;
	mem_arena_reset(&arena);
	for (int i = 0; i < 40; i++)
		assert_non_null(mem_arena_alloc(&arena, 100));
	assert_non_null(mem_arena_alloc(&arena, 300));
	mem_arena_fini(&arena);
	assert_non_null(mem_arena_alloc(&arena, 3000));
	mem_arena_reset(&arena); /* a large block is not kept */
	assert_non_null(mem_arena_alloc(&arena, 4000));
	mem_arena_fini(&arena);
}

static void an_arena_does_not_waste_a_block_on_each_string(void **state)
{
	struct mem_arena arena;
	const char *before;

	(void)state;
	mem_arena_init(&arena, 100000);
	before = mem_arena_dup(&arena, SPAN("a"));
	for (int i = 0; i < 60; i++) {
		const char *next = mem_arena_dup(&arena, SPAN("b"));

		assert_int_equal(next - before, 16);
		before = next;
	}
	mem_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_things_are_copied_and_zeroed),
		cmocka_unit_test(nothing_is_a_thing_too),
		cmocka_unit_test(sizes_that_overflow_end_the_process),
		cmocka_unit_test(arenas_hand_out_aligned_memory_up_to_their_cap),
		cmocka_unit_test(a_full_arena_says_no_and_stays_whole),
		cmocka_unit_test(an_arena_that_was_reset_gives_the_same_memory_again),
		cmocka_unit_test(an_arena_does_not_waste_a_block_on_each_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
