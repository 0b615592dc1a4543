#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "message/convert.h"

/* ---------------------------------------------------------------- how to convert */

static void convert_pieces(struct convert *c, struct span in, size_t cut, struct buf *out)
{
	struct buf piece;

	buf_init(&piece, CONVERT_OUT_MIN);
	while (in.len) {
		struct span part = span_first(in, cut);

		in = span_from(in, part.len);
		while (part.len) {
			size_t before = part.len;

			convert_feed(c, &part, &piece);
			assert_true(part.len < before || piece.len);
			assert_true(buf_append_span(out, buf_span(&piece)));
			buf_clear(&piece);
		}
	}
	while (!convert_end(c, &piece)) {
		assert_true(buf_append_span(out, buf_span(&piece)));
		buf_clear(&piece);
	}
	assert_true(buf_append_span(out, buf_span(&piece)));
	buf_fini(&piece);
}

static struct convert *scan(enum convert_target target, struct span in, size_t cut)
{
	struct convert *c = convert_new(target);

	while (in.len) {
		convert_scan(c, span_first(in, cut));
		in = span_from(in, cut);
	}
	convert_scan_end(c);
	return c;
}

static void assert_span(struct span is, struct span should, const char *name, size_t cut)
{
	if (span_equals(is, should))
		return;
	fail_msg("%s, cut every %zu bytes:\n%.*s\n-- instead of\n%.*s", name, cut, SPAN_ARGS(is), SPAN_ARGS(should));
}

/* Converting once more changes nothing. */
static void assert_is_fit(enum convert_target target, struct span s, const char *name)
{
	struct convert *c = scan(target, s, s.len + 1);

	if (convert_facts(c)->needed)
		fail_msg("%s: the result would have to be converted:\n%.*s", name, SPAN_ARGS(s));
	convert_free(c);
}

/* Cut at every place, all in one, byte by byte: the same result, of the size that was said. */
static void assert_converts(enum convert_target target, struct span in, struct span should, const char *name)
{
	struct buf out;

	buf_init(&out, SIZE_MAX / 2);
	for (size_t cut = 1; cut <= in.len + 1; cut += cut < 80 || cut > in.len ? 1 : in.len / 7) {
		struct convert *c = scan(target, in, cut);

		assert_int_equal(convert_facts(c)->cannot, CONVERT_NOTHING);
		assert_int_equal(convert_facts(c)->needed, !span_equals(in, should));
		for (int again = 0; again < 2; again++) {
			buf_clear(&out);
			convert_pieces(c, in, cut, &out);
			assert_span(buf_span(&out), should, name, cut);
		}
		assert_int_equal(convert_facts(c)->size_bytes, should.len);
		convert_free(c);
	}
	buf_fini(&out);
	assert_is_fit(target, should, name);
}

/* ---------------------------------------------------------------- the table */

struct row {
	const char *name;
	struct span in, seven, eight; /* what it becomes; empty: it stays */
};

#define MIME "MIME-Version: 1.0\r\n"
#define QP   "Content-Transfer-Encoding: quoted-printable\r\n"
#define B64  "Content-Transfer-Encoding: base64\r\n"
#define C7   "Content-Transfer-Encoding: 7bit\r\n"
#define C8   "Content-Transfer-Encoding: 8bit\r\n"
#define CB   "Content-Transfer-Encoding: binary\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"
#define DATA "Content-Type: image/x\r\n"
#define MIX  "Content-Type: multipart/mixed; boundary=b\r\n"
#define S(x) SPAN(x)

static const struct row rows[] = {
	{ "nothing", S(""), S(""), S("") },
	{ "only a header", S("Subject: x\r\n"), S(""), S("") },
	{ "a header without line end", S("Subject: x"), S(""), S("") },
	{ "only a body", S("\r\nx\r\n"), S(""), S("") },
	{ "plain text", S(MIME "\r\nplain\r\n"), S(""), S("") },
	{ "a label stronger than the text", S(MIME C8 "\r\nplain\r\n"), S(""), S("") },
	{ "text",
	  S(MIME TEXT C8 "\r\nGr\xc3\xbc\xc3\x9f"
			 "e \r\n.\r\n"),
	  S(MIME TEXT QP "\r\nGr=C3=BC=C3=9F"
			 "e=20\r\n=2E\r\n"),
	  S("") },
	{ "text without final line end", S(MIME TEXT "\r\n\xc3\xbc"), S(MIME TEXT QP "\r\n=C3=BC=\r\n"), S("") },
	{ "text that ends with a blank", S(MIME TEXT "\r\n\xc3\xbc "), S(MIME TEXT QP "\r\n=C3=BC=20=\r\n"), S("") },
	{ "no label", S(MIME TEXT "\r\n\xc3\xbc\r\n"), S(MIME TEXT QP "\r\n=C3=BC\r\n"), S("") },
	{ "an unknown label", S(MIME "content-transfer-encoding: 8 bits\r\n" TEXT "\r\n\xc3\xbc\r\n"),
	  S(MIME QP TEXT "\r\n=C3=BC\r\n"), S("") },
	{ "a folded label with a comment",
	  S(MIME "Content-Transfer-Encoding:\r\n (so) 8bit\r\n\t(it is)\r\n" TEXT "\r\n\xc3\xbc\r\n"),
	  S(MIME QP TEXT "\r\n=C3=BC\r\n"), S("") },
	{ "two labels", S(MIME C8 TEXT CB "\r\n\xc3\xbc\r\n"), S(MIME QP TEXT "\r\n=C3=BC\r\n"), S("") },
	{ "a body of no known charset", S("Subject: x\r\n\r\n\xfc\r\n"),
	  S("Subject: x\r\n" MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\n=FC\r\n"), S("") },
	{ "Content-Type without MIME-Version", S(TEXT "\r\n\xc3\xbc\r\n"), S(TEXT MIME QP "\r\n=C3=BC\r\n"), S("") },
	{ "no header at all", S("\r\n\xfc\r\n"),
	  S(MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\n=FC\r\n"), S("") },
	{ "a body without empty line in front of it", S("Subject: x\r\nno field\xfc\r\n"),
	  S("Subject: x\r\n" MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\nno field=FC\r\n"),
	  S("") },
	{ "data", S(MIME DATA CB "\r\n\xff\x00\r\n"), S(MIME DATA B64 "\r\n/wANCg==\r\n"),
	  S(MIME DATA B64 "\r\n/wANCg==\r\n") },
	{ "data without final line end", S(MIME DATA CB "\r\nab"), S(MIME DATA B64 "\r\nYWI=\r\n"),
	  S(MIME DATA B64 "\r\nYWI=\r\n") },
	{ "text with a bare LF", S(MIME TEXT CB "\r\na\nb\r\n"), S(MIME TEXT B64 "\r\nYQpiDQo=\r\n"),
	  S(MIME TEXT B64 "\r\nYQpiDQo=\r\n") },
	{ "text with a bare CR at its end", S(MIME TEXT CB "\r\na\r"), S(MIME TEXT B64 "\r\nYQ0=\r\n"),
	  S(MIME TEXT B64 "\r\nYQ0=\r\n") },
	{ "parts",
	  S(MIME MIX C8 "\r\npre\xc3\r\n--b\r\n" TEXT C8 "\r\n\xc3\xbc\r\n--b\r\n" DATA CB
			"\r\n\x01\x00\r\n--b \t\r\n\r\nplain\r\n--b--\r\nend\xff\r\n"),
	  S(MIME MIX C7 "\r\npre?\r\n--b\r\n" TEXT QP "\r\n=C3=BC\r\n--b\r\n" DATA B64
			"\r\nAQA=\r\n--b \t\r\n\r\nplain\r\n--b--\r\nend?\r\n"),
	  S(MIME MIX C8 "\r\npre\xc3\r\n--b\r\n" TEXT C8 "\r\n\xc3\xbc\r\n--b\r\n" DATA B64
			"\r\nAQA=\r\n--b \t\r\n\r\nplain\r\n--b--\r\nend\xff\r\n") },
	{ "a label that is right once all is converted",
	  S(MIME MIX CB "\r\n--b\r\n" C8 "\r\nx\r\n--b\r\n\r\n\xfc\r\n--b--"),
	  S(MIME MIX C7 "\r\n--b\r\n" C7 "\r\nx\r\n--b\r\n" QP "\r\n=FC\r\n--b--"), S("") },
	{ "no closing boundary", S(MIX "\r\n--b\r\n\r\n\xfc\r\n"), S(MIX "\r\n--b\r\n" QP "\r\n=FC\r\n"), S("") },
	{ "the line end in front of a boundary", S(MIX "\r\n--b\r\n\r\n\xfc\r\n\r\n--b--\r\n"),
	  S(MIX "\r\n--b\r\n" QP "\r\n=FC\r\n\r\n--b--\r\n"), S("") },
	{ "a part without line end", S(MIX "\r\n--b\r\n\r\n\xfc=\r\n--b--\r\n"),
	  S(MIX "\r\n--b\r\n" QP "\r\n=FC=3D\r\n--b--\r\n"), S("") },
	{ "lines that are like boundaries",
	  S(MIX "\r\n--b\r\n\r\n--bb\r\n--c\r\n -- b\r\n--\r\n-\r\n--b --\r\n\xfc\r\n--b--\r\n"),
	  S(MIX "\r\n--b\r\n" QP "\r\n=2D-bb\r\n=2D-c\r\n -- b\r\n=2D-\r\n=2D\r\n=2D-b --\r\n=FC\r\n--b--\r\n"),
	  S("") },
	{ "part header only", S(MIX "\r\n--b\r\n" C8 "--b\r\n\r\n\xfc\r\n--b--"),
	  S(MIX "\r\n--b\r\n" C7 "--b\r\n" QP "\r\n=FC\r\n--b--"), S("") },
	{ "nested, the inner one not closed",
	  S(MIX "\r\n--b\r\nContent-Type: multipart/alternative; boundary=\"c d\"\r\n" CB
		"\r\n--c d\r\n\r\n\xfc\r\n--b\r\n\r\n\xfc\r\n--b--"),
	  S(MIX "\r\n--b\r\nContent-Type: multipart/alternative; boundary=\"c d\"\r\n" C7 "\r\n--c d\r\n" QP
		"\r\n=FC\r\n--b\r\n" QP "\r\n=FC\r\n--b--"),
	  S("") },
	{ "nested, one boundary for both: the innermost first",
	  S(MIX "\r\n--b\r\n" MIX "\r\n--b\r\n\r\n\xfc\r\n--b--\r\n--b\r\n\r\n\xfc\r\n--b--\r\n"),
	  S(MIX "\r\n--b\r\n" MIX "\r\n--b\r\n" QP "\r\n=FC\r\n--b--\r\n--b\r\n" QP "\r\n=FC\r\n--b--\r\n"), S("") },
	{ "an enclosed message", S(MIME "Content-Type: message/rfc822\r\n" C8 "\r\nSubject: in\r\n\r\n\xfc\r\n"),
	  S(MIME "Content-Type: message/rfc822\r\n" C7 "\r\nSubject: in\r\n" MIME
		 "Content-Type: text/plain; charset=unknown-8bit\r\n" QP "\r\n=FC\r\n"),
	  S("") },
	{ "a digest",
	  S("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" MIME TEXT "\r\n\xc3\xbc\r\n--b--\r\n"),
	  S("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" MIME TEXT QP "\r\n=C3=BC\r\n--b--\r\n"),
	  S("") },
	{ "quoted-printable that is none", S(TEXT QP "\r\na=FCb\xfc=\r\nx=zz\r\n"),
	  S(TEXT QP "\r\na=FCb=FC=\r\nx=zz\r\n"), S("") },
	{ "base64 that has more",
	  S(DATA B64 "\r\nR3L8\r\nv\xfc\x00"
		     "w==\r\n"),
	  S(DATA B64 "\r\nR3L8vw==\r\n"), S(DATA B64 "\r\nR3L8vw==\r\n") },
	{ "a wrong label",
	  S(TEXT B64 "\r\nGr\xfc\xdf"
		     "e\r\n"),
	  S(TEXT B64 MIME "\r\nR3L832UNCg==\r\n"), S("") },
	{ "a wrong label of a text that begins with a word", S(TEXT B64 "\r\n\r\nHallo\r\nGr\xfc\r\n"),
	  S(TEXT B64 MIME "\r\nDQpIYWxsbw0KR3L8DQo=\r\n"), S("") },
	{ "boundary in a section and once more",
	  S("Content-Type: multipart/x; boundary*0=b; boundary=c\r\n"
	    "\r\n--b\r\n\r\n\xfc\r\n--b--"),
	  S("Content-Type: multipart/x; boundary*0=b; boundary=c\r\n\r\n--b\r\n" QP "\r\n=FC\r\n--b--"), S("") },
	{ "the fields of a delivery report", S("Content-Type: message/delivery-status\r\n" C8 "\r\nX: \xfc\r\n"), S(""),
	  S("") },
	{ "bare line ends of structure", S(MIME MIX "\n\r\r--b\r" C8 "\n\xfc\n--b--\n"),
	  S(MIME MIX "\r\n\r\n\r\n--b\r\n" QP "\r\n=FC\r\n--b--\r\n"),
	  S(MIME MIX "\r\n\r\n\r\n--b\r\n" C8 "\r\n\xfc\r\n--b--\r\n") },
	{ "boundary in sections",
	  S("Content-Type: multipart/x; a=\"\\\";boundary=x\"; boundary*0=a; boundary*1*=%62\r\n"
	    "\r\n--ab\r\n\r\n\xfc\r\n--ab--"),
	  S("Content-Type: multipart/x; a=\"\\\";boundary=x\"; boundary*0=a; boundary*1*=%62\r\n"
	    "\r\n--ab\r\n" QP "\r\n=FC\r\n--ab--"),
	  S("") },
	{ "boundary with a charset",
	  S("Content-Type: Multipart/x (c;) ;\tBOUNDARY*=us-ascii'en'a%20b (c)\r\n"
	    "\r\n--a b\r\n\r\n\xfc\r\n--a b--"),
	  S("Content-Type: Multipart/x (c;) ;\tBOUNDARY*=us-ascii'en'a%20b (c)\r\n"
	    "\r\n--a b\r\n" QP "\r\n=FC\r\n--a b--"),
	  S("") },
};

static void each_message_becomes_what_its_rule_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct row *r = &rows[i];

		assert_converts(CONVERT_7BIT, r->in, r->seven.len ? r->seven : r->in, r->name);
		assert_converts(CONVERT_8BIT, r->in, r->eight.len ? r->eight : r->in, r->name);
	}
}

/* ---------------------------------------------------------------- what cannot be done */

struct refusal {
	const char *name;
	enum convert_why why;
	struct span in;
};

static const struct refusal refusals[] = {
	{ "signed", CONVERT_SEALED,
	  S("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" TEXT "\r\n\xfc\r\n--b--\r\n") },
	{ "encrypted", CONVERT_SEALED,
	  S("Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n" DATA "\r\n\xfc\r\n--b--\r\n") },
	{ "deep in something signed", CONVERT_SEALED,
	  S("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n" MIX "\r\n--b\r\nContent-Type: "
	    "message/rfc822\r\n\r\n\r\n\xfc\r\n--b--\r\n--s--\r\n") },
	{ "the preamble in something signed", CONVERT_SEALED,
	  S("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n" MIX
	    "\r\n\xfc\r\n--b\r\n\r\nx\r\n--b--\r\n--s--\r\n") },
	{ "the epilogue in something signed", CONVERT_SEALED,
	  S("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n" MIX
	    "\r\n--b\r\n\r\nx\r\n--b--\r\n\xfc\r\n--s--\r\n") },
	{ "a bare LF in a signed header", CONVERT_SEALED,
	  S("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nA: b\n\r\nx\r\n--s--\r\n") },
	{ "a fragment", CONVERT_FIXED, S("Content-Type: message/partial; id=x\r\n\r\n\xfc\r\n") },
	{ "external", CONVERT_FIXED, S("Content-Type: message/external-body\r\n\r\n\r\n\xfc\r\n") },
	{ "an encoded message", CONVERT_FIXED, S("Content-Type: message/rfc822\r\n" B64 "\r\n\xfc\r\n") },
	{ "a multipart without boundary", CONVERT_STRUCTURE,
	  S("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n\xfc\r\n") },
	{ "a multipart without parts", CONVERT_STRUCTURE, S(MIX "\r\n--c\r\n\r\n\xfc\r\n") },
	{ "a multipart that only ends", CONVERT_STRUCTURE, S(MIX "\r\n\xfc\r\n--b--\r\n") },
	{ "NUL in a header", CONVERT_NUL, S("Subject: \x00\r\n\r\nx\r\n") },
};

static void what_cannot_be_converted_is_told_with_the_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
		const struct refusal *r = &refusals[i];

		for (size_t cut = 1; cut <= r->in.len; cut++) {
			struct convert *c = scan(CONVERT_7BIT, r->in, cut);

			if (convert_facts(c)->cannot != r->why || !convert_facts(c)->needed)
				fail_msg("%s, cut every %zu bytes: \"%s\"", r->name, cut,
					 convert_why_text(convert_facts(c)->cannot));
			assert_int_equal(convert_facts(c)->size_bytes, r->in.len);
			convert_free(c);
		}
	}
}

static void what_is_signed_passes_when_it_is_fit(void **state)
{
	struct span in = S("Content-Type: multipart/signed; boundary=s\r\n" C8 "\r\n--s\r\n" C8
			   "\r\nx\r\n--s\r\n\r\ny\r\n--s--\r\n");
	struct span beside = S(MIX "\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n" C8 "\r\n--s\r\n" C8
				   "\r\nx\r\n--s--\r\n--b\r\n\r\n\xfc\r\n--b--");
	struct span becomes = S(MIX "\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n" C7 "\r\n--s\r\n" C8
				    "\r\nx\r\n--s--\r\n--b\r\n" QP "\r\n=FC\r\n--b--");

	(void)state;
	assert_converts(CONVERT_7BIT, in, in, "signed");
	assert_converts(CONVERT_7BIT, beside, becomes, "beside something signed");
}

/* ---------------------------------------------------------------- lines and sizes */

static void fill(struct buf *b, const char *text, size_t times)
{
	while (times--)
		assert_true(buf_append_str(b, text));
}

static void lines_are_counted_without_their_end(void **state)
{
	struct buf in;

	(void)state;
	buf_init(&in, 1 << 20);
	for (size_t len = CONVERT_LINE_MAX - 1; len <= CONVERT_LINE_MAX + 1; len++) {
		struct convert *c;

		buf_clear(&in);
		fill(&in, MIME "\r\n", 1);
		fill(&in, "x", len);
		fill(&in, "\r\n", 1);
		c = scan(CONVERT_8BIT, buf_span(&in), 100);
		assert_int_equal(convert_facts(c)->needed, len > CONVERT_LINE_MAX);
		convert_free(c);
	}
	buf_fini(&in);
}

static void a_boundary_with_endless_blanks_is_a_long_line(void **state)
{
	struct buf in;

	(void)state;
	buf_init(&in, 1 << 20);
	for (size_t blanks = CONVERT_LINE_MAX - 3; blanks <= CONVERT_LINE_MAX + 100; blanks++) {
		struct convert *c;

		buf_clear(&in);
		fill(&in, MIX "\r\n--b\r\n\r\nx\r\n--b", 1);
		fill(&in, " ", blanks);
		fill(&in, "\r\n\r\ny\r\n--b--\r\n", 1);
		c = scan(CONVERT_8BIT, buf_span(&in), 100);
		assert_int_equal(convert_facts(c)->needed, blanks + 3 > CONVERT_LINE_MAX);
		assert_int_equal(convert_facts(c)->parts, blanks + 3 > CONVERT_LINE_MAX ? 2 : 3);
		convert_free(c);
	}
	buf_fini(&in);
}

/* No line of what comes out is longer than 998 bytes, and none of quoted-printable longer than 76. */
static void assert_lines(struct span s, size_t most)
{
	while (s.len) {
		const char *end = memmem(s.data, s.len, "\r\n", 2);
		size_t len = end ? (size_t)(end - s.data) : s.len;

		assert_true(len <= most);
		s = span_from(s, len + 2);
	}
}

static void long_lines_are_broken_everywhere(void **state)
{
	static const char *const heads[] = { MIME "\r\n", MIME QP "\r\n", MIME DATA "\r\n", MIME DATA B64 "\r\n",
					     MIME MIX "\r\n" };
	static const size_t most[] = { 76, CONVERT_LINE_MAX, 76, 76, CONVERT_LINE_MAX };
	struct buf in, out;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 22);
	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		struct convert *c;

		buf_clear(&in);
		buf_clear(&out);
		fill(&in, heads[i], 1);
		fill(&in, "=41=\xfc-.F", 2000);
		fill(&in, i == 4 ? "\r\n--b\r\n\r\nx\r\n--b--\r\n" : "\r\n", 1);
		c = scan(CONVERT_7BIT, buf_span(&in), 1000);
		assert_int_equal(convert_facts(c)->cannot, CONVERT_NOTHING);
		convert_pieces(c, buf_span(&in), 1000, &out);
		assert_int_equal(convert_facts(c)->size_bytes, out.len);
		assert_lines(buf_span(&out), most[i]);
		assert_is_fit(CONVERT_7BIT, buf_span(&out), heads[i]);
		convert_free(c);
	}
	buf_fini(&in);
	buf_fini(&out);
}

static void a_broken_line_never_becomes_a_boundary(void **state)
{
	struct buf in, out;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 20);
	for (size_t before = 60; before < 90; before++) {
		struct convert *c;

		buf_clear(&in);
		buf_clear(&out);
		fill(&in, MIX "\r\n--b\r\n\r\n\xfc\r\n", 1);
		fill(&in, "x", before);
		fill(&in, "--b--\r\n.\r\n--b--\r\n", 1);
		c = scan(CONVERT_7BIT, buf_span(&in), 1000);
		convert_pieces(c, buf_span(&in), 1000, &out);
		assert_non_null(strstr(buf_cstr(&out), "\r\n=2E\r\n--b--\r\n"));
		assert_null(strstr(buf_cstr(&out), "=\r\n--b--"));
		convert_free(c);
	}
	buf_fini(&in);
	buf_fini(&out);
}

static void headers_are_reported_and_left_alone(void **state)
{
	struct buf in;
	struct convert *c;

	(void)state;
	buf_init(&in, 1 << 22);
	fill(&in, "Subject: \xc3\xbc\r\nX-Long: ", 1);
	fill(&in, "0123456789", 100 * 1000);
	fill(&in, "\r\n\r\nplain\r\n", 1);
	c = scan(CONVERT_7BIT, buf_span(&in), 4096);
	assert_true(convert_facts(c)->header_8bit);
	assert_true(convert_facts(c)->header_long);
	assert_false(convert_facts(c)->needed);
	convert_free(c);

	/* A header of 10,000 fields and a name that never ends, in front of text that must change. */
	buf_clear(&in);
	fill(&in, "X-Field: with some text\r\n", 10 * 1000);
	fill(&in, C8 "\r\n\xfc\r\n", 1);
	c = scan(CONVERT_7BIT, buf_span(&in), 4096);
	assert_int_equal(convert_facts(c)->cannot, CONVERT_NOTHING);
	assert_int_equal(convert_facts(c)->changed, 1);
	convert_free(c);
	buf_clear(&in);
	fill(&in, "x", 100 * 1000);
	fill(&in, "\xfc: \r\n", 1);
	c = scan(CONVERT_7BIT, buf_span(&in), 4096);
	assert_true(convert_facts(c)->needed);
	assert_false(convert_facts(c)->header_8bit);
	convert_free(c);
	buf_fini(&in);
}

/* ---------------------------------------------------------------- bounds */

static void deep_nesting(struct buf *in, unsigned depth, const char *text)
{
	char line[100];

	buf_clear(in);
	for (unsigned i = 0; i < depth; i++) {
		snprintf(line, sizeof line, "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", i, i);
		fill(in, line, 1);
	}
	fill(in, text, 1);
	for (unsigned i = depth; i-- > 0;) {
		snprintf(line, sizeof line, "\r\n--b%u--\r\n", i);
		fill(in, line, 1);
	}
}

static enum convert_why verdict(const struct buf *in)
{
	struct convert *c = scan(CONVERT_7BIT, buf_span(in), 1000);
	enum convert_why why = convert_facts(c)->cannot;

	convert_free(c);
	return why;
}

static void nesting_has_a_limit_that_only_counts_where_something_must_change(void **state)
{
	struct buf in;

	(void)state;
	buf_init(&in, 1 << 22);
	deep_nesting(&in, CONVERT_DEPTH_MAX, TEXT "\r\n\xc3\xbc");
	assert_int_equal(verdict(&in), CONVERT_NOTHING);
	deep_nesting(&in, CONVERT_DEPTH_MAX + 1, TEXT "\r\n\xc3\xbc");
	assert_int_equal(verdict(&in), CONVERT_DEPTH);
	deep_nesting(&in, 1000, TEXT "\r\nplain");
	assert_int_equal(verdict(&in), CONVERT_NOTHING);
	buf_clear(&in);
	fill(&in, "Content-Type: message/rfc822\r\n\r\n", CONVERT_DEPTH_MAX + 1);
	fill(&in, TEXT "\r\n\xc3\xbc\r\n", 1);
	assert_int_equal(verdict(&in), CONVERT_DEPTH);
	buf_clear(&in);
	fill(&in, "Content-Type: message/rfc822\r\n\r\n", CONVERT_DEPTH_MAX);
	fill(&in, MIX "\r\n--b\r\n" TEXT "\r\n\xc3\xbc\r\n--b--\r\n", 1);
	assert_int_equal(verdict(&in), CONVERT_DEPTH);
	buf_fini(&in);
}

static void parts_have_a_limit_that_only_counts_where_something_must_change(void **state)
{
	struct buf in;

	(void)state;
	buf_init(&in, 1 << 22);
	fill(&in, MIX "\r\n--b", 1);
	fill(&in, "\r\n\r\nx\r\n--b", CONVERT_PARTS_MAX);
	assert_int_equal(verdict(&in), CONVERT_NOTHING);
	fill(&in, "\r\n\r\n\xfc\r\n--b--\r\n", 1);
	assert_int_equal(verdict(&in), CONVERT_PARTS);
	buf_fini(&in);
}

static void boundaries_may_be_longer_than_allowed_but_not_endless(void **state)
{
	char text[2 * CONVERT_BOUNDARY_MAX + 200], boundary[CONVERT_BOUNDARY_MAX + 2];

	(void)state;
	for (int len = 70; len <= CONVERT_BOUNDARY_MAX + 1; len++) {
		int n;
		struct convert *c;

		memset(boundary, 'x', sizeof boundary);
		n = snprintf(text, sizeof text,
			     "Content-Type: multipart/mixed; boundary=\"%.*s\"\r\n\r\n--%.*s\r\n\r\n\xfc", len,
			     boundary, len, boundary);
		c = scan(CONVERT_7BIT, span_of(text, (size_t)n), 1000);
		assert_int_equal(convert_facts(c)->cannot,
				 len > CONVERT_BOUNDARY_MAX ? CONVERT_STRUCTURE : CONVERT_NOTHING);
		convert_free(c);
	}
}

static void output_stays_within_the_smallest_buffer_at_the_worst_growth(void **state)
{
	struct buf in, out;
	struct convert *c;

	(void)state;
	buf_init(&in, 1 << 22);
	buf_init(&out, 1 << 24);
	fill(&in, "Content-Type: multipart/digest; boundary=b\r\n\n--b\n", 1);
	fill(&in, "\n\n\xfc\n--b\n", 20 * 1000);
	c = scan(CONVERT_7BIT, buf_span(&in), 1 << 20);
	assert_int_equal(convert_facts(c)->cannot, CONVERT_NOTHING);
	convert_pieces(c, buf_span(&in), 1 << 20, &out);
	assert_int_equal(convert_facts(c)->size_bytes, out.len);
	assert_is_fit(CONVERT_7BIT, buf_span(&out), "digest");
	convert_free(c);
	buf_fini(&in);
	buf_fini(&out);
}

static void a_reading_may_begin_anew(void **state)
{
	struct span in = S(MIME TEXT "\r\n\xc3\xbc\r\n"), piece = span_first(in, 50);
	struct convert *c = scan(CONVERT_7BIT, in, 1000);
	struct buf out;

	(void)state;
	buf_init(&out, CONVERT_OUT_MIN);
	convert_feed(c, &piece, &out);
	convert_rewind(c);
	buf_clear(&out);
	convert_pieces(c, in, 1000, &out);
	assert_string_equal(buf_cstr(&out), MIME TEXT QP "\r\n=C3=BC\r\n");
	convert_free(c);
	convert_free(NULL);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_becomes_what_its_rule_says),
		cmocka_unit_test(what_cannot_be_converted_is_told_with_the_reason),
		cmocka_unit_test(what_is_signed_passes_when_it_is_fit),
		cmocka_unit_test(lines_are_counted_without_their_end),
		cmocka_unit_test(a_boundary_with_endless_blanks_is_a_long_line),
		cmocka_unit_test(long_lines_are_broken_everywhere),
		cmocka_unit_test(a_broken_line_never_becomes_a_boundary),
		cmocka_unit_test(headers_are_reported_and_left_alone),
		cmocka_unit_test(nesting_has_a_limit_that_only_counts_where_something_must_change),
		cmocka_unit_test(parts_have_a_limit_that_only_counts_where_something_must_change),
		cmocka_unit_test(boundaries_may_be_longer_than_allowed_but_not_endless),
		cmocka_unit_test(output_stays_within_the_smallest_buffer_at_the_worst_growth),
		cmocka_unit_test(a_reading_may_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
