#include "net/answer.h"

#include <stdio.h>

enum {
	HEADER = 12,
	FIXED = 10,       /* type, class, TTL and length of a record */
	SOA_NUMBERS = 20, /* behind the two names of an SOA; the last is MINIMUM */
	CLASS_IN = 1,
	NAME_MAX_WIRE = 255, /* RFC 1035, 2.3.4 */
	POINTERS = 127,      /* of one name: as many as it can have labels */
	RECORDS = 1024,      /* of answer and authority together, each of which is read once for every alias */
};

static unsigned byte_at(struct span message, size_t at)
{
	return (unsigned char)message.data[at];
}

static unsigned u16_at(struct span message, size_t at)
{
	return byte_at(message, at) << 8 | byte_at(message, at + 1);
}

static uint32_t u32_at(struct span message, size_t at)
{
	return (uint32_t)u16_at(message, at) << 16 | u16_at(message, at + 2);
}

/* One label as text; a byte that a host name has no use for becomes \DDD, so that no label can pose as two. */
static size_t put_label(char *out, struct span label)
{
	size_t n = 0;

	for (size_t i = 0; i < label.len; i++) {
		unsigned char c = (unsigned char)label.data[i];

		if (c > ' ' && c < 0x7f && c != '.' && c != '\\') {
			out[n++] = span_lower((char)c);
		} else {
			out[n++] = '\\';
			out[n++] = (char)('0' + c / 100);
			out[n++] = (char)('0' + c / 10 % 10);
			out[n++] = (char)('0' + c % 10);
		}
	}
	return n;
}

bool answer_take_name(struct span message, size_t *at, char text[ANSWER_NAME_SIZE])
{
	size_t pos = *at, end = 0, wire = 0, n = 0;
	size_t before = *at; /* a pointer must go to an earlier place than all before it: so it ends */
	unsigned pointers = 0;

	for (;;) {
		unsigned len;

		if (pos >= message.len)
			return false;
		len = byte_at(message, pos);
		if (len >= 0xc0) {
			size_t target;

			if (pos + 2 > message.len)
				return false;
			target = u16_at(message, pos) & 0x3fff;
			if (target >= before || ++pointers > POINTERS)
				return false;
			if (!end)
				end = pos + 2;
			before = pos = target;
			continue;
		}
		wire += len + 1;
		if (len > 63 || wire > NAME_MAX_WIRE || pos + 1 + len > message.len)
			return false;
		pos += 1 + len;
		if (len == 0)
			break;
		if (text) {
			if (n)
				text[n++] = '.';
			n += put_label(text + n, span_of(message.data + pos - len, len));
		}
	}
	if (text)
		text[n] = '\0';
	*at = end ? end : pos;
	return true;
}

/* The record at *at, whose owner's name stands there, and *at behind it. */
static bool take_record(struct span message, size_t *at, struct answer_record *out, size_t *out_data_at)
{
	size_t pos = *at, len;

	if (!answer_take_name(message, &pos, NULL) || message.len - pos < FIXED)
		return false;
	out->type = (uint16_t)u16_at(message, pos);
	if (u16_at(message, pos + 2) != CLASS_IN)
		out->type = 0; /* of another class (or OPT): nothing that is looked for */
	out->ttl_s = u32_at(message, pos + 4);
	if (out->ttl_s > INT32_MAX) /* RFC 2181, 8 */
		out->ttl_s = 0;
	len = u16_at(message, pos + 8);
	pos += FIXED;
	if (message.len - pos < len)
		return false;
	out->data = span_of(message.data + pos, len);
	*out_data_at = pos;
	*at = pos + len;
	return true;
}

/* The name at `at`, which is well-formed, is the one at the end of the chain. */
static bool is_owner(const struct answer *answer, size_t at)
{
	char owner[ANSWER_NAME_SIZE];

	return answer_take_name(answer->message, &at, owner) &&
	       span_equals_fold(span_str(owner), span_str(answer->name));
}

/* Moves answer->name along one alias of the answer section. */
static bool follow(struct answer *answer, bool *out_moved)
{
	size_t at = answer->at;

	*out_moved = false;
	for (size_t i = 0; i < answer->left; i++) {
		struct answer_record record;
		size_t owner_at = at, data_at;

		if (!take_record(answer->message, &at, &record, &data_at))
			return false;
		if (*out_moved || record.type != ANSWER_CNAME || !is_owner(answer, owner_at))
			continue;
		if (!answer_take_name(answer->message, &data_at, answer->name) || data_at > at)
			return false;
		if (record.ttl_s < answer->ttl_s)
			answer->ttl_s = record.ttl_s;
		*out_moved = true;
	}
	return true;
}

/* RFC 2308, 5: for how long "no" may be believed; 0 when the SOA cannot be read. */
static uint32_t read_soa(struct span message, size_t at, const struct answer_record *soa)
{
	size_t end = at + soa->data.len;
	uint32_t minimum;

	if (!answer_take_name(message, &at, NULL) || !answer_take_name(message, &at, NULL) || at + SOA_NUMBERS != end)
		return 0;
	minimum = u32_at(message, end - 4);
	return minimum < soa->ttl_s ? minimum : soa->ttl_s;
}

/* The authority section tells "no data" (SOA) from a referral (NS; RFC 2308, 2.2). */
static bool read_authority(struct answer *answer)
{
	size_t at = answer->at, authority = u16_at(answer->message, 8);
	bool ns = false, soa = false;

	if (answer->left + authority > RECORDS)
		return false;
	for (size_t i = 0; i < answer->left + authority; i++) {
		struct answer_record record;
		size_t data_at;

		if (!take_record(answer->message, &at, &record, &data_at))
			return false;
		if (i < answer->left)
			continue;
		ns = ns || record.type == ANSWER_NS;
		if (record.type == ANSWER_SOA && !soa)
			answer->negative_ttl_s = read_soa(answer->message, data_at, &record);
		soa = soa || record.type == ANSWER_SOA;
	}
	answer->referral = answer->left == 0 && ns && !soa;
	return true;
}

const char *answer_rcode_text(unsigned rcode)
{
	return rcode == ANSWER_SERVFAIL ? "SERVFAIL" : rcode == ANSWER_REFUSED ? "REFUSED" : "error answer";
}

bool answer_open(struct answer *answer, struct span message, const char *name, bool aliases)
{
	size_t at = HEADER, questions;
	bool moved = aliases;

	*answer = (struct answer){ .message = message, .ttl_s = INT32_MAX };
	if (message.len < HEADER || !(byte_at(message, 2) & 0x80) || strlen(name) >= ANSWER_NAME_SIZE)
		return false;
	answer->rcode = byte_at(message, 3) & 0x0f;
	answer->truncated = byte_at(message, 2) & 0x02;
	answer->authentic = byte_at(message, 3) & 0x20;
	snprintf(answer->name, sizeof(answer->name), "%s", name);
	questions = u16_at(message, 4);
	for (size_t i = 0; i < questions; i++) {
		if (!answer_take_name(message, &at, NULL) || message.len - at < 4)
			return false;
		at += 4;
	}
	answer->at = at;
	answer->left = u16_at(message, 6);
	if (!read_authority(answer))
		return false;
	for (int hop = 0; moved; hop++) {
		if (!follow(answer, &moved))
			return false;
		if (moved && hop == ANSWER_HOPS) {
			answer->looping = true;
			break;
		}
	}
	return true;
}

bool answer_next(struct answer *answer, uint16_t type, struct answer_record *out)
{
	while (answer->left) {
		struct answer_record record;
		size_t owner_at = answer->at, data_at;

		answer->left--;
		if (!take_record(answer->message, &answer->at, &record, &data_at)) {
			answer->left = 0;
			return false;
		}
		if (record.type != type || !is_owner(answer, owner_at))
			continue;
		if (record.ttl_s < answer->ttl_s)
			answer->ttl_s = record.ttl_s;
		*out = record;
		return true;
	}
	return false;
}
