/* The kernel's lists: whatever they say, nothing is read beyond them and the facts keep their bounds. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "net/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netlink_reading reading;
	struct netfacts both;
	char *copy = mem_dup(data, size ? size : 1);

	netlink_init(&reading);
	/* Twice: what the first reading learnt of addresses the second one may use. */
	for (int i = 0; i < 2; i++)
		netlink_read(&reading, span_of(copy, size));
	assert(reading.addressed_count <= NETFACTS_INTERFACES);
	assert(reading.facts.interface_count <= NETFACTS_INTERFACES);
	assert(reading.facts.gateway_count <= NETFACTS_GATEWAYS);
	for (size_t i = 0; i < reading.facts.interface_count; i++)
		assert(memchr(reading.facts.interfaces[i].name, '\0', NETFACTS_NAME_SIZE));
	assert(netfacts_equal(&reading.facts, &reading.facts));
	netfacts_both(&reading.facts, &reading.facts, &both);
	assert(netfacts_equal(&both, &reading.facts));
	mem_free(copy);
	return 0;
}
