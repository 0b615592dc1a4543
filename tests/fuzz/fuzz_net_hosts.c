/* Lines of /etc/hosts, resolv.conf, and addresses as text. */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "net/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hosts_servers servers;
	struct dns_address address;
	char *text = mem_span_dup(span_of(data, size)), shown[ADDR_TEXT_SIZE], again[ADDR_TEXT_SIZE];

	if (hosts_line(span_of(data, size), "mx.example.org", &address))
		assert(addr_host(&address.addr, shown)[0]);
	hosts_servers(span_of(data, size), &servers);
	assert(servers.count <= HOSTS_SERVERS);
	for (size_t i = 0; i < servers.count; i++)
		assert(addr_port(&servers.list[i].addr) == 53);
	if (addr_parse(text, 25, &address.addr, &address.len)) {
		addr_text(&address.addr, shown);
		assert(addr_parse(shown, 0, &address.addr, &address.len));
		addr_text(&address.addr, again);
		assert(strcmp(shown, again) == 0);
	}
	mem_free(text);
	return 0;
}
