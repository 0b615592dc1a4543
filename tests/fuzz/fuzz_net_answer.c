/* DNS messages from a resolver: every record stays inside the message, and reading ends, whatever was asked for. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "net/answer.h"
#include "net/answer_records.h"

enum { NAME_MOST = 253 };

static volatile char touched;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_addresses(struct span message)
{
	static const uint16_t types[] = { ANSWER_A, ANSWER_AAAA, ANSWER_CNAME };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct answer answer;
		struct answer_record record;

		if (!answer_open(&answer, message, "mx.example.org", true))
			continue;
		assert(memchr(answer.name, '\0', sizeof(answer.name)));
		while (answer_next(&answer, types[i], &record)) {
			assert(record.data.data >= message.data &&
			       record.data.data + record.data.len <= message.data + message.len);
			assert(record.type == types[i] && answer.ttl_s <= record.ttl_s);
		}
	}
}

static void check_record(const struct dns_record *record, enum dns_type type)
{
	switch (type) {
	case DNS_MX:
	case DNS_SRV:
	case DNS_CNAME:
		assert(strlen(record->name) <= NAME_MOST);
		for (const char *c = record->name; *c; c++)
			assert(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", *c));
		break;
	case DNS_TLSA: assert(record->data.len > 0); break;
	case DNS_TXT:
		for (size_t i = 0; i < record->data.len; i++)
			touched = record->data.data[i];
		break;
	}
}

static void read_records(struct span message)
{
	for (enum dns_type type = DNS_MX; type <= DNS_CNAME; type++) {
		struct answer_records read;

		answer_records_read(&read, message, "mx.example.org", type);
		assert((read.status == DNS_OK) == (read.count > 0) && read.count <= DNS_RECORDS_MAX);
		assert((read.status == DNS_TEMPORARY) == (read.detail != NULL));
		for (size_t i = 0; i < read.count; i++)
			check_record(&read.list[i], type);
		answer_records_fini(&read);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span message = span_of(data, size);

	if (size > 4096)
		return 0;
	read_addresses(message);
	read_records(message);
	return 0;
}
