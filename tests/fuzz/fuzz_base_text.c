/* The small readers of base/text: what one writes the other reads, and nothing leaves its bounds. */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void there_and_back(struct span s)
{
	struct buf coded, plain;

	buf_init(&coded, 8 * s.len + 8);
	buf_init(&plain, 2 * s.len + 8);
	assert(text_base64_encode(&coded, s) && text_base64_decode(&plain, buf_span(&coded)));
	assert(span_equals(buf_span(&plain), s));
	buf_clear(&coded);
	buf_clear(&plain);
	assert(text_xtext_encode(&coded, s) && text_xtext_decode(&plain, buf_span(&coded)));
	assert(span_equals(buf_span(&plain), s));
	buf_fini(&coded);
	buf_fini(&plain);
}

/* What decodes has one form only. */
static void back_and_there(struct span s)
{
	struct buf plain, coded;

	buf_init(&plain, s.len + 8);
	buf_init(&coded, 8 * s.len + 8);
	if (text_base64_decode(&plain, s)) {
		assert(text_base64_encode(&coded, buf_span(&plain)));
		assert(span_equals(buf_span(&coded), s));
	}
	assert(plain.len || !text_xtext_decode(&plain, s) || plain.len <= s.len);
	buf_fini(&plain);
	buf_fini(&coded);
}

static void clean(struct span s, size_t max)
{
	struct buf out, again;

	buf_init(&out, max + 8);
	buf_init(&again, max + 8);
	assert(text_clean(&out, s, max));
	assert(out.len <= max && text_is_utf8(buf_span(&out)));
	for (size_t i = 0; i < out.len; i++)
		assert((unsigned char)buf_span(&out).data[i] >= ' ' && buf_span(&out).data[i] != 0x7f);
	/* Clean text stays as it is, but for a blank at a cut end. */
	assert(text_clean(&again, span_trim(buf_span(&out)), max));
	assert(span_equals(buf_span(&again), span_trim(buf_span(&out))));
	buf_fini(&out);
	buf_fini(&again);
}

static void numbers(struct span s)
{
	char id_text[TEXT_ID_SIZE], duration[TEXT_DURATION_SIZE], size_text[TEXT_SIZE_SIZE];
	uint64_t id = 0, number = 0;
	uint32_t count;
	int64_t ms = 0;

	if (text_id(s, &id))
		assert(span_equals_fold(span_str(text_id_print(id, id_text)), s));
	if (text_duration(s, &ms))
		assert(ms >= 0 && text_duration_print(ms, duration)[0]);
	if (text_size(s, &number))
		assert(number <= (uint64_t)1 << 62 && text_size_print(number, size_text)[0]);
	if (text_number(s, 1000, &number))
		assert(number <= 1000);
	if (text_rate(s, &count, &ms))
		assert(ms > 0);
}

static void compare(struct span s)
{
	struct span left = span_first(s, s.len / 2), right = span_from(s, s.len / 2);
	char *a = mem_span_dup(left), *b = mem_span_dup(right);

	if (left.len < 200 && right.len < 200) {
		(void)text_glob(a, right);
		assert(text_glob("*", right));
		assert(text_distance(a, b) == text_distance(b, a));
		assert(strlen(a) > 64 || text_distance(a, a) == 0);
	}
	mem_free(a);
	mem_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_of(data, size);

	if (size > 2048)
		return 0;
	there_and_back(s);
	back_and_there(s);
	clean(s, size ? data[0] : 0);
	clean(s, 4096);
	numbers(s);
	compare(s);
	return 0;
}
