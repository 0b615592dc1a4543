/* The texts of MTA-STS: TXT records, policies, names, ages, and the record in which they are kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/mem.h"
#include "delivery/mtasts_policy.h"

#define POLICY  "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n"
#define HOUR_MS INT64_C(3600000)

static void a_record_is_read_and_what_is_none_is_refused(void **state)
{
	static const struct {
		const char *txt, *id; /* id NULL: not well-formed */
	} rows[] = {
		{ "v=STSv1; id=20160831085700Z;", "20160831085700Z" },
		{ "v=STSv1;id=a", "a" },
		{ "v=STSv1 ;\tid=a ; more=b;", "a" },
		{ "v=STSv1; x-y.z_1=!\"/:<>~; id=a", "a" },
		{ "v=STSv1; id=a; id=b", "a" },
		{ "v=STSv1; id=12345678901234567890123456789012;", "12345678901234567890123456789012" },
		{ "v=STSv1; id=123456789012345678901234567890123;", NULL },
		{ "v=STSv1; id=;", NULL },
		{ "v=STSv1; id=a-b;", NULL },
		{ "v=STSv1; id=a b;", NULL },
		{ "v=STSv1; id=a ", NULL },
		{ "v=STSv1; ID=a;", NULL },
		{ "v=STSv1;", NULL },
		{ "v=STSv1", NULL },
		{ "v=STSv2; id=a;", NULL },
		{ "V=STSv1; id=a;", NULL },
		{ " v=STSv1; id=a;", NULL },
		{ "v=STSv1; id=a;; b=c", NULL },
		{ "v=STSv1; junk; id=a", NULL },
		{ "v=STSv1; a=b=c; id=a", NULL },
		{ "v=STSv1; =b; id=a", NULL },
		{ "v=STSv1; b=; id=a", NULL },
		{ "v=STSv1 id=a;", NULL },
		{ "v=spf1 -all", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char id[MTASTS_ID_SIZE] = "untouched";
		bool good = mtasts_policy_id(span_str(rows[i].txt), id);

		if (good != (rows[i].id != NULL))
			fail_msg("\"%s\": %s", rows[i].txt, good ? "taken" : "refused");
		assert_string_equal(id, rows[i].id ? rows[i].id : "untouched");
	}
	assert_true(mtasts_policy_is_record(SPAN("v=STSv1; id=not well-formed, but one")));
	assert_false(mtasts_policy_is_record(SPAN("v=STSv10; id=a")));
	assert_false(mtasts_policy_is_record(SPAN("v=STSv1")));
}

static void a_policy_is_read_and_what_is_none_says_why(void **state)
{
	static const struct {
		const char *name, *text, *why; /* why NULL: fine */
		enum mtasts_mode mode;
		int64_t max_age_s;
		const char *mx; /* the last */
	} rows[] = {
		{ "LF", POLICY, NULL, MTASTS_ENFORCE, 86400, "mx.example.org" },
		{ "CRLF", "version: STSv1\r\nmode: testing\r\nmx: *.Example.ORG\r\nmx:b.example\r\nmax_age: 1\r\n",
		  NULL, MTASTS_TESTING, 1, "b.example" },
		{ "no last line end, blanks behind, any order",
		  "max_age:\t5 \nmx: a.b\t\nmode: enforce\nversion: STSv1", NULL, MTASTS_ENFORCE, 5, "a.b" },
		{ "none needs no mx", "version: STSv1\nmode: none\nmax_age: 86400\n", NULL, MTASTS_NONE, 86400, NULL },
		{ "unknown keys", "later: yes: no\nversion: STSv1\nx: \nmode: none\nmax_age: 9\n\nno colon\n", NULL,
		  MTASTS_NONE, 9, NULL },
		{ "the first of two counts", "version: STSv1\nmode: none\nmode: enforce\nmax_age: 9\nmax_age: 8\n",
		  NULL, MTASTS_NONE, 9, NULL },
		{ "older than a year", "version: STSv1\nmode: none\nmax_age: 9999999999\n", NULL, MTASTS_NONE, 31557600,
		  NULL },
		{ "no version", "mode: none\nmax_age: 9\n", "version", 0, 0, NULL },
		{ "other version", "version: STSv2\nmode: none\nmax_age: 9\n", "version", 0, 0, NULL },
		{ "no mode", "version: STSv1\nmax_age: 9\n", "mode", 0, 0, NULL },
		{ "unknown mode", "version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 9\n", "mode", 0, 0, NULL },
		{ "empty first mode", "version: STSv1\nmode:\nmode: none\nmax_age: 9\n", "mode", 0, 0, NULL },
		{ "no max_age", "version: STSv1\nmode: none\n", "max_age", 0, 0, NULL },
		{ "max_age of words", "version: STSv1\nmode: none\nmax_age: 1d\n", "max_age", 0, 0, NULL },
		{ "negative max_age", "version: STSv1\nmode: none\nmax_age: -1\n", "max_age", 0, 0, NULL },
		{ "endless max_age", "version: STSv1\nmode: none\nmax_age: 11111111111\n", "max_age", 0, 0, NULL },
		{ "no mx", "version: STSv1\nmode: enforce\nmax_age: 9\n", "no mx", 0, 0, NULL },
		{ "mx of an address", "version: STSv1\nmode: enforce\nmax_age: 9\nmx: [192.0.2.1]\n", "mx", 0, 0,
		  NULL },
		{ "mx that is all", "version: STSv1\nmode: enforce\nmax_age: 9\nmx: *\n", "mx", 0, 0, NULL },
		{ "mx with a star inside", "version: STSv1\nmode: enforce\nmax_age: 9\nmx: a.*.b\n", "mx", 0, 0, NULL },
		{ "bare CR", "version: STSv1\rmode: none\rmax_age: 9\r", "version", 0, 0, NULL },
		{ "control characters", "version: STSv1\nmode: none\nmax_age: 9\n\001", "plain text", 0, 0, NULL },
		{ "not UTF-8", "version: STSv1\nmode: none\nmax_age: 9\nx: \xff\n", "plain text", 0, 0, NULL },
		{ "a page", "<!doctype html><html>mode: none</html>", "version", 0, 0, NULL },
		{ "nothing", "", "version", 0, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const char *why = NULL;
		struct mtasts_policy *p = mtasts_policy_new(span_str(rows[i].text), "id1", 5, &why);

		if (!p != (rows[i].why != NULL) || (why && !strstr(why, rows[i].why)))
			fail_msg("%s: %s", rows[i].name, why ? why : "taken");
		if (!p)
			continue;
		assert_int_equal(p->mode, rows[i].mode);
		assert_int_equal(p->max_age_s, rows[i].max_age_s);
		assert_int_equal(p->fetched_wall_ms, 5);
		assert_string_equal(p->id, "id1");
		assert_true(span_equals(p->text, span_str(rows[i].text)));
		if (rows[i].mx)
			assert_string_equal(p->mx[p->mx_count - 1], rows[i].mx);
		else
			assert_int_equal(p->mx_count, 0);
		mtasts_policy_free(p);
	}
}

static void a_policy_cut_anywhere_is_whole_or_refused(void **state)
{
	struct span whole = SPAN(POLICY);

	(void)state;
	for (size_t cut = 0; cut <= whole.len; cut++) {
		/* Memory of its own, so that a reader beyond the end is seen. */
		char *piece = mem_dup(whole.data, cut ? cut : 1);
		const char *why;
		struct mtasts_policy *p = mtasts_policy_new(span_of(piece, cut), "a", 0, &why);

		if ((p != NULL) != (cut > whole.len - 6)) /* "max_age: 8" is a number, too */
			fail_msg("cut at %zu", cut);
		mtasts_policy_free(p);
		mem_free(piece);
	}
}

static void too_much_of_a_policy_is_refused(void **state)
{
	struct buf text;
	const char *why;

	(void)state;
	buf_init(&text, 100000);
	buf_append_str(&text, "version: STSv1\nmode: enforce\nmax_age: 9\n");
	for (int i = 0; i < MTASTS_MX_MAX; i++)
		buf_printf(&text, "mx: mx%d.example.org\n", i);
	for (int more = 0; more < 2; more++) {
		struct mtasts_policy *p = mtasts_policy_new(buf_span(&text), "a", 0, &why);

		assert_true(!p == (more == 1));
		mtasts_policy_free(p);
		buf_append_str(&text, "mx: one-more.example.org\n");
	}
	buf_clear(&text);
	buf_append_str(&text, POLICY);
	while (text.len < MTASTS_POLICY_TEXT - 3)
		buf_append_char(&text, ' ');
	for (int more = 0; more < 6; more++, buf_append_char(&text, ' ')) {
		struct mtasts_policy *p = mtasts_policy_new(buf_span(&text), "a", 0, &why);

		assert_true((p != NULL) == (text.len <= MTASTS_POLICY_TEXT));
		mtasts_policy_free(p);
	}
	buf_fini(&text);
}

static void a_star_stands_for_the_first_label_and_no_more(void **state)
{
	static const struct {
		const char *mx;
		bool is_named;
	} rows[] = {
		{ "mx.example.org", true },    { "MX.Example.Org", true },    { "example.org", false },
		{ "a.example.net", true },     { "A.EXAMPLE.NET", true },     { "a.b.example.net", false },
		{ "example.net", false },      { ".example.net", false },     { "aexample.net", false },
		{ "mx.example.org.x", false }, { "x.mx.example.org", false }, { "", false },
		{ "*.example.net", true },     { "z.example.com", false },
	};
	const char *why;
	struct mtasts_policy *p = mtasts_policy_new(
		SPAN("version: STSv1\nmode: enforce\nmax_age: 9\nmx: Mx.example.org\nmx: *.example.net\nmx: q.example.com\n"),
		"a", 0, &why);

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (mtasts_names(p, rows[i].mx) != rows[i].is_named)
			fail_msg("%s", rows[i].mx);
	mtasts_policy_free(p);
}

static void a_policy_grows_old_then_is_over_and_may_come_from_the_future(void **state)
{
	const char *why;
	struct mtasts_policy *p = mtasts_policy_new(SPAN(POLICY), "a", 1000 * HOUR_MS, &why); /* a day */

	(void)state;
	assert_false(mtasts_policy_is_old(p, 1012 * HOUR_MS));
	assert_true(mtasts_policy_is_old(p, 1012 * HOUR_MS + 1));
	assert_false(mtasts_policy_is_over(p, 1024 * HOUR_MS));
	assert_true(mtasts_policy_is_over(p, 1024 * HOUR_MS + 1));
	p->max_age_s = 7 * 86400;
	assert_false(mtasts_policy_is_old(p, 1024 * HOUR_MS)); /* a week: once a day */
	assert_true(mtasts_policy_is_old(p, 1024 * HOUR_MS + 1));
	assert_false(mtasts_policy_is_from_the_future(p, 1000 * HOUR_MS - 1000));
	assert_true(mtasts_policy_is_from_the_future(p, 999 * HOUR_MS));
	assert_false(mtasts_policy_is_over(p, 999 * HOUR_MS));
	mtasts_policy_free(p);
}

static void a_kept_policy_comes_back_whole_and_a_damaged_one_not_at_all(void **state)
{
	const char *why;
	struct mtasts_policy *p = mtasts_policy_new(SPAN(POLICY), "20261124", INT64_C(1795500000123), &why), *back;
	struct buf record;

	(void)state;
	buf_init(&record, MTASTS_POLICY_RECORD);
	assert_true(mtasts_policy_write(&record, "example.org", p));
	back = mtasts_policy_read(buf_span(&record), "example.org");
	assert_non_null(back);
	assert_string_equal(back->id, "20261124");
	assert_int_equal(back->fetched_wall_ms, INT64_C(1795500000123));
	assert_int_equal(back->mode, MTASTS_ENFORCE);
	assert_true(span_equals(back->text, p->text));
	mtasts_policy_free(back);
	assert_null(mtasts_policy_read(buf_span(&record), "example.net"));
	back = mtasts_policy_read(buf_span(&record), NULL);
	assert_non_null(back);
	mtasts_policy_free(back);
	for (size_t cut = 0; cut + 6 < record.len; cut++)
		assert_null(mtasts_policy_read(span_first(buf_span(&record), cut), "example.org"));
	record.data[record.start] = 2; /* a form of later */
	assert_null(mtasts_policy_read(buf_span(&record), "example.org"));
	mtasts_policy_free(p);
	buf_fini(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_read_and_what_is_none_is_refused),
		cmocka_unit_test(a_policy_is_read_and_what_is_none_says_why),
		cmocka_unit_test(a_policy_cut_anywhere_is_whole_or_refused),
		cmocka_unit_test(too_much_of_a_policy_is_refused),
		cmocka_unit_test(a_star_stands_for_the_first_label_and_no_more),
		cmocka_unit_test(a_policy_grows_old_then_is_over_and_may_come_from_the_future),
		cmocka_unit_test(a_kept_policy_comes_back_whole_and_a_damaged_one_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
