/* PROXY headers: whole and byte by byte they mean the same, and no byte behind them counts. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "net/addr.h"
#include "net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole, cut;
	size_t taken = 0, cut_taken = 0, len = 0;
	const char *why = NULL;
	enum proxy_verdict verdict = proxy_parse(span_of(data, size), &whole, &taken, &why), in_pieces = PROXY_MORE;

	for (; len <= size && in_pieces == PROXY_MORE; len++) {
		char *copy = mem_dup(data, len);

		in_pieces = proxy_parse(span_of(copy, len), &cut, &cut_taken, &why);
		mem_free(copy);
	}
	assert(in_pieces == verdict);
	if (verdict == PROXY_DONE) {
		char text[ADDR_TEXT_SIZE];

		assert(taken <= size && taken <= PROXY_MAX && taken == cut_taken && taken == len - 1);
		assert(whole.is_local == cut.is_local && memcmp(&whole.peer, &cut.peer, sizeof(cut.peer)) == 0);
		assert(whole.is_local || addr_host(&whole.peer, text)[0]);
	} else if (verdict == PROXY_MORE) {
		assert(size < PROXY_MAX);
	}
	return 0;
}
