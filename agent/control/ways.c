#include "control/ways.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "control/fields.h"
#include "route.h"

enum { TEXT_MAX = 2048 };

static const char *const levels[] = { [CONFIG_TLS_NONE] = "none",
				      [CONFIG_TLS_OPPORTUNISTIC] = "opportunistic",
				      [CONFIG_TLS_STARTTLS] = "starttls",
				      [CONFIG_TLS_IMPLICIT] = "implicit",
				      [CONFIG_TLS_DANE] = "dane" };

/* By what a certificate is proven where it is verified. */
static void say_verified(struct buf *out, const struct config_smarthost *h)
{
	if (!h->tls_verify) {
		buf_append_str(out, "encrypted, but whoever answers is believed (tls_verify = no)");
		return;
	}
	buf_printf(out, "encrypted, and proven by %s",
		   h->tls_pins.count ? "the pinned keys (tls_pins)"
		   : h->tls_ca       ? "the authorities of tls_ca"
				     : "the system's authorities");
	if (h->tls_name)
		buf_printf(out, " for the name %.255s", h->tls_name);
}

static void say_tls(struct buf *out, const struct config_smarthost *h, bool has_domain)
{
	switch (h->tls) {
	case CONFIG_TLS_NONE: buf_append_str(out, "in clear text"); return;
	case CONFIG_TLS_OPPORTUNISTIC:
		buf_append_str(out, "encrypted where the server can");
		if (has_domain) /* an address publishes nothing */
			buf_printf(out, "; proven where the domain publishes how (DANE%s)",
				   h->mta_sts ? ", MTA-STS" : "");
		return;
	case CONFIG_TLS_STARTTLS:
	case CONFIG_TLS_IMPLICIT: say_verified(out, h); return;
	case CONFIG_TLS_DANE:
		buf_append_str(out, "encrypted, and proven by TLSA records; without them the mail waits");
		return;
	}
}

static void say_host(struct buf *out, const struct config_smarthost *h, const char *domain)
{
	static const struct span srv = SPAN("srv:");
	const char *lmtp = h->protocol == CONFIG_PROTOCOL_LMTP ? ", over LMTP" : "";

	if (domain && domain[0] == '[')
		buf_printf(out, "to the address %s, port %u", domain, h->port);
	else if (domain)
		buf_printf(out, "to the MX of %s, port %u", domain, h->port);
	else if (!h->host || h->host[0] == '/')
		buf_printf(out, "to the socket %s%s", h->host ? h->host : "", lmtp);
	else if (span_starts_fold(span_str(h->host), srv))
		buf_printf(out, "to the servers that the SRV records of %s name", h->host + srv.len);
	else
		buf_printf(out, strchr(h->host, ':') ? "to [%s]:%u%s" : "to %s:%u%s", h->host, h->port, lmtp);
}

static void add_text(json_t *row, const char *key, struct buf *text)
{
	json_object_set_new(row, key, fields_text(buf_cstr(text)));
	buf_clear(text);
}

static void add_passage(json_t *row, const struct config_smarthost *h, struct buf *text)
{
	json_t *source = json_array();

	for (size_t i = 0; i < h->source.count; i++)
		json_array_append_new(source, fields_text(h->source.list[i]));
	json_object_set_new(row, "source", source);
	if (h->proxy.host) /* not who is known to it: that is nobody's business */
		buf_printf(text, strchr(h->proxy.host, ':') ? "[%s]:%u" : "%s:%u", h->proxy.host, h->proxy.port);
	add_text(row, "proxy", text);
}

json_t *ways_next(const struct config *config, struct span *io_target)
{
	static const struct span mx = SPAN(ROUTE_MX);
	const struct config_smarthost *h;
	const char *domain;
	struct span name;
	uint32_t weight;
	struct buf text;
	json_t *row;
	char *lane;

	if (!route_next(io_target, &name, &weight))
		return NULL;
	lane = mem_span_dup(name);
	domain = span_starts_fold(name, mx) ? lane + mx.len : NULL;
	h = domain ? config_mx(config, domain) : config_smarthost(config, lane);
	buf_init(&text, TEXT_MAX);
	row = json_pack("{s:s,s:i}", "type", "way", "weight", (int)weight);
	json_object_set_new(row, "lane", fields_text(lane));
	if (h) {
		say_host(&text, h, domain);
		add_text(row, "to", &text);
		json_object_set_new(row, "tls", json_string(levels[h->tls]));
		say_tls(&text, h, domain && domain[0] != '[');
		add_text(row, "proof", &text);
		add_passage(row, h, &text);
	}
	json_object_set_new(row, "file", fields_text(h && h->at.line ? h->at.file : ""));
	json_object_set_new(row, "line", json_integer(h ? h->at.line : 0));
	buf_fini(&text);
	mem_free(lane);
	return row;
}
