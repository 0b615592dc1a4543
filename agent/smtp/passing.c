#include "smtp/passing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "smtp/address.h"

enum {
	PATH_MAX_SENT = 512,  /* bytes of an address, whatever its history */
	ENVID_MAX = 100,      /* RFC 3461, 4.4: as sent */
	ORCPT_MAX = 500,      /* RFC 3461, 4.2: as sent */
	BY_MAX_S = 999999999, /* RFC 2852, 4: nine digits */
};

static bool offers(const struct ehlo *offer, enum ehlo_extension extension)
{
	return offer->extensions & EHLO_BIT(extension);
}

bool passing_with_utf8(const struct client_message *m, const struct ehlo *offer)
{
	return m->smtputf8 && offers(offer, EHLO_SMTPUTF8);
}

bool passing_by_chunks(const struct client_message *m)
{
	return m->content == CLIENT_BINARY;
}

/* ---------------------------------------------------------------- whether */

static bool refuse(struct passing_refusal *out, struct reply_status status, const char *text)
{
	out->status = status;
	snprintf(out->text, sizeof out->text, "%s", text);
	return false;
}

static bool allows_content(const struct client_message *m, const struct ehlo *offer, struct passing_refusal *out)
{
	const struct reply_status cannot = { 5, 6, 3 };

	if (m->content == CLIENT_BINARY && !(offers(offer, EHLO_CHUNKING) && offers(offer, EHLO_BINARYMIME)))
		return refuse(out, cannot, "the message is binary, the server does not take that (no BINARYMIME)");
	if (m->content == CLIENT_8BIT && !offers(offer, EHLO_8BITMIME))
		return refuse(out, cannot, "the message has 8-bit text, the server does not take that (no 8BITMIME)");
	return true;
}

/* RFC 2852: a message that must be delivered in time or come back goes only to servers that promise the same. */
static bool allows_time(const struct client_message *m, const struct ehlo *offer, int64_t by_ms,
			struct passing_refusal *out)
{
	if (m->by != CLIENT_BY_RETURN)
		return true;
	if (by_ms <= 0)
		return refuse(out, (struct reply_status){ 5, 4, 7 }, "the time to deliver it by has passed");
	if (!offers(offer, EHLO_DELIVERBY))
		return refuse(out, (struct reply_status){ 5, 3, 3 },
			      "it must be delivered in time or come back, the server does not promise that "
			      "(no DELIVERBY)");
	if (by_ms < offer->by_min_ms) {
		out->status = (struct reply_status){ 5, 4, 7 };
		snprintf(out->text, sizeof out->text,
			 "it must be delivered in %" PRId64 " s, the server needs at least %" PRId64, by_ms / 1000,
			 offer->by_min_ms / 1000);
		return false;
	}
	return true;
}

bool passing_allows(const struct client_message *m, const struct passing_server *server, int64_t by_ms,
		    struct passing_refusal *out)
{
	const struct ehlo *offer = server->offer;

	if (offers(offer, EHLO_SIZE) && offer->size_bytes && m->size_bytes > offer->size_bytes) {
		out->status = (struct reply_status){ 5, 3, 4 };
		snprintf(out->text, sizeof out->text,
			 "the message has %" PRIu64 " bytes, the server takes at most %" PRIu64, m->size_bytes,
			 offer->size_bytes);
		return false;
	}
	/* RFC 8689, 4.2.1 and 6. */
	if (m->requiretls && !server->is_proven)
		return refuse(out, (struct reply_status){ 5, 7, 30 },
			      "it may only be sent under TLS to a server that proves who it is, this one does not");
	if (m->requiretls && !offers(offer, EHLO_REQUIRETLS))
		return refuse(out, (struct reply_status){ 5, 7, 30 },
			      "it may only be sent to servers that keep it under TLS, this one does not promise to "
			      "(no REQUIRETLS)");
	if (m->smtputf8 && m->header_is_8bit && !offers(offer, EHLO_SMTPUTF8))
		return refuse(out, (struct reply_status){ 5, 6, 7 },
			      "the message has an internationalized header, the server does not take those (no "
			      "SMTPUTF8)");
	return allows_content(m, offer, out) && allows_time(m, offer, by_ms, out);
}

/* ---------------------------------------------------------------- addresses */

/* The bytes of an address go into a command: whatever its history, it must not be able to end its path or line. */
static bool is_sendable(const char *address, bool with_utf8)
{
	bool quoted = false;
	size_t i = 0;

	for (; address[i]; i++) {
		unsigned char c = (unsigned char)address[i];

		if (i >= PATH_MAX_SENT || c < 0x20 || c == 0x7f || (c >= 0x80 && !with_utf8))
			return false;
		if (c == '"')
			quoted = !quoted;
		else if (quoted && c == '\\' && address[i + 1] >= 0x20 && address[i + 1] != 0x7f)
			i++;
		else if (!quoted && (c == ' ' || c == '<' || c == '>'))
			return false;
	}
	return !quoted;
}

/* RFC 5891: the domain can be written in ASCII, what stands in front of it cannot. */
static const char *in_ascii(const char *address, struct mem_arena *arena)
{
	struct span whole = span_str(address), local = address_local(whole), domain = address_domain(whole);
	char ascii[ADDRESS_DOMAIN_SIZE];
	size_t len;
	char *out;

	if (!text_is_ascii(local) || !domain.len || !address_domain_ascii(domain, ascii))
		return NULL;
	len = strlen(ascii);
	out = mem_arena_alloc(arena, local.len + 1 + len + 1);
	if (!out)
		return NULL;
	memcpy(out, local.data, local.len);
	out[local.len] = '@';
	memcpy(out + local.len + 1, ascii, len + 1);
	return out;
}

const char *passing_address(const char *address, bool with_utf8, struct mem_arena *arena, struct reply_status *out)
{
	const char *as_sent = address;

	*out = (struct reply_status){ 5, 1, 3 };
	if (!is_sendable(address, true))
		return NULL;
	if (with_utf8 || text_is_ascii(span_str(address)))
		return address;
	*out = (struct reply_status){ 5, 6, 7 };
	as_sent = in_ascii(address, arena);
	return as_sent && is_sendable(as_sent, false) ? as_sent : NULL;
}

/* ---------------------------------------------------------------- parameters */

static bool is_printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
			return false;
	return s.len > 0;
}

/* "rfc822" and its kind: letters, digits and hyphens. */
static bool is_type(struct span type)
{
	for (size_t i = 0; i < type.len; i++) {
		char c = span_lower(type.data[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return type.len > 0;
}

static bool append_encoded(struct buf *out, struct span type, struct span address, bool with_utf8)
{
	if (span_equals_fold(type, SPAN("utf-8")) || !text_is_ascii(address))
		return buf_append_str(out, "utf-8;") && text_utf8_xtext_encode(out, address, with_utf8);
	return buf_append_span(out, type) && buf_append_char(out, ';') && text_xtext_encode(out, address);
}

/* RFC 3461, 4.2. One that cannot be written as the RFC wants it is left out: the address itself still arrives. */
static bool append_orcpt(struct buf *out, const char *orcpt, bool with_utf8)
{
	struct span whole = span_str(orcpt ? orcpt : ""), type = span_first(whole, span_find(whole, ';'));
	struct span address = span_from(whole, type.len + 1);
	struct buf value;
	bool ok = true;

	if (!is_type(type) || !is_printable(address) || !text_is_utf8(address))
		return true;
	buf_init(&value, ORCPT_MAX);
	if (append_encoded(&value, type, address, with_utf8))
		ok = buf_append_str(out, " ORCPT=") && buf_append_span(out, buf_span(&value));
	buf_fini(&value);
	return ok;
}

static bool append_notify(struct buf *out, uint8_t notify)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { CLIENT_NOTIFY_SUCCESS, "SUCCESS" },
		      { CLIENT_NOTIFY_FAILURE, "FAILURE" },
		      { CLIENT_NOTIFY_DELAY, "DELAY" } };
	const char *before = " NOTIFY=";
	bool ok = true;

	if (notify & CLIENT_NOTIFY_NEVER)
		return buf_append_str(out, " NOTIFY=NEVER"); /* which stands alone (RFC 3461, 4.1) */
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (!(notify & words[i].bit))
			continue;
		ok = ok && buf_append_str(out, before) && buf_append_str(out, words[i].word);
		before = ",";
	}
	return ok;
}

static bool append_envid(struct buf *out, const char *envid)
{
	struct span id = span_str(envid ? envid : "");
	struct buf value;
	bool ok = true;

	if (!is_printable(id) || !text_is_ascii(id))
		return true;
	buf_init(&value, ENVID_MAX);
	if (text_xtext_encode(&value, id))
		ok = buf_append_str(out, " ENVID=") && buf_append_span(out, buf_span(&value));
	buf_fini(&value);
	return ok;
}

static bool append_by(struct buf *out, const struct client_message *m, int64_t by_ms)
{
	int64_t s = by_ms / 1000;

	if (m->by == CLIENT_BY_RETURN && s < 1)
		s = 1; /* it was allowed a moment ago; zero is no time to return by */
	if (s > BY_MAX_S)
		s = BY_MAX_S;
	if (s < -BY_MAX_S)
		s = -BY_MAX_S;
	return buf_printf(out, " BY=%" PRId64 ";%s%s", s, m->by == CLIENT_BY_RETURN ? "R" : "N",
			  m->by_trace ? "T" : "");
}

static bool append_body(struct buf *out, enum client_content content)
{
	switch (content) {
	case CLIENT_7BIT: break;
	case CLIENT_8BIT: return buf_append_str(out, " BODY=8BITMIME");
	case CLIENT_BINARY: return buf_append_str(out, " BODY=BINARYMIME");
	}
	return true;
}

static bool append_dsn(struct buf *out, const struct client_message *m)
{
	bool ok = true;

	if (m->ret != CLIENT_RET_UNSAID)
		ok = buf_append_str(out, m->ret == CLIENT_RET_FULL ? " RET=FULL" : " RET=HDRS");
	return ok && append_envid(out, m->envid);
}

bool passing_mail(struct buf *out, const struct client_message *m, const char *sender, const struct ehlo *offer,
		  int64_t by_ms)
{
	bool ok = buf_printf(out, "MAIL FROM:<%s>", sender);

	if (ok && offers(offer, EHLO_SIZE) && m->size_bytes)
		ok = buf_printf(out, " SIZE=%" PRIu64, m->size_bytes);
	ok = ok && append_body(out, m->content);
	if (ok && passing_with_utf8(m, offer))
		ok = buf_append_str(out, " SMTPUTF8");
	if (ok && m->requiretls)
		ok = buf_append_str(out, " REQUIRETLS");
	if (ok && offers(offer, EHLO_DSN))
		ok = append_dsn(out, m);
	if (ok && offers(offer, EHLO_MT_PRIORITY) && m->priority)
		ok = buf_printf(out, " MT-PRIORITY=%d", m->priority);
	if (ok && offers(offer, EHLO_DELIVERBY) && m->by != CLIENT_BY_UNSAID)
		ok = append_by(out, m, by_ms);
	return ok && buf_append_str(out, "\r\n");
}

bool passing_rcpt(struct buf *out, const struct client_rcpt *rcpt, const char *address, const struct ehlo *offer,
		  bool with_utf8)
{
	bool ok = buf_printf(out, "RCPT TO:<%s>", address);

	if (ok && offers(offer, EHLO_DSN))
		ok = append_notify(out, rcpt->notify) && append_orcpt(out, rcpt->orcpt, with_utf8);
	return ok && buf_append_str(out, "\r\n");
}
