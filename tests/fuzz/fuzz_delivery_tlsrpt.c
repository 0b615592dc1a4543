/* Counts of TLS sessions as they are kept: what can be read can be written, and is the same; and makes a report. Also who
 * wants reports, of a TXT record. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "delivery/tlsrpt_count.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_rua(struct span txt)
{
	struct tlsreport_rua *rua = MEM_NEW(struct tlsreport_rua);
	struct address address;

	if (tlsreport_rua(txt, rua)) {
		assert(rua->mailto_count + rua->https_count > 0);
		for (size_t i = 0; i < rua->mailto_count; i++)
			assert(address_parse(span_str(rua->mailto[i]), 0, &address) == ADDRESS_OK);
		for (size_t i = 0; i < rua->https_count; i++)
			assert(strlen(rua->https[i]) > 8);
	}
	mem_free(rua);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tlsrpt_count *count = tlsrpt_count_read(span_of(data, size));
	struct tlsreport report = { .organization = "o", .contact = "c", .id = "i" };
	struct buf out;

	read_rua(span_of(data, size));
	if (!count)
		return 0;
	buf_init(&out, size);
	assert(tlsrpt_count_write(&out, count) && span_equals(buf_span(&out), span_of(data, size)));
	buf_fini(&out);
	report.domain = count->domain;
	report.day = count->day;
	report.policies = (const struct tlsreport_policy *const *)count->policies;
	report.policy_count = count->policy_count;
	buf_init(&out, 1 << 20);
	tlsreport_json(&out, &report);
	buf_fini(&out);
	tlsrpt_count_free(count);
	return 0;
}
