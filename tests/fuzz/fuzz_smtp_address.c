/* What is read as an address is short, clean, and read as itself again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct address *a, unsigned options)
{
	struct span text = span_of(a->text, a->len), local = address_local(text);
	struct buf meaning, quoted;
	struct address again;

	assert(strlen(a->text) == a->len && a->len <= ADDRESS_PATH_MAX - 2);
	assert(local.len == a->local_len && local.len <= ADDRESS_LOCAL_MAX);
	assert(address_domain(text).len <= ADDRESS_DOMAIN_MAX);
	for (size_t i = 0; i < a->len; i++)
		assert((unsigned char)a->text[i] >= ' ' && a->text[i] != 0x7f);
	assert((options & ADDRESS_UTF8) ? text_is_utf8(text) : text_is_ascii(text));
	assert(address_parse(text, options, &again) == ADDRESS_OK && strcmp(again.text, a->text) == 0);
	assert(address_equals(text, span_of(again.text, again.len)));
	buf_init(&meaning, 256);
	buf_init(&quoted, 256);
	assert(address_unquote(local, &meaning) && address_quote(buf_span(&meaning), &quoted));
	assert(a->len == 0 || span_equals(buf_span(&quoted), local));
	buf_fini(&meaning);
	buf_fini(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char ascii[ADDRESS_DOMAIN_SIZE];
	struct address a;
	struct span s;
	size_t taken;
	unsigned options;

	if (!size)
		return 0;
	options = data[0] & 15u;
	s = span_of(data + 1, size - 1);
	if (address_path(s, options, &a, &taken) == ADDRESS_OK) {
		assert(taken <= s.len && taken <= ADDRESS_PATH_MAX);
		check(&a, options | ADDRESS_NULL);
	}
	if (address_parse(s, options, &a) == ADDRESS_OK)
		check(&a, options);
	if (address_domain_ascii(s, ascii))
		assert(text_is_ascii(span_str(ascii)) && address_same_domain(s, span_str(ascii)));
	return 0;
}
