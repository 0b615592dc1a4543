#include "net/tlsa.h"

#include <stdint.h>
#include <stdio.h>

#include "base/crypto.h"

enum { DER_SEQUENCE = 0x30 };

bool tlsa_der(struct span s, struct span *out_element, struct span *out_content)
{
	const unsigned char *at = (const unsigned char *)s.data;
	size_t head = 2, len;

	if (s.len < 2)
		return false;
	len = at[1];
	if (len > 0x80) {
		size_t octets = len & 0x7f;

		if (octets > 2 || s.len < 2 + octets)
			return false;
		len = octets == 1 ? at[2] : (size_t)at[2] << 8 | at[3];
		head += octets;
	} else if (len == 0x80) {
		return false; /* of indefinite length: not DER */
	}
	if (s.len - head < len)
		return false;
	*out_element = span_of(s.data, head + len);
	*out_content = span_of(s.data + head, len);
	return true;
}

static bool is_one_sequence(struct span s)
{
	struct span element, content;

	return s.len && (unsigned char)s.data[0] == DER_SEQUENCE && tlsa_der(s, &element, &content) &&
	       element.len == s.len;
}

bool tlsa_is_usable(const struct tls_tlsa *record)
{
	if ((record->usage != TLSA_DANE_TA && record->usage != TLSA_DANE_EE) || record->selector > TLSA_SPKI)
		return false;
	switch (record->matching) {
	case TLSA_FULL: return is_one_sequence(record->data);
	case TLSA_SHA256: return record->data.len == CRYPTO_SHA256_LEN;
	case TLSA_SHA512: return record->data.len == CRYPTO_SHA512_LEN;
	}
	return false;
}

/* A better digest of the same thing; whole certificates and keys are no digests, and always count. */
static bool is_outdone(const struct tls_tlsa *record, const struct tls_tlsa *records, size_t count)
{
	for (size_t i = 0; record->matching == TLSA_SHA256 && i < count; i++)
		if (records[i].matching == TLSA_SHA512 && records[i].usage == record->usage &&
		    records[i].selector == record->selector && tlsa_is_usable(&records[i]))
			return true;
	return false;
}

size_t tlsa_choose(const struct tls_tlsa *records, size_t count, struct tls_tlsa *out)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (tlsa_is_usable(&records[i]) && !is_outdone(&records[i], records, count))
			out[n++] = records[i];
	return n;
}

bool tlsa_fits(const struct tls_tlsa *record, struct span certificate, struct span spki)
{
	struct span what = record->selector == TLSA_SPKI ? spki : certificate;
	uint8_t digest[CRYPTO_SHA512_LEN];

	switch (record->matching) {
	case TLSA_FULL: return span_equals(record->data, what);
	case TLSA_SHA256:
		crypto_hash(CRYPTO_SHA256, what, digest);
		return span_equals(record->data, span_of(digest, CRYPTO_SHA256_LEN));
	case TLSA_SHA512:
		crypto_hash(CRYPTO_SHA512, what, digest);
		return span_equals(record->data, span_of(digest, CRYPTO_SHA512_LEN));
	}
	return false;
}

char *tlsa_text(const struct tls_tlsa *record, char out[TLSA_TEXT_SIZE])
{
	snprintf(out, TLSA_TEXT_SIZE, "%u %u %u", record->usage, record->selector, record->matching);
	return out;
}
