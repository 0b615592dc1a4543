#include "net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/text.h"

static const char signature[12] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static enum proxy_verdict bad(const char *why, const char **out_why)
{
	*out_why = why;
	return PROXY_BAD;
}

static void fill(struct sockaddr_storage *out, int family, const void *address, uint16_t port_net)
{
	memset(out, 0, sizeof(*out));
	if (family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)out;

		v4->sin_family = AF_INET;
		v4->sin_port = port_net;
		memcpy(&v4->sin_addr, address, sizeof(v4->sin_addr));
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

		v6->sin6_family = AF_INET6;
		v6->sin6_port = port_net;
		memcpy(&v6->sin6_addr, address, sizeof(v6->sin6_addr));
	}
}

/* ---------------------------------------------------------------- version 1 */

/* One blank, then a word: of the line without its CRLF. */
static bool word(struct span *line, struct span *out)
{
	if (line->len == 0 || line->data[0] != ' ')
		return false;
	*line = span_from(*line, 1);
	*out = span_first(*line, span_find(*line, ' '));
	*line = span_from(*line, out->len);
	return out->len > 0;
}

static bool read_address(struct span text, int family, uint8_t out[16])
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	return inet_pton(family, copy, out) == 1;
}

/* Without leading zeros. */
static bool read_port(struct span text, uint16_t *out_net)
{
	uint64_t port;

	if (!text_number(text, UINT16_MAX, &port) || (text.len > 1 && text.data[0] == '0'))
		return false;
	*out_net = htons((uint16_t)port);
	return true;
}

/* " TCP4 192.0.2.1 198.51.100.1 56324 25" */
static enum proxy_verdict read_line(struct span line, struct proxy_header *out, const char **out_why)
{
	struct span protocol, source, destination, source_port, destination_port;
	uint8_t from[16], to[16];
	uint16_t from_port, to_port;
	int family = AF_INET6;

	if (!word(&line, &protocol))
		return bad("the PROXY line names no protocol", out_why);
	if (span_equals(protocol, SPAN("UNKNOWN"))) {
		out->is_local = true;
		return PROXY_DONE;
	}
	if (span_equals(protocol, SPAN("TCP4")))
		family = AF_INET;
	else if (!span_equals(protocol, SPAN("TCP6")))
		return bad("the PROXY line names neither TCP4, TCP6 nor UNKNOWN", out_why);
	if (!word(&line, &source) || !word(&line, &destination) || !word(&line, &source_port) ||
	    !word(&line, &destination_port) || line.len)
		return bad("the PROXY line does not hold two addresses and two ports", out_why);
	if (!read_address(source, family, from) || !read_address(destination, family, to))
		return bad("an address of the PROXY line is not of its protocol", out_why);
	if (!read_port(source_port, &from_port) || !read_port(destination_port, &to_port))
		return bad("a port of the PROXY line is not a number up to 65535", out_why);
	fill(&out->peer, family, from, from_port);
	fill(&out->local, family, to, to_port);
	return PROXY_DONE;
}

static enum proxy_verdict parse_line(struct span bytes, struct proxy_header *out, size_t *out_taken,
				     const char **out_why)
{
	struct span seen = span_first(bytes, PROXY_V1_MAX);
	size_t cr = span_find(seen, '\r');
	enum proxy_verdict verdict;

	if (memchr(seen.data, '\n', cr))
		return bad("the PROXY line does not end in CRLF", out_why);
	if (cr + 1 >= PROXY_V1_MAX)
		return bad("the PROXY line is too long", out_why);
	if (cr + 1 >= seen.len)
		return PROXY_MORE;
	if (seen.data[cr + 1] != '\n')
		return bad("the PROXY line does not end in CRLF", out_why);
	*out = (struct proxy_header){ .version = 1 };
	verdict = read_line(span_from(span_first(seen, cr), 5), out, out_why);
	if (verdict == PROXY_DONE)
		*out_taken = cr + 2;
	return verdict;
}

/* ---------------------------------------------------------------- version 2 */

static size_t number16(const char *at)
{
	return (size_t)(uint8_t)at[0] << 8 | (uint8_t)at[1];
}

/* Type 1, length 2, value: nothing in them is for us, but they must fill their room exactly. */
static bool are_tlvs(struct span s)
{
	while (s.len) {
		size_t len;

		if (s.len < 3)
			return false;
		len = 3 + number16(s.data + 1);
		if (s.len < len)
			return false;
		s = span_from(s, len);
	}
	return true;
}

static enum proxy_verdict read_block(int family, size_t width, struct span block, struct proxy_header *out,
				     const char **out_why)
{
	uint16_t ports[2];

	if (block.len < 2 * width + 4)
		return bad("the PROXY header is too short for its addresses", out_why);
	if (!are_tlvs(span_from(block, 2 * width + 4)))
		return bad("a TLV of the PROXY header does not fit into it", out_why);
	memcpy(ports, block.data + 2 * width, 4);
	fill(&out->peer, family, block.data, ports[0]);
	fill(&out->local, family, block.data + width, ports[1]);
	return PROXY_DONE;
}

/* `kind` is family and transport; datagrams never come over a stream. */
static enum proxy_verdict read_addresses(uint8_t kind, struct span block, struct proxy_header *out,
					 const char **out_why)
{
	enum { UNSPECIFIED = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX_STREAM = 0x31, UNIX_BYTES = 216 };

	switch (kind) {
	case TCP4: return read_block(AF_INET, 4, block, out, out_why);
	case TCP6: return read_block(AF_INET6, 16, block, out, out_why);
	case UNIX_STREAM:
		if (block.len < UNIX_BYTES || !are_tlvs(span_from(block, UNIX_BYTES)))
			return bad("the PROXY header is too short for its addresses", out_why);
		out->is_local = true;
		return PROXY_DONE;
	case UNSPECIFIED: out->is_local = true; return PROXY_DONE;
	default: return bad("the PROXY header names a protocol that is not TCP", out_why);
	}
}

static enum proxy_verdict parse_binary(struct span bytes, struct proxy_header *out, size_t *out_taken,
				       const char **out_why)
{
	enum { VERSION = 0x20, LOCAL = 0, PROXIED = 1 };
	enum proxy_verdict verdict;
	uint8_t command;
	size_t len;

	if (bytes.len < PROXY_V2_HEAD)
		return PROXY_MORE;
	command = (uint8_t)bytes.data[12];
	len = number16(bytes.data + 14);
	if ((command & 0xf0) != VERSION || (command & 0x0f) > PROXIED)
		return bad("the PROXY header has a version or command that is not known", out_why);
	if (PROXY_V2_HEAD + len > PROXY_MAX)
		return bad("the PROXY header is too long", out_why);
	if (bytes.len < PROXY_V2_HEAD + len)
		return PROXY_MORE;
	*out = (struct proxy_header){ .version = 2 };
	if ((command & 0x0f) == LOCAL) {
		out->is_local = true;
		verdict = PROXY_DONE;
	} else {
		verdict =
			read_addresses((uint8_t)bytes.data[13], span_of(bytes.data + PROXY_V2_HEAD, len), out, out_why);
	}
	if (verdict == PROXY_DONE)
		*out_taken = PROXY_V2_HEAD + len;
	return verdict;
}

/* ---------------------------------------------------------------- both */

/* As far as it goes. */
static bool may_begin(struct span bytes, const char *with, size_t len)
{
	return memcmp(bytes.data, with, bytes.len < len ? bytes.len : len) == 0;
}

enum proxy_verdict proxy_parse(struct span bytes, struct proxy_header *out, size_t *out_taken, const char **out_why)
{
	struct proxy_header header = { 0 };
	enum proxy_verdict verdict;

	if (bytes.len == 0)
		return PROXY_MORE;
	if (may_begin(bytes, signature, sizeof(signature)))
		verdict = parse_binary(bytes, &header, out_taken, out_why);
	else if (may_begin(bytes, "PROXY ", 6))
		verdict = parse_line(bytes, &header, out_taken, out_why);
	else
		return bad("the connection does not begin with a PROXY header", out_why);
	if (verdict == PROXY_DONE)
		*out = header;
	return verdict;
}
