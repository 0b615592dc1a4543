/* Whatever stands in a list: addresses have no control bytes, and the list comes to an end. */
#include <stdint.h>
#include <stdlib.h>

#include "message/addresslist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum addresslist_verdict verdict;
	struct addresslist l;
	struct buf address;
	size_t count = 0;

	buf_init(&address, ADDRESSLIST_MAX);
	addresslist_init(&l, span_of(data, size));
	while ((verdict = addresslist_next(&l, &address)) == ADDRESSLIST_ADDRESS) {
		struct span s = buf_span(&address);

		if (s.len == 0 || ++count > size)
			abort();
		for (size_t i = 0; i < s.len; i++)
			if ((unsigned char)s.data[i] < ' ' || s.data[i] == 127)
				abort();
	}
	if (verdict == ADDRESSLIST_BAD && !l.error)
		abort();
	if (addresslist_next(&l, &address) != ADDRESSLIST_END)
		abort();
	buf_fini(&address);
	return 0;
}
