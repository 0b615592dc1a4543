/* Reports on TLS: as JSON, as mail, and who wants them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "message/tlsreport.h"

/* The example of RFC 8460, Appendix B, in our words. */
static const struct tlsreport_policy sts = {
	.type = TLSREPORT_STS,
	.strings = { "version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400" },
	.string_count = 4,
	.mx = { "*.mail.company-y.example" },
	.mx_count = 1,
	.success = 5326,
	.failure = 303,
	.failures = { { .type = "certificate-expired",
			.local_ip = "2001:db8:abcd:0012::1",
			.mx = "mx1.mail.company-y.example",
			.helo = "",
			.remote_ip = "203.0.113.56",
			.reason = "",
			.count = 100 },
		      { .type = "validation-failure",
			.local_ip = "198.51.100.62",
			.mx = "mx-backup.mail.company-y.example",
			.helo = "mx-backup",
			.remote_ip = "203.0.113.58",
			.reason = "X509_V_ERR \"quoted\" \xc3\xa4",
			.count = 3 } },
	.failure_count = 2,
};
static const struct tlsreport_policy none = { .type = TLSREPORT_NO_POLICY, .success = 1 };
static const struct tlsreport_policy *const policies[] = { &sts, &none };
static const struct tlsreport report = {
	.organization = "Company-X",
	.contact = "sts-reporting@company-x.example",
	.id = "5065427c",
	.domain = "company-y.example",
	.day = 16892, /* 2016-04-01 */
	.policies = policies,
	.policy_count = 2,
};

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "(none)";
}

static void the_json_has_the_fields_of_the_rfc(void **state)
{
	const json_t *list, *first, *policy, *failure, *range;
	struct buf out;
	json_t *whole;

	(void)state;
	buf_init(&out, TLSREPORT_JSON);
	assert_true(tlsreport_json(&out, &report));
	whole = json_loadb(buf_span(&out).data, out.len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(whole);
	assert_string_equal(text_at(whole, "organization-name"), "Company-X");
	assert_string_equal(text_at(whole, "contact-info"), "sts-reporting@company-x.example");
	assert_string_equal(text_at(whole, "report-id"), "5065427c");
	range = json_object_get(whole, "date-range");
	assert_string_equal(text_at(range, "start-datetime"), "2016-04-01T00:00:00Z");
	assert_string_equal(text_at(range, "end-datetime"), "2016-04-01T23:59:59Z");
	list = json_object_get(whole, "policies");
	assert_int_equal(json_array_size(list), 2);
	first = json_array_get(list, 0);
	policy = json_object_get(first, "policy");
	assert_string_equal(text_at(policy, "policy-type"), "sts");
	assert_string_equal(text_at(policy, "policy-domain"), "company-y.example");
	assert_int_equal(json_array_size(json_object_get(policy, "policy-string")), 4);
	assert_string_equal(json_string_value(json_array_get(json_object_get(policy, "policy-string"), 1)),
			    "mode: testing");
	assert_string_equal(json_string_value(json_array_get(json_object_get(policy, "mx-host"), 0)),
			    "*.mail.company-y.example");
	policy = json_object_get(first, "summary");
	assert_int_equal(json_integer_value(json_object_get(policy, "total-successful-session-count")), 5326);
	assert_int_equal(json_integer_value(json_object_get(policy, "total-failure-session-count")), 303);
	list = json_object_get(first, "failure-details");
	assert_int_equal(json_array_size(list), 2);
	failure = json_array_get(list, 0);
	assert_string_equal(text_at(failure, "result-type"), "certificate-expired");
	assert_string_equal(text_at(failure, "sending-mta-ip"), "2001:db8:abcd:0012::1");
	assert_string_equal(text_at(failure, "receiving-mx-hostname"), "mx1.mail.company-y.example");
	assert_string_equal(text_at(failure, "receiving-ip"), "203.0.113.56");
	assert_string_equal(text_at(failure, "receiving-mx-helo"), "(none)");
	assert_int_equal(json_integer_value(json_object_get(failure, "failed-session-count")), 100);
	failure = json_array_get(list, 1);
	assert_string_equal(text_at(failure, "receiving-mx-helo"), "mx-backup");
	assert_string_equal(text_at(failure, "failure-reason-code"), "X509_V_ERR \"quoted\" \xc3\xa4");
	policy = json_object_get(json_array_get(json_object_get(whole, "policies"), 1), "policy");
	assert_string_equal(text_at(policy, "policy-type"), "no-policy-found");
	assert_null(json_object_get(policy, "policy-string"));
	json_decref(whole);
	buf_fini(&out);
	/* A buffer that is too small is never overrun, and said to be. */
	for (size_t max = 0; max < 1200; max += 97) {
		buf_init(&out, max);
		assert_false(tlsreport_json(&out, &report));
		buf_fini(&out);
	}
}

static void the_mail_carries_it_and_says_whose_it_is(void **state)
{
	static const char *const to[] = { "reports@company-y.example", "b@collector.example" };
	struct tlsreport_mail mail = {
		.report = &report,
		.hostname = "mail.company-x.example",
		.from = "tls@company-x.example",
		.to = to,
		.to_count = 2,
		.message_id = "5065427c@mail.company-x.example",
		.boundary = "b0und",
		.now_ms = INT64_C(1459555200000),
	};
	const char *text, *part;
	struct buf json, out, base64, decoded;

	(void)state;
	buf_init(&json, TLSREPORT_JSON);
	buf_init(&out, TLSREPORT_MAIL);
	buf_init(&base64, TLSREPORT_MAIL);
	buf_init(&decoded, TLSREPORT_MAIL);
	assert_true(tlsreport_json(&json, &report));
	mail.json = buf_span(&json);
	assert_true(tlsreport_mail(&out, &mail));
	text = buf_cstr(&out);
	assert_non_null(strstr(text, "From: <tls@company-x.example>\r\n"));
	assert_non_null(strstr(text, "To: <reports@company-y.example>,\r\n <b@collector.example>\r\n"));
	assert_non_null(strstr(text,
			       "Subject: Report Domain: company-y.example\r\n Submitter: mail.company-x.example\r\n"
			       " Report-ID: <5065427c@mail.company-x.example>\r\n"));
	assert_non_null(strstr(text, "\r\nTLS-Report-Domain: company-y.example\r\n"));
	assert_non_null(strstr(text, "\r\nTLS-Report-Submitter: mail.company-x.example\r\n"));
	assert_non_null(strstr(text, "\r\nTLS-Required: No\r\n"));
	assert_non_null(
		strstr(text, "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"=_b0und\"\r\n"));
	assert_non_null(
		strstr(text, "filename=\"mail.company-x.example!company-y.example!1459468800!1459555199.json\""));
	assert_non_null(strstr(text, "5327 sessions were as they should be, 303 were not"));
	part = strstr(text, "\r\nContent-Type: application/tlsrpt+json\r\n");
	assert_non_null(part);
	part = strstr(part, "\r\n\r\n") + 4;
	for (; strncmp(part, "\r\n--=_b0und--", 13) != 0; part++)
		if (*part != '\r' && *part != '\n')
			buf_append_char(&base64, *part);
	assert_true(text_base64_decode(&decoded, buf_span(&base64)));
	assert_true(span_equals(buf_span(&decoded), buf_span(&json)));
	assert_true(text_is_ascii(buf_span(&out)));
	for (size_t i = 0, column = 0; i < out.len; i++) {
		column = text[i] == '\n' ? 0 : column + 1;
		assert_true(column < 998 && (text[i] != '\n' || text[i - 1] == '\r'));
	}
	buf_fini(&json);
	buf_fini(&out);
	buf_fini(&base64);
	buf_fini(&decoded);
}

static void who_wants_reports_is_read_and_what_is_none_passed_over(void **state)
{
	static const struct {
		const char *txt, *mailto, *https; /* the first; NULL: there is none */
		size_t mailtos, posts;
	} rows[] = {
		{ "v=TLSRPTv1;rua=mailto:reports@example.com", "reports@example.com", NULL, 1, 0 },
		{ "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", NULL,
		  "https://reporting.example.com/v1/tlsrpt", 0, 1 },
		{ "v=TLSRPTv1; rua=mailto:a@b.example , https://c.example/x;", "a@b.example", "https://c.example/x", 1,
		  1 },
		{ "v=TLSRPTv1 ; x=y; rua=MAILTO:a%2Cb@c.example?subject=x", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv1; rua=mailto:a%2Bb@c.example?subject=x", "a+b@c.example", NULL, 1, 0 },
		{ "v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@d.example", "a@b.example", NULL, 1, 0 },
		{ "v=TLSRPTv1; rua=ftp://a.example,http://b.example,mailto:,mailto:x,https://", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv1; rua=mailto:a@b.c%0d%0aBcc:x@y.z", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv1; rua=mailto:a%4@b.c,mailto:a%@b.c,mailto:a@b.c%", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv1; rua=https://a b/", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv1; rua=mailto:a@1.x,mailto:a@2.x,mailto:a@3.x,mailto:a@4.x,mailto:a@5.x", "a@1.x", NULL, 4,
		  0 },
		{ "v=TLSRPTv1; junk; rua=mailto:a@b.c", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv1;", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv1", NULL, NULL, 0, 0 },
		{ "v=TLSRPTv2; rua=mailto:a@b.c", NULL, NULL, 0, 0 },
		{ "v=spf1 -all", NULL, NULL, 0, 0 },
		{ "", NULL, NULL, 0, 0 },
	};
	struct tlsreport_rua *rua = MEM_NEW(struct tlsreport_rua);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		bool wanted = rows[i].mailtos || rows[i].posts;

		if (tlsreport_rua(span_str(rows[i].txt), rua) != wanted)
			fail_msg("\"%s\": %s", rows[i].txt, wanted ? "refused" : "taken");
		if (!wanted)
			continue;
		assert_int_equal(rua->mailto_count, rows[i].mailtos);
		assert_int_equal(rua->https_count, rows[i].posts);
		if (rows[i].mailto)
			assert_string_equal(rua->mailto[0], rows[i].mailto);
		if (rows[i].https)
			assert_string_equal(rua->https[0], rows[i].https);
		for (size_t cut = 0; cut < strlen(rows[i].txt); cut++) {
			char *piece = mem_dup(rows[i].txt, cut ? cut : 1);

			tlsreport_rua(span_of(piece, cut), rua);
			mem_free(piece);
		}
	}
	mem_free(rua);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_json_has_the_fields_of_the_rfc),
		cmocka_unit_test(the_mail_carries_it_and_says_whose_it_is),
		cmocka_unit_test(who_wants_reports_is_read_and_what_is_none_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
