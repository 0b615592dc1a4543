/* Random messages under random rules: cut anywhere they come out the same, the body byte by byte, and of the header only
 * what a rule is about is another. A new seed each time; SEED=n runs that one again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "message/fixup.h"

enum { ROUNDS = 3000, CUTS = 4 };

static uint64_t seed, word;
static struct aliases *aliases;

static uint32_t below(uint32_t n)
{
	/* xorshift64* */
	word ^= word >> 12;
	word ^= word << 25;
	word ^= word >> 27;
	return (uint32_t)((word * 0x2545f4914f6cdd1du) >> 33) % n;
}

static const char *const pieces[] = {
	"From",
	"To",
	"Cc",
	"Bcc",
	"Sender",
	"Reply-To",
	"Resent-From",
	"Resent-To",
	"Resent-Date",
	"Date",
	"Message-ID",
	"Subject",
	"X-Thing",
	"Received",
	"Return-Path",
	":",
	": ",
	" : ",
	":\t",
	"\r\n",
	"\r\n",
	"\r\n",
	"\r\n ",
	"\r\n\t",
	"\r\n\r\n",
	"\n",
	"\n\n",
	"\r",
	"root",
	"joe",
	"staff",
	"a@b.example",
	"root@host.example",
	"<root>",
	"Joe <joe@x.example>",
	"\"Doe, J\" <j@x>",
	"(comment)",
	"(",
	")",
	"\"",
	"<",
	">",
	"@",
	",",
	", ",
	";",
	".",
	"\\",
	"friends:",
	"=?utf-8?q?=C3=BC?=",
	"\xc3\xbc",
	"\xff",
	"From joe Mon Jan 1\r\n",
	">From ",
	"[",
	"]",
	"me@example.com",
};

static void write_message(struct buf *out)
{
	size_t count = below(below(4) ? 60 : 6);
	bool field = true;

	for (size_t i = 0; i < count; i++) {
		uint32_t kind = below(20);

		if (kind == 0) { /* any bytes */
			for (uint32_t n = below(12); n; n--)
				buf_append_char(out, (char)below(256));
		} else if (kind < 8 && field) { /* something like a field */
			buf_append_str(out, pieces[below(15)]);
			buf_append_str(out, ": ");
		} else {
			buf_append_str(out, pieces[below(sizeof(pieces) / sizeof(pieces[0]))]);
		}
		field = out->len && buf_span(out).data[out->len - 1] == '\n';
		if (!field && below(6) == 0) {
			buf_append_str(out, "\r\n");
			field = true;
		}
	}
}

static const char *maybe(const char *text)
{
	return below(2) ? text : NULL;
}

static struct fixup_options random_options(void)
{
	return (struct fixup_options){ .hostname = "host.example",
				       .protocol = maybe("ESMTPS"),
				       .id = "0abc",
				       .helo = maybe("client.example"),
				       .peer = maybe("[192.0.2.1]"),
				       .tls = maybe("TLSv1.3"),
				       .user = maybe("uid 1000"),
				       .recipient = maybe("a@b"),
				       .no_trace = below(4) == 0,
				       .add_date = below(2),
				       .add_message_id = below(2),
				       .from = maybe("s@x.example"),
				       .qualify = maybe("host.example"),
				       .identity_from = maybe("me@example.com"),
				       .identity_name = maybe("J\xc3\xbcrgen"),
				       .original = (enum revise_original)below(3),
				       .to = maybe("catch@example.org"),
				       .aliases = below(2) ? aliases : NULL,
				       .utf8 = below(2) };
}

static void take(struct buf *all, const struct span *out, size_t count)
{
	assert_true(count <= FIXUP_SPANS);
	for (size_t i = 0; i < count; i++) {
		assert_true(out[i].len > 0);
		assert_true(buf_append_span(all, out[i]));
	}
}

static struct fixup_facts run(const struct fixup_options *o, struct span in, bool cut, struct buf *all)
{
	struct span out[FIXUP_SPANS];
	struct fixup_facts facts;
	struct fixup f;

	fixup_init(&f, o);
	while (in.len) {
		struct span now = span_first(in, cut ? 1 + below(below(2) ? 3 : 40) : in.len);
		char *copy = malloc(now.len);

		memcpy(copy, now.data, now.len);
		take(all, out, fixup_feed(&f, span_of(copy, now.len), out));
		free(copy);
		in = span_from(in, now.len);
	}
	take(all, out, fixup_end(&f, out));
	facts = *fixup_facts(&f);
	facts.message_id = facts.subject = "";
	fixup_fini(&f);
	return facts;
}

static bool same_facts(const struct fixup_facts *a, const struct fixup_facts *b)
{
	return a->ready && b->ready && a->header_too_long == b->header_too_long && a->no_header == b->no_header &&
	       a->has_date == b->has_date && a->has_message_id == b->has_message_id && a->has_from == b->has_from &&
	       a->has_to == b->has_to && a->has_bcc == b->has_bcc && a->is_resent == b->is_resent &&
	       a->is_auto == b->is_auto && a->has_nul == b->has_nul && a->is_changed == b->is_changed &&
	       a->is_given_up == b->is_given_up && a->received == b->received && a->added_bytes == b->added_bytes;
}

static bool is_ruled(enum header_name name)
{
	return name <= HEADER_BCC || (name >= HEADER_RESENT_FROM && name <= HEADER_RESENT_BCC);
}

/* The fields that no rule is about, and the order of all others. */
static void note_fields(struct span text, struct buf *out, bool new_ones)
{
	struct header_field field;

	while (header_next(&text, &field)) {
		bool ours = new_ones && span_equals_fold(field.label, SPAN("X-Original-From"));

		if (!is_ruled(field.name) && !ours)
			buf_append_span(out, field.whole);
	}
}

/* What is in the message behind its header; *out_fields: the header without a mailbox line. */
static struct span split(struct span in, struct span *out_fields)
{
	struct header h;
	size_t envelope = 0;
	struct span rest = in;

	header_init(&h);
	while (rest.len && rest.data[0] == '>')
		rest = span_from(rest, 1);
	if (rest.len > 5 && memcmp(rest.data, "From ", 5) == 0) {
		rest = span_trim(span_from(rest, 5));
		envelope = rest.len && !strchr(":\r\n", rest.data[0]) ? span_find(in, '\n') + 1 : 0;
		envelope = envelope > in.len || envelope > 998 ? 0 : envelope;
	}
	if (header_finish(&h, span_from(in, envelope)) == HEADER_NONE || !h.any) {
		if (envelope) {
			*out_fields = span_of("", 0);
			return in;
		}
	}
	*out_fields = span_of(in.data + envelope, h.length);
	return span_from(in, envelope + h.length);
}

static void check_rest(struct span in, struct span out, const struct fixup_facts *facts)
{
	struct span fields, body = split(in, &fields), new_fields, kept;
	struct buf before, after;

	if (body.len > out.len || (body.len && memcmp(out.data + out.len - body.len, body.data, body.len) != 0))
		fail_msg("the body is another");
	if (facts->no_header)
		return;
	buf_init(&before, 1 << 20);
	buf_init(&after, 1 << 20);
	new_fields = span_first(out, out.len - body.len);
	note_fields(fields, &before, false);
	note_fields(new_fields, &after, true);
	kept = buf_span(&before);
	if (after.len < kept.len || memcmp(buf_span(&after).data + after.len - kept.len, kept.data, kept.len) != 0)
		fail_msg("a field that no rule is about is another");
	buf_fini(&before);
	buf_fini(&after);
}

static void dump(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		fprintf(stderr, s.data[i] >= ' ' && s.data[i] < 127 ? "%c" : "\\x%02x", (unsigned char)s.data[i]);
	fputc('\n', stderr);
}

static void one(void)
{
	struct fixup_options o = random_options(), none = { .hostname = "h", .id = "i", .no_trace = true };
	struct fixup_facts facts, again;
	struct buf in, whole, cut;

	buf_init(&in, 1 << 20);
	buf_init(&whole, 1 << 20);
	buf_init(&cut, 1 << 20);
	write_message(&in);
	facts = run(&o, buf_span(&in), false, &whole);
	for (int i = 0; i < CUTS; i++) {
		buf_clear(&cut);
		again = run(&o, buf_span(&in), true, &cut);
		if (!span_equals(buf_span(&whole), buf_span(&cut)) || !same_facts(&facts, &again)) {
			dump(buf_span(&in));
			dump(buf_span(&whole));
			dump(buf_span(&cut));
			fail_msg("cut, it comes out as another");
		}
	}
	assert_int_equal(facts.added_bytes, (int64_t)whole.len - (int64_t)in.len);
	check_rest(buf_span(&in), buf_span(&whole), &facts);
	/* Without a rule everything is there, but perhaps for an empty line or the mark of a mailbox line. */
	buf_clear(&cut);
	facts = run(&none, buf_span(&in), true, &cut);
	assert_false(facts.is_changed);
	if (facts.added_bytes == 0)
		assert_true(span_equals(buf_span(&in), buf_span(&cut)));
	assert_true(facts.added_bytes == 0 || facts.added_bytes == 2 || facts.added_bytes == 16 ||
		    facts.added_bytes == 18);
	buf_fini(&in);
	buf_fini(&whole);
	buf_fini(&cut);
}

static void a_message_comes_out_the_same_however_it_is_cut(void **state)
{
	(void)state;
	word = seed ? seed : 1;
	for (int i = 0; i < ROUNDS; i++)
		one();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_comes_out_the_same_however_it_is_cut),
	};
	const char *given = getenv("SEED");
	struct timespec now;
	struct buf errors;
	int failed;

	setenv("TZ", "UTC", 1);
	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0)
		     : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30 ^ (uint64_t)getpid();
	buf_init(&errors, 1000);
	aliases = aliases_new();
	aliases_read(aliases, "/a", SPAN("root: me@x.example\nstaff: a@x, b@y, joe\n"), &errors);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (failed)
		fprintf(stderr, "replay with SEED=%llu\n", (unsigned long long)seed);
	aliases_unref(aliases);
	buf_fini(&errors);
	return failed;
}
