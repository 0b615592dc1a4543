/* sendmail's input and header: what of standard input becomes the message. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tools/sendmail_header.h"
#include "tools/sendmail_input.h"

static const struct row {
	const char *name, *in;
	bool dot_is_text;
	const char *out;
	bool ended;
} rows[] = {
	{ "nothing", "", false, "", false },
	{ "line ends", "a\nb\r\nc\rd\n", false, "a\r\nb\r\nc\r\nd\r\n", false },
	{ "empty lines", "\n\r\n\r\r\n\n", false, "\r\n\r\n\r\n\r\n\r\n", false },
	{ "no last line end", "a\nb", false, "a\r\nb\r\n", false },
	{ "ends with a CR", "a\r", false, "a\r\n", false },
	{ "lone dot", "a\n.\nb\n", false, "a\r\n", true },
	{ "lone dot with CR LF", "a\r\n.\r\nb\r\n", false, "a\r\n", true },
	{ "lone dot at once", ".\nb\n", false, "", true },
	{ "lone dot at the end of the stream", "a\n.", false, "a\r\n", true },
	{ "lone dot is text with -i", "a\n.\nb\n", true, "a\r\n.\r\nb\r\n", false },
	{ "dot is text with -i at the end", "a\n.", true, "a\r\n.\r\n", false },
	{ "dots that do not stand alone", ".a\n..\n. \na.\n", false, ".a\r\n..\r\n. \r\na.\r\n", false },
	{ "bytes of all kinds", "\xff\x01\n", false, "\xff\x01\r\n", false },
};

static void check_row(const struct row *row, size_t cut)
{
	struct span all = span_str(row->in);
	struct sendmail_input in;
	struct buf out;

	sendmail_input_init(&in, row->dot_is_text);
	buf_init(&out, 1000);
	for (size_t at = 0; at < all.len; at += cut)
		sendmail_input_feed(&in, span_first(span_from(all, at), cut), &out);
	sendmail_input_finish(&in, &out);
	if (strcmp(buf_cstr(&out), row->out) != 0 || in.ended != row->ended || in.bytes != out.len)
		fail_msg("%s, in pieces of %zu: '%s'", row->name, cut, buf_cstr(&out));
	buf_fini(&out);
}

static void input_becomes_whole_lines_however_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t cut = 1; cut <= strlen(rows[i].in) + 1; cut++)
			check_row(&rows[i], cut);
}

static void input_with_bytes_above_127_is_noticed(void **state)
{
	struct sendmail_input in;
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	sendmail_input_init(&in, false);
	sendmail_input_feed(&in, SPAN("abc\n"), &out);
	assert_false(in.has_8bit);
	sendmail_input_feed(&in, SPAN("\x80\n"), &out);
	assert_true(in.has_8bit);
	buf_fini(&out);
}

static const struct header_row {
	const char *name, *in;
	const char *kept;       /* with the empty line; NULL: an error */
	const char *recipients; /* of -t, sorted, each with a blank behind it; or the error */
	size_t body;
} header_rows[] = {
	{ "all kinds of recipients", "To: b@x, a@x\r\nBcc: d@x\r\ncc : c@x\r\nSubject: s\r\n\r\nbody",
	  "To: b@x, a@x\r\ncc : c@x\r\nSubject: s\r\n\r\n", "a@x b@x c@x d@x ", 48 },
	{ "Bcc that is folded", "Bcc: a@x,\r\n b@x\r\nTo: c@x\r\n\r\n", "To: c@x\r\n\r\n", "a@x b@x c@x ", 28 },
	{ "several fields of a name", "To: a@x\r\nTo: b@x\r\n\r\n", "To: a@x\r\nTo: b@x\r\n\r\n", "a@x b@x ", 20 },
	{ "one address twice", "To: a@x\r\nCc: A <a@x>\r\n\r\n", "To: a@x\r\nCc: A <a@x>\r\n\r\n", "a@x ", 24 },
	{ "resent: only its own recipients", "Resent-To: r@x\r\nResent-Bcc: s@x\r\nTo: a@x\r\nBcc: b@x\r\n\r\n",
	  "Resent-To: r@x\r\nTo: a@x\r\n\r\n", "r@x s@x ", 54 },
	{ "no recipients", "Subject: s\r\n\r\n", "Subject: s\r\n\r\n", "", 14 },
	{ "empty group", "To: undisclosed-recipients:;\r\n\r\n", "To: undisclosed-recipients:;\r\n\r\n", "", 32 },
	{ "no header", "To be or not\r\n", "\r\n", "", 0 },
	{ "no body", "To: a@x\r\n", "To: a@x\r\n\r\n", "a@x ", 9 },
	{ "a line that is no field", "To: a@x\r\noops\r\nBcc: b@x\r\n", "To: a@x\r\n\r\n", "a@x ", 9 },
	{ "mailbox line", "From me Tue Nov 24 05:30:00 2026\r\nTo: a@x\r\n\r\nb", "To: a@x\r\n\r\n", "a@x ", 45 },
	{ "text that begins with From", "From here on it is text\r\nreally\r\n", "\r\n", "", 0 },
	{ "resent twice: all of it", "Resent-To: r@x\r\nResent-From: me\r\nResent-To: s@x\r\nTo: a@x\r\n\r\n",
	  "Resent-To: r@x\r\nResent-From: me\r\nResent-To: s@x\r\nTo: a@x\r\n\r\n", "r@x s@x ", 60 },
	{ "resent by a field that names nobody", "Resent-From: me\r\nTo: a@x\r\n\r\n",
	  "Resent-From: me\r\nTo: a@x\r\n\r\n", "a@x ", 28 },
	{ "quotes, a group and a dash", "To: \"a, b\"@x, g: c@x, d@x;, -e@x, \"N\" <\"f g\"@x>\r\n\r\n",
	  "To: \"a, b\"@x, g: c@x, d@x;, -e@x, \"N\" <\"f g\"@x>\r\n\r\n", "\"a, b\"@x \"f g\"@x -e@x c@x d@x ", 51 },
	{ "bad list", "To: a b\r\n\r\n", NULL, "a b: words without a comma between them", 0 },
};

static void the_header_gives_recipients_and_loses_bcc(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(header_rows) / sizeof(header_rows[0]); i++) {
		const struct header_row *row = &header_rows[i];
		char error[SENDMAIL_HEADER_ERROR_SIZE] = "", all[200] = "";
		struct sendmail_header_list list = { 0 };
		struct sendmail_header h;
		bool ok = sendmail_header_read(&h, span_str(row->in), true, &list, error);

		if (ok != (row->kept != NULL))
			fail_msg("%s: %s", row->name, error);
		sendmail_header_list_unify(&list);
		for (size_t n = 0; n < list.count; n++)
			strcat(strcat(all, list.items[n]), " ");
		if (strcmp(ok ? all : error, row->recipients) != 0)
			fail_msg("%s: '%s' %s", row->name, all, error);
		if (ok && (strcmp(buf_cstr(&h.kept), row->kept) != 0 || h.body != row->body))
			fail_msg("%s: body at %zu, kept\n%s", row->name, h.body, buf_cstr(&h.kept));
		sendmail_header_fini(&h);
		sendmail_header_list_fini(&list);
	}
}

static void without_t_the_header_stays_as_it_is(void **state)
{
	char error[SENDMAIL_HEADER_ERROR_SIZE];
	struct sendmail_header h;

	(void)state;
	assert_true(sendmail_header_read(&h, SPAN("To: a b\r\nBcc: c\r\nResent-Bcc: e\r\nFrom: d\r\n\r\n"), true, NULL,
					 error));
	assert_string_equal(buf_cstr(&h.kept), "To: a b\r\nBcc: c\r\nResent-Bcc: e\r\nFrom: d\r\n\r\n");
	assert_true(h.has_from);
	assert_false(h.has_date);
	sendmail_header_fini(&h);
	assert_true(sendmail_header_read(&h, SPAN("dAtE: x\r\n\r\n"), true, NULL, error));
	assert_true(h.has_date);
	sendmail_header_fini(&h);
}

static void a_header_without_end_is_refused(void **state)
{
	char error[SENDMAIL_HEADER_ERROR_SIZE];
	struct sendmail_header h;

	(void)state;
	assert_false(sendmail_header_read(&h, SPAN("To: a\r\nX: b\r\n"), false, NULL, error));
	sendmail_header_fini(&h);
}

static void from(const char *address, const char *name, const char *expect)
{
	struct buf out;

	buf_init(&out, 1000);
	assert_true(sendmail_header_from(&out, address, "host.example", name));
	assert_string_equal(buf_cstr(&out), expect);
	buf_fini(&out);
}

static void a_missing_from_names_the_sender(void **state)
{
	(void)state;
	from("root", NULL, "From: root@host.example\r\n");
	from("a@b", "", "From: a@b\r\n");
	from("root", "Cron Daemon", "From: Cron Daemon <root@host.example>\r\n");
	from("a@b", "Doe, J.", "From: \"Doe, J.\" <a@b>\r\n");
	from("a@b", "J\xc3\xbc\r\nBcc: x", "From: =?UTF-8?B?SsO8IEJjYzogeA==?= <a@b>\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(input_becomes_whole_lines_however_it_is_cut),
		cmocka_unit_test(input_with_bytes_above_127_is_noticed),
		cmocka_unit_test(the_header_gives_recipients_and_loses_bcc),
		cmocka_unit_test(without_t_the_header_stays_as_it_is),
		cmocka_unit_test(a_header_without_end_is_refused),
		cmocka_unit_test(a_missing_from_names_the_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
