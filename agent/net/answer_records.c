#include "net/answer_records.h"

#include <ctype.h>
#include <string.h>

#include "net/addr.h"

enum {
	TEXT_BYTES = 128 * 1024, /* names and strings: twice the largest message */
	HOST_NAME_MAX_LEN = 253,
	PREFERENCE = 2,
	SRV_NUMBERS = 6,
	TLSA_NUMBERS = 3,
};

enum reading { READ, PASSED_OVER, MALFORMED };

uint16_t answer_records_type(enum dns_type type)
{
	switch (type) {
	case DNS_MX: return ANSWER_MX;
	case DNS_SRV: return ANSWER_SRV;
	case DNS_TLSA: return ANSWER_TLSA;
	case DNS_TXT: return ANSWER_TXT;
	case DNS_CNAME: return ANSWER_CNAME;
	}
	return 0;
}

const char *answer_records_type_name(enum dns_type type)
{
	switch (type) {
	case DNS_MX: return "MX";
	case DNS_SRV: return "SRV";
	case DNS_TLSA: return "TLSA";
	case DNS_TXT: return "TXT";
	case DNS_CNAME: return "CNAME";
	}
	return "";
}

static unsigned u8_of(struct span data, size_t at)
{
	return (unsigned char)data.data[at];
}

static uint16_t u16_of(struct span data, size_t at)
{
	return (uint16_t)(u8_of(data, at) << 8 | u8_of(data, at + 1));
}

/* Letters, digits, '-', '_' and dots, and no address; what else there was became a backslash. "" is the root. */
static bool can_be_host(const char *name)
{
	struct sockaddr_storage addr;
	socklen_t len;

	if (strlen(name) > HOST_NAME_MAX_LEN || addr_literal(name, &addr, &len))
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return false;
	return true;
}

/* The name behind the first `skip` bytes of the data, which has to end where the data does. */
static enum reading read_host(struct answer_records *out, const struct answer *answer, struct span data, size_t skip,
			      struct dns_record *to)
{
	size_t at = (size_t)(data.data - answer->message.data), end = at + data.len;
	char name[ANSWER_NAME_SIZE];

	if (data.len <= skip)
		return MALFORMED;
	at += skip;
	if (!answer_take_name(answer->message, &at, name) || at != end)
		return MALFORMED;
	if (!can_be_host(name))
		return PASSED_OVER;
	to->name = mem_arena_dup(&out->text, span_str(name));
	return to->name ? READ : MALFORMED;
}

/* RFC 1035, 3.3.14: one string or more, each behind its length. */
static enum reading read_text(struct answer_records *out, struct span data, struct dns_record *to)
{
	char *text;
	size_t len = 0;

	if (data.len == 0)
		return MALFORMED;
	text = mem_arena_alloc(&out->text, data.len);
	if (!text)
		return MALFORMED;
	for (size_t at = 0; at < data.len; at += 1 + u8_of(data, at)) {
		struct span string = span_from(data, at + 1);

		if (string.len < u8_of(data, at))
			return MALFORMED;
		memcpy(text + len, string.data, u8_of(data, at));
		len += u8_of(data, at);
	}
	to->data = span_of(text, len);
	return READ;
}

static enum reading read_tlsa(struct span data, struct dns_record *to)
{
	if (data.len <= TLSA_NUMBERS)
		return MALFORMED;
	to->usage = (uint8_t)u8_of(data, 0);
	to->selector = (uint8_t)u8_of(data, 1);
	to->matching = (uint8_t)u8_of(data, 2);
	to->data = span_from(data, TLSA_NUMBERS);
	return READ;
}

static enum reading read_record(struct answer_records *out, const struct answer *answer, struct span data,
				enum dns_type type, struct dns_record *to)
{
	*to = (struct dns_record){ .name = "" };
	switch (type) {
	case DNS_MX:
		if (data.len > PREFERENCE)
			to->preference = u16_of(data, 0);
		return read_host(out, answer, data, PREFERENCE, to);
	case DNS_SRV:
		if (data.len > SRV_NUMBERS) {
			to->preference = u16_of(data, 0);
			to->weight = u16_of(data, 2);
			to->port = u16_of(data, 4);
		}
		return read_host(out, answer, data, SRV_NUMBERS, to);
	case DNS_CNAME: return read_host(out, answer, data, 0, to);
	case DNS_TLSA: return read_tlsa(data, to);
	case DNS_TXT: return read_text(out, data, to);
	}
	return MALFORMED;
}

static void fail(struct answer_records *out, const char *detail)
{
	out->status = DNS_TEMPORARY;
	out->detail = detail;
	out->count = 0;
	out->ttl_s = 0;
}

static void deny(struct answer_records *out, const struct answer *answer, enum dns_status status)
{
	out->status = status;
	out->ttl_s = answer->negative_ttl_s < answer->ttl_s ? answer->negative_ttl_s : answer->ttl_s;
}

static void read_list(struct answer_records *out, struct answer *answer, enum dns_type type)
{
	struct answer_record record;
	size_t passed_over = 0;

	while (out->count < DNS_RECORDS_MAX && answer_next(answer, answer_records_type(type), &record)) {
		switch (read_record(out, answer, record.data, type, &out->list[out->count])) {
		case READ: out->count++; break;
		case PASSED_OVER: passed_over++; break;
		case MALFORMED: fail(out, "malformed record"); return;
		}
	}
	if (out->count) {
		out->status = DNS_OK;
		out->ttl_s = answer->ttl_s;
	} else if (passed_over) {
		fail(out, "no record names what can be a host");
	} else if (answer->looping) {
		fail(out, "the aliases run in a circle");
	} else if (answer->referral) {
		fail(out, "incomplete answer");
	} else {
		deny(out, answer, DNS_NODATA);
	}
}

void answer_records_read(struct answer_records *out, struct span message, const char *name, enum dns_type type)
{
	struct answer answer;

	memset(out, 0, sizeof(*out));
	mem_arena_init(&out->text, TEXT_BYTES);
	if (!answer_open(&answer, message, name, type != DNS_CNAME)) {
		fail(out, "malformed answer");
		return;
	}
	memcpy(out->name, answer.name, sizeof(out->name));
	out->authentic = answer.authentic;
	if (answer.truncated) {
		fail(out, "incomplete answer");
	} else if (answer.rcode == ANSWER_NXDOMAIN) {
		deny(out, &answer, DNS_NXDOMAIN);
	} else if (answer.rcode != ANSWER_NOERROR) {
		fail(out, answer_rcode_text(answer.rcode));
	} else {
		read_list(out, &answer, type);
	}
}

void answer_records_fini(struct answer_records *records)
{
	mem_arena_fini(&records->text);
}
