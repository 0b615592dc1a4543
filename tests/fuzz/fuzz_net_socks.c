/* SOCKS5 answers: whole and byte by byte they mean the same, and no byte behind them is asked for. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "net/socks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum socks_verdict play(struct socks *s, bool has_user, const uint8_t *data, size_t size, size_t piece,
			       size_t *out_taken)
{
	struct socks_setup setup = {
		.host = "mx.example.org", .port = 25, .user = has_user ? "me" : NULL, .password = "x"
	};
	enum socks_verdict verdict = SOCKS_MORE;
	size_t at = 0;

	assert(socks_init(s, &setup));
	while (verdict == SOCKS_MORE && at < size) {
		size_t len = socks_wants(s);
		char *copy;

		assert(len > 0 && len <= SOCKS_REPLY_MAX);
		len = len < size - at ? len : size - at;
		len = len < piece ? len : piece;
		copy = mem_dup(data + at, len);
		verdict = socks_feed(s, span_of(copy, len));
		mem_free(copy);
		at += len;
		socks_sent(s, socks_output(s).len);
	}
	assert((verdict == SOCKS_MORE) == (socks_wants(s) > 0));
	assert((verdict == SOCKS_BAD || verdict == SOCKS_REFUSED) == (socks_text(s)[0] != '\0'));
	*out_taken = at;
	return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct socks whole, cut;
	size_t taken, cut_taken;
	bool has_user = size && data[0] & 1;

	if (!size)
		return 0;
	assert(play(&whole, has_user, data + 1, size - 1, SIZE_MAX, &taken) ==
	       play(&cut, has_user, data + 1, size - 1, 1, &cut_taken));
	assert(strcmp(whole.text, cut.text) == 0);
	assert(whole.text[0] || taken == cut_taken);
	return 0;
}
