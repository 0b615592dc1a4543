/* Counts of TLS sessions: what is counted as what, what is kept of it, and what bounds it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "delivery/mtasts_policy.h"
#include "delivery/tlsrpt_count.h"
#include "delivery/tlsrpt_send.h"

static struct mtasts_policy *sts_policy;
static struct mtasts_result sts;
static const struct tls_tlsa tlsa[] = { { 3, 1, 1, { "\x0a\xff", 2 } }, { 2, 0, 2, { "\x00", 1 } } };
static struct tlspolicy dane = { .level = TLSPOLICY_DANE, .demand = { .tlsa = tlsa, .tlsa_count = 2 } },
			plain = { .level = TLSPOLICY_OPPORTUNISTIC }, by_sts = { .level = TLSPOLICY_MTA_STS };
static struct tlsrpt_count *count;

static int setup(void **state)
{
	const char *why;

	(void)state;
	sts_policy = mtasts_policy_new(SPAN("version: STSv1\r\nmode: enforce\r\nmx: *.example.org\r\nmax_age: 9\r\n"),
				       "a", 0, &why);
	sts = (struct mtasts_result){ .policy = sts_policy, .text = "" };
	count = tlsrpt_count_new(20000, "example.org");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mtasts_policy_free(sts_policy);
	tlsrpt_count_free(count);
	return 0;
}

static void note(const struct tlspolicy *policy, const struct mtasts_result *result, const char *failure,
		 const char *mx)
{
	struct tlsrpt_session session = { .domain = "example.org",
					  .policy = policy,
					  .sts = result,
					  .ok = !failure,
					  .failure = failure,
					  .text = "words",
					  .mx = mx,
					  .local_ip = "192.0.2.1",
					  .remote_ip = "192.0.2.2",
					  .helo = "helo.example.org" };

	tlsrpt_count_note(count, &session, false);
}

static void sessions_count_under_the_policy_that_was_in_force(void **state)
{
	(void)state;
	note(&plain, NULL, NULL, "mx");
	note(&plain, NULL, NULL, "mx");
	note(&by_sts, &sts, NULL, "mx");
	note(&plain, &sts, "certificate-expired", "mx"); /* testing: the mail went, and yet */
	note(&dane, &sts, NULL, "mx");                   /* DANE comes first */
	note(&plain, NULL, "dnssec-invalid", "mx");
	assert_int_equal(count->policy_count, 4);
	assert_int_equal(count->policies[0]->type, TLSREPORT_NO_POLICY);
	assert_int_equal(count->policies[0]->success, 2);
	assert_int_equal(count->policies[1]->type, TLSREPORT_STS);
	assert_int_equal(count->policies[1]->success, 1);
	assert_int_equal(count->policies[1]->failure, 1);
	assert_int_equal(count->policies[1]->string_count, 4);
	assert_string_equal(count->policies[1]->strings[1], "mode: enforce");
	assert_string_equal(count->policies[1]->mx[0], "*.example.org");
	assert_string_equal(count->policies[1]->failures[0].type, "certificate-expired");
	assert_string_equal(count->policies[1]->failures[0].helo, "helo.example.org");
	assert_int_equal(count->policies[2]->type, TLSREPORT_TLSA);
	assert_string_equal(count->policies[2]->strings[0], "3 1 1 0AFF");
	assert_string_equal(count->policies[2]->strings[1], "2 0 2 00");
	assert_int_equal(count->policies[3]->type, TLSREPORT_TLSA);
	assert_int_equal(count->policies[3]->failure, 1);
	assert_int_equal(count->others, 6);
}

static void a_policy_that_cannot_be_had_is_a_failure_though_the_mail_went(void **state)
{
	struct mtasts_result broken = { .failure = "sts-webpki-invalid", .text = "its certificate expired" };
	struct tlspolicy testing = { .level = TLSPOLICY_OPPORTUNISTIC, .failure = "sts-policy-invalid" };

	(void)state;
	note(&plain, &broken, NULL, "mx");
	assert_int_equal(count->policies[0]->type, TLSREPORT_NO_POLICY);
	assert_int_equal(count->policies[0]->failure, 1);
	assert_int_equal(count->policies[0]->success, 0);
	assert_string_equal(count->policies[0]->failures[0].type, "sts-webpki-invalid");
	assert_string_equal(count->policies[0]->failures[0].reason, "its certificate expired");
	note(&testing, &sts, NULL, "mx");
	assert_string_equal(count->policies[1]->failures[0].type, "sts-policy-invalid");
	/* Where an older one is kept, it is that which counts. */
	sts.failure = "sts-policy-fetch-error";
	note(&by_sts, &sts, NULL, "mx");
	assert_int_equal(count->policies[1]->success, 1);
}

static void failures_of_a_kind_are_added_up_and_too_many_kinds_become_one(void **state)
{
	struct tlsreport_policy *p;
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		char mx[64];

		snprintf(mx, sizeof mx, "mx%d.example.org", i);
		note(&plain, NULL, "starttls-not-supported", mx);
		note(&plain, NULL, "starttls-not-supported", mx);
		note(&by_sts, &sts, "validation-failure", mx);
	}
	p = count->policies[0];
	assert_int_equal(p->failure, 200);
	assert_int_equal(p->failures[0].count, 2);
	assert_true(p->failure_count + count->policies[1]->failure_count <= TLSRPT_FAILURES);
	for (size_t i = 0; i < p->failure_count; i++)
		sum += p->failures[i].count;
	assert_int_equal(sum, 200);
	assert_string_equal(p->failures[p->failure_count - 1].type, "validation-failure");
	assert_string_equal(p->failures[p->failure_count - 1].mx, "");
}

static void policies_that_change_all_day_are_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		char text[128];
		const char *why;
		struct mtasts_result result = { .text = "" };
		struct mtasts_policy *p;

		snprintf(text, sizeof text, "version: STSv1\nmode: enforce\nmx: mx%d.example.org\nmax_age: 9\n", i);
		p = mtasts_policy_new(span_str(text), "a", 0, &why);
		result.policy = p;
		note(&by_sts, &result, NULL, "mx");
		mtasts_policy_free(p);
	}
	note(&dane, NULL, NULL, "mx");
	note(&plain, NULL, NULL, "mx");
	assert_true(count->policy_count <= TLSREPORT_POLICIES);
	assert_int_equal(count->policies[0]->success + count->policies[1]->success, 1000);
	assert_int_equal(count->policies[count->policy_count - 1]->type, TLSREPORT_NO_POLICY);
	assert_true(tlsrpt_count_size(count) < 65536);
}

static void a_record_comes_back_whole_and_a_cut_one_not_at_all(void **state)
{
	struct tlsrpt_count *back;
	struct buf record, again;

	(void)state;
	note(&dane, NULL, NULL, "mx");
	note(&by_sts, &sts, "certificate-expired", "mx.example.org");
	count->flags = TLSRPT_COUNT_MAILED;
	buf_init(&record, TLSRPT_COUNT_RECORD);
	buf_init(&again, TLSRPT_COUNT_RECORD);
	assert_true(tlsrpt_count_write(&record, count));
	back = tlsrpt_count_read(buf_span(&record));
	assert_non_null(back);
	assert_int_equal(back->day, 20000);
	assert_string_equal(back->domain, "example.org");
	assert_int_equal(back->flags, TLSRPT_COUNT_MAILED);
	assert_int_equal(back->others, 2);
	assert_string_equal(back->policies[1]->failures[0].mx, "mx.example.org");
	assert_true(tlsrpt_count_write(&again, back));
	assert_true(span_equals(buf_span(&record), buf_span(&again)));
	tlsrpt_count_free(back);
	for (size_t cut = 0; cut < record.len; cut++) {
		char *piece = mem_dup(record.data + record.start, cut ? cut : 1);

		assert_null(tlsrpt_count_read(span_of(piece, cut)));
		mem_free(piece);
	}
	buf_append_char(&record, 0);
	assert_null(tlsrpt_count_read(buf_span(&record)));
	buf_fini(&record);
	buf_fini(&again);
}

static void the_largest_count_fits_its_record(void **state)
{
	char name[300], lines[6000];
	struct buf record;

	(void)state;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (size_t i = 0; i < sizeof lines; i++)
		lines[i] = i % 60 == 59 ? '\n' : 'x';
	sts_policy->text = span_of(lines, sizeof lines);
	for (size_t i = 0; i < MTASTS_MX_MAX; i++)
		sts_policy->mx[i] = name + i;
	sts_policy->mx_count = MTASTS_MX_MAX;
	for (int i = 0; i < 100; i++) {
		lines[0] = (char)('a' + i % 20);
		note(&by_sts, &sts, i % 3 ? "validation-failure" : NULL, name + i);
		note(&dane, &sts, "tlsa-invalid", name + i);
		note(&plain, NULL, "starttls-not-supported", name + i);
	}
	buf_init(&record, TLSRPT_COUNT_RECORD);
	assert_true(tlsrpt_count_write(&record, count));
	assert_true(record.len > 10000);
	buf_fini(&record);
}

static void a_day_is_due_when_it_is_over_and_written(void **state)
{
	(void)state;
	assert_int_equal(tlsrpt_send_due_ms(0, 0), INT64_C(86400000) + TLSRPT_SEND_EARLIEST_MS);
	assert_int_equal(tlsrpt_send_due_ms(20000, 5), INT64_C(20001) * 86400000 + TLSRPT_SEND_EARLIEST_MS + 5);
	assert_true(TLSRPT_SEND_EARLIEST_MS > 2 * TLSRPT_SAVE_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(sessions_count_under_the_policy_that_was_in_force),
		TEST(a_policy_that_cannot_be_had_is_a_failure_though_the_mail_went),
		TEST(failures_of_a_kind_are_added_up_and_too_many_kinds_become_one),
		TEST(policies_that_change_all_day_are_bounded),
		TEST(a_record_comes_back_whole_and_a_cut_one_not_at_all),
		TEST(the_largest_count_fits_its_record),
		TEST(a_day_is_due_when_it_is_over_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
