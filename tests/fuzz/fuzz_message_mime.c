/* Encodings: always within their promised size, clean lines, and encoded words say what they were made of. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "message/header.h"
#include "message/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(struct span s, size_t most)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '\r' && i + 1 < s.len && s.data[i + 1] == '\n') {
			column = 0;
			i++;
		} else if ((c < ' ' && c != '\t') || c > 126 || ++column > most) {
			abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	struct buf out, back, clean;

	buf_init(&out, 8 * size + 100);
	buf_init(&back, 8 * size + 100);
	buf_init(&clean, 8 * size + 100);
	if (!mime_quoted_printable(&out, in))
		abort();
	check_lines(buf_span(&out), 76);
	buf_clear(&out);
	if (!mime_words_decode(&out, in) || !header_text(&back, in, 100) || back.len > 100)
		abort();
	buf_clear(&out);
	buf_clear(&back);
	if (!mime_words_encode(&out, in, false))
		abort();
	check_lines(buf_span(&out), SIZE_MAX);
	/* What was encoded comes back; blanks at the ends are not part of a value. */
	if (!text_clean(&clean, span_trim(in), SIZE_MAX) || !mime_words_decode(&back, buf_span(&out)))
		abort();
	if (memmem(out.data ? out.data : "", out.len, "=?UTF-8?B?", 10) &&
	    !span_equals(buf_span(&clean), buf_span(&back)))
		abort();
	buf_fini(&out);
	buf_fini(&back);
	buf_fini(&clean);
	return 0;
}
