/* A report about anything, or a digest of two, is clean lines of ASCII, or of UTF-8 where that is allowed, and its parts are where they
 * should be. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "message/dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input up to the next zero byte. */
static char *take(struct span *in)
{
	struct span word = span_first(*in, span_find(*in, '\0'));

	*in = span_from(*in, word.len + 1);
	return mem_span_dup(word);
}

static void check(struct span report, bool utf8)
{
	size_t column = 0, marks = 0;

	for (size_t i = 0; i < report.len; i++) {
		unsigned char c = (unsigned char)report.data[i];

		if (c == '\r' && i + 1 < report.len && report.data[i + 1] == '\n') {
			column = 0;
			i++;
			continue;
		}
		if (column == 0 && report.len - i >= 8 && memcmp(report.data + i, "--=_bbbb", 8) == 0)
			marks++;
		if ((c < ' ' && c != '\t') || c == 127 || (c > 126 && !utf8) || ++column > 998)
			abort();
	}
	if (marks != 4)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	char *words[12];
	struct dsn_rcpt rcpts[2];
	struct dsn_report r;
	struct buf out;

	if (size < 1)
		return 0;
	in = span_from(in, 1);
	for (size_t i = 0; i < 12; i++)
		words[i] = take(&in);
	rcpts[0] = (struct dsn_rcpt){ .address = words[0],
				      .orcpt = words[1],
				      .action = data[0] % 6,
				      .reply = words[2],
				      .host = words[3],
				      .last_ms = 1,
				      .retry_until_ms = 2 };
	rcpts[1] = (struct dsn_rcpt){
		.address = words[4], .action = data[0] / 6 % 6, .status = words[5], .reply = words[6]
	};
	r = (struct dsn_report){ .hostname = words[7],
				 .from = "postmaster@x",
				 .sender = words[8],
				 .report_id = "r@x",
				 .boundary = "bbbb",
				 .id = "0abc",
				 .message_id = words[9],
				 .subject = words[10],
				 .envid = words[11],
				 .utf8 = data[0] / 36 % 2,
				 .deliver_by_ms = data[0] / 72,
				 .rcpts = rcpts,
				 .rcpt_count = 2,
				 .header = dsn_header(in) };
	/* The boundary is not to be guessed: neither by us. */
	if (memmem(data, size, "bbbb", 4) == NULL) {
		buf_init(&out, dsn_head_max(2));
		if (!dsn_head(&out, &r) || !dsn_tail(&out, &r))
			abort();
		check(buf_span(&out), r.utf8);
		if (r.utf8 && !text_is_utf8(buf_span(&out)))
			abort();
		buf_fini(&out);
		buf_init(&out, dsn_digest_max(2, 4));
		if (!dsn_digest(&out, &r, (struct dsn_report[]){ r, r }, 2))
			abort();
		check(buf_span(&out), r.utf8);
		buf_fini(&out);
	}
	for (size_t i = 0; i < 12; i++)
		mem_free(words[i]);
	return 0;
}
