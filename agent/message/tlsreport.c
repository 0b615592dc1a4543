#include "message/tlsreport.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/instant.h"
#include "base/text.h"
#include "smtp/address.h"

enum { LINE = 76, FIELD_MAX = 500 };

const char *tlsreport_type_name(enum tlsreport_type type)
{
	switch (type) {
	case TLSREPORT_NO_POLICY: return "no-policy-found";
	case TLSREPORT_TLSA: return "tlsa";
	case TLSREPORT_STS: return "sts";
	case TLSREPORT_TYPES: break;
	}
	return "unknown";
}

/* ---------------------------------------------------------------- JSON */

static void add_text(json_t *object, const char *key, const char *text)
{
	if (text && text[0])
		json_object_set_new(object, key, json_string(text));
}

static json_t *texts(const char *const *list, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_string(list[i]));
	return array;
}

static json_t *failure_json(const struct tlsreport_failure *f)
{
	json_t *object = json_object();

	add_text(object, "result-type", f->type);
	add_text(object, "sending-mta-ip", f->local_ip);
	add_text(object, "receiving-mx-hostname", f->mx);
	add_text(object, "receiving-mx-helo", f->helo);
	add_text(object, "receiving-ip", f->remote_ip);
	json_object_set_new(object, "failed-session-count", json_integer((json_int_t)f->count));
	add_text(object, "failure-reason-code", f->reason);
	return object;
}

static json_t *policy_json(const struct tlsreport *report, const struct tlsreport_policy *p)
{
	json_t *whole = json_object(), *policy = json_object(), *summary = json_object();

	add_text(policy, "policy-type", tlsreport_type_name(p->type));
	if (p->string_count)
		json_object_set_new(policy, "policy-string", texts(p->strings, p->string_count));
	add_text(policy, "policy-domain", report->domain);
	if (p->mx_count)
		json_object_set_new(policy, "mx-host", texts(p->mx, p->mx_count));
	json_object_set_new(whole, "policy", policy);
	json_object_set_new(summary, "total-successful-session-count", json_integer((json_int_t)p->success));
	json_object_set_new(summary, "total-failure-session-count", json_integer((json_int_t)p->failure));
	json_object_set_new(whole, "summary", summary);
	if (p->failure_count) {
		json_t *failures = json_array();

		for (size_t i = 0; i < p->failure_count; i++)
			json_array_append_new(failures, failure_json(&p->failures[i]));
		json_object_set_new(whole, "failure-details", failures);
	}
	return whole;
}

static int append(const char *data, size_t len, void *arg)
{
	return buf_append(arg, data, len) ? 0 : -1;
}

bool tlsreport_json(struct buf *out, const struct tlsreport *report)
{
	json_t *whole = json_object(), *range = json_object(), *policies = json_array();
	char start[INSTANT_SIZE], end[INSTANT_SIZE];
	bool ok;

	instant_print(report->day * TLSREPORT_DAY_MS, start);
	instant_print((report->day + 1) * TLSREPORT_DAY_MS - 1000, end);
	add_text(whole, "organization-name", report->organization);
	add_text(range, "start-datetime", start);
	add_text(range, "end-datetime", end);
	json_object_set_new(whole, "date-range", range);
	add_text(whole, "contact-info", report->contact);
	add_text(whole, "report-id", report->id);
	for (size_t i = 0; i < report->policy_count; i++)
		json_array_append_new(policies, policy_json(report, report->policies[i]));
	json_object_set_new(whole, "policies", policies);
	ok = json_dump_callback(whole, append, out, JSON_INDENT(1)) == 0;
	json_decref(whole);
	return ok;
}

/* ---------------------------------------------------------------- the mail */

/* One line of ASCII: what is no printable ASCII becomes '?'. */
static bool append_line(struct buf *out, const char *text)
{
	size_t from = out->len;
	char *at;

	if (!text_clean(out, span_str(text), FIELD_MAX))
		return false;
	at = out->data + out->start;
	for (size_t i = from; i < out->len; i++)
		if ((unsigned char)at[i] > 126)
			at[i] = '?';
	return true;
}

static bool field(struct buf *out, const char *name, const char *before, const char *value, const char *after)
{
	return buf_append_str(out, name) && buf_append_str(out, before) && append_line(out, value) &&
	       buf_append_str(out, after) && buf_append_str(out, "\r\n");
}

static bool write_to(struct buf *out, const struct tlsreport_mail *m)
{
	bool ok = buf_append_str(out, "To: ");

	for (size_t i = 0; i < m->to_count; i++)
		ok = ok && buf_append_str(out, i ? ",\r\n <" : "<") && append_line(out, m->to[i]) &&
		     buf_append_char(out, '>');
	return ok && buf_append_str(out, "\r\n");
}

static bool write_header(struct buf *out, const struct tlsreport_mail *m)
{
	char date[CLOCK_DATE_SIZE];

	return field(out, "From: ", "<", m->from, ">") && write_to(out, m) &&
	       buf_printf(out, "Date: %s\r\n", clock_date(m->now_ms, date)) &&
	       field(out, "Message-ID: ", "<", m->message_id, ">") &&
	       field(out, "Subject: Report Domain: ", "", m->report->domain, "") &&
	       field(out, " Submitter: ", "", m->hostname, "") && field(out, " Report-ID: ", "<", m->message_id, ">") &&
	       field(out, "TLS-Report-Domain: ", "", m->report->domain, "") &&
	       field(out, "TLS-Report-Submitter: ", "", m->hostname, "") &&
	       /* RFC 8460, 3: a report about broken TLS must get through (RFC 8689, 3). */
	       buf_append_str(out, "TLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n") &&
	       buf_printf(out, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"=_%s\"\r\n\r\n",
			  m->boundary) &&
	       buf_append_str(out, "This is a report in MIME format.\r\n");
}

static bool write_words(struct buf *out, const struct tlsreport_mail *m)
{
	uint64_t success = 0, failure = 0;
	char start[INSTANT_SIZE];

	for (size_t i = 0; i < m->report->policy_count; i++) {
		success += m->report->policies[i]->success;
		failure += m->report->policies[i]->failure;
	}
	instant_print(m->report->day * TLSREPORT_DAY_MS, start);
	start[10] = '\0';
	return buf_printf(out, "\r\n--=_%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n", m->boundary) &&
	       field(out, "This is a TLS report (RFC 8460) about mail to ", "", m->report->domain, "") &&
	       field(out, "sent by ", "", m->hostname, "") &&
	       buf_printf(out, "on %s (UTC): %llu sessions were as they should be, %llu were not.\r\n", start,
			  (unsigned long long)success, (unsigned long long)failure) &&
	       buf_append_str(out, "The attached file has the particulars.\r\n");
}

/* RFC 8460, 5.1: sender ! policy domain ! begin ! end, in seconds since 1970. */
static bool write_name(struct buf *out, const struct tlsreport_mail *m)
{
	long long start = m->report->day * (TLSREPORT_DAY_MS / 1000);

	return buf_append_str(out, "\"") && append_line(out, m->hostname) && buf_append_char(out, '!') &&
	       append_line(out, m->report->domain) &&
	       buf_printf(out, "!%lld!%lld.json\"\r\n", start, start + TLSREPORT_DAY_MS / 1000 - 1);
}

static bool write_base64(struct buf *out, struct span data)
{
	bool ok = true;

	while (ok && data.len) {
		struct span line = span_first(data, LINE / 4 * 3);

		data = span_from(data, line.len);
		ok = text_base64_encode(out, line) && buf_append_str(out, "\r\n");
	}
	return ok;
}

bool tlsreport_mail(struct buf *out, const struct tlsreport_mail *m)
{
	assert(m->boundary[0] && strlen(m->boundary) <= 60);
	return write_header(out, m) && write_words(out, m) &&
	       buf_printf(out, "\r\n--=_%s\r\nContent-Type: application/tlsrpt+json\r\n", m->boundary) &&
	       buf_append_str(out,
			      "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n\tfilename=") &&
	       write_name(out, m) && buf_append_str(out, "\r\n") && write_base64(out, m->json) &&
	       buf_printf(out, "\r\n--=_%s--\r\n", m->boundary);
}

/* ---------------------------------------------------------------- who wants it */

static bool starts_with(struct span s, struct span prefix)
{
	return span_equals(span_first(s, prefix.len), prefix);
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* RFC 3986, 2.1. False: not well-formed, or what comes out is no single line of text. */
static bool percent_decode(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		int c = (unsigned char)s.data[i];

		if (c == '%') {
			if (i + 2 >= s.len || hex(s.data[i + 1]) < 0 || hex(s.data[i + 2]) < 0)
				return false;
			c = hex(s.data[i + 1]) * 16 + hex(s.data[i + 2]);
			i += 2;
		}
		if (c < ' ' || c == 127 || !buf_append_char(out, (char)c))
			return false;
	}
	return true;
}

static void take_mailto(struct span uri, struct tlsreport_rua *out)
{
	struct span to = span_first(uri, span_find(uri, '?'));
	struct address address;
	struct buf text;

	buf_init(&text, ADDRESS_PATH_MAX);
	if (out->mailto_count < TLSREPORT_TARGETS && percent_decode(to, &text) &&
	    address_parse(buf_span(&text), 0, &address) == ADDRESS_OK)
		memcpy(out->mailto[out->mailto_count++], address.text, address.len + 1);
	buf_fini(&text);
}

static void take_https(struct span uri, struct tlsreport_rua *out)
{
	if (out->https_count == TLSREPORT_TARGETS || uri.len >= TLSREPORT_URL_SIZE || uri.len == strlen("https://"))
		return;
	for (size_t i = 0; i < uri.len; i++)
		if (uri.data[i] <= ' ' || uri.data[i] > 126)
			return;
	snprintf(out->https[out->https_count++], TLSREPORT_URL_SIZE, "%.*s", SPAN_ARGS(uri));
}

static void take_uris(struct span list, struct tlsreport_rua *out)
{
	while (list.len) {
		struct span uri = span_first(list, span_find(list, ','));

		list = span_from(list, uri.len + 1);
		uri = span_trim(uri);
		if (span_starts_fold(uri, SPAN("mailto:")))
			take_mailto(span_from(uri, strlen("mailto:")), out);
		else if (span_starts_fold(uri, SPAN("https://")))
			take_https(uri, out);
	}
}

bool tlsreport_is_record(struct span txt)
{
	struct span rest;

	if (!starts_with(txt, SPAN("v=TLSRPTv1")))
		return false;
	rest = span_trim(span_from(txt, strlen("v=TLSRPTv1")));
	return rest.len && rest.data[0] == ';';
}

bool tlsreport_rua(struct span txt, struct tlsreport_rua *out)
{
	struct span rest = span_from(txt, span_find(txt, ';') + 1);
	struct tlsreport_rua rua = { .mailto_count = 0 };
	bool has_rua = false;

	if (!tlsreport_is_record(txt))
		return false;
	while (rest.len) {
		struct span field = span_first(rest, span_find(rest, ';'));

		rest = span_from(rest, field.len + 1);
		field = span_trim(field);
		if (starts_with(field, SPAN("rua=")) && !has_rua) {
			has_rua = true;
			take_uris(span_from(field, strlen("rua=")), &rua);
		} else if (field.len && span_find(field, '=') == field.len) {
			return false;
		}
	}
	if (!rua.mailto_count && !rua.https_count)
		return false;
	*out = rua;
	return true;
}
