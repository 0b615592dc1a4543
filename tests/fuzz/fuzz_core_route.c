/* A target of any bytes, and behind a NUL a recipient: targets are read to their end, and what is written can be read. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "route.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const char *target)
{
	struct span rest = span_str(target), name;
	size_t lanes = 0;
	uint32_t weight;

	while (route_next(&rest, &name, &weight)) {
		assert(weight <= ROUTE_WEIGHT_MAX && name.len <= strlen(target));
		lanes++;
	}
	assert(rest.len == 0);
	return lanes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct config config = { .hostname = "host.example" };
	char *text = mem_span_dup(span_of(data, size));
	const char *recipient = strlen(text) < size ? text + strlen(text) + 1 : "";
	struct config_route route = { .target = text };
	struct address address;
	struct buf out, again, domain;

	buf_init(&out, size + 4096);
	buf_init(&again, size + 4096);
	buf_init(&domain, ADDRESS_DOMAIN_SIZE);
	count(text);
	if (address_parse(span_str(recipient), ADDRESS_UTF8 | ADDRESS_BARE, &address) == ADDRESS_OK) {
		route_target_of(&config, &route, address.text, &out);
		/* What an address can be has a lane, whose name stays the same when it is read as a domain. */
		assert(route_domain(&config, address.text, &domain));
		assert(route_place(text, ROUTE_DIRECT) < 0 || count(buf_cstr(&out)) == count(text));
		buf_printf(&again, "x@%s", buf_cstr(&domain));
		buf_clear(&out);
		assert(route_domain(&config, buf_cstr(&again), &out));
		assert(span_equals(buf_span(&out), buf_span(&domain)));
	}
	buf_fini(&out);
	buf_fini(&again);
	buf_fini(&domain);
	mem_free(text);
	return 0;
}
