/* The headers that programs really send: untouched where no rule is about them, fit for a provider where one is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "message/fixup.h"

#define BODY "\r\nTo: nobody\r\n.\r\n"

static const struct row {
	const char *program, *header;
	/* Under an identity for root, aliases and a domain; NULL: as it came. */
	const char *from, *to, *original;
	bool resent;
} rows[] = {
	{ "cron of Debian",
	  "From: root@laptop (Cron Daemon)\r\nTo: root@laptop\r\nSubject: Cron <root@laptop> test -x /usr/sbin/anacron || "
	  "( cd / && run-parts --report /etc/cron.daily )\r\nMIME-Version: 1.0\r\n"
	  "Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n"
	  "X-Cron-Env: <SHELL=/bin/sh>\r\nX-Cron-Env: <HOME=/root>\r\nX-Cron-Env: <LOGNAME=root>\r\n"
	  "Message-Id: <E1rX-0001@laptop>\r\nDate: Mon, 01 Jan 2024 00:00:01 +0100\r\n",
	  " Cron Daemon <alerts@example.com>", " me@example.com", " root@laptop (Cron Daemon)", false },
	{ "cronie",
	  "From: \"(Cron Daemon)\" <root>\r\nTo: root\r\nSubject: Cron <root@laptop> /usr/local/bin/backup\r\n"
	  "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=ANSI_X3.4-1968\r\nAuto-Submitted: auto-generated\r\n"
	  "Precedence: bulk\r\nX-Cron-Env: <MAILTO=>\r\n",
	  " \"(Cron Daemon)\" <alerts@example.com>", " me@example.com", " \"(Cron Daemon)\" <root>", false },
	{ "smartd", "Subject: SMART error (CurrentPendingSector) detected on host: laptop\r\nTo: root\r\n",
	  " alerts@example.com", " me@example.com", NULL, false },
	{ "mdadm", "From: mdadm monitoring <root>\r\nTo: root\r\nSubject: DegradedArray event on /dev/md0:laptop\r\n",
	  " mdadm monitoring <alerts@example.com>", " me@example.com", " mdadm monitoring <root>", false },
	{ "sudo",
	  "To: root\r\nFrom: joe\r\nAuto-Submitted: auto-generated\r\nSubject: *** SECURITY information for laptop ***\r\n",
	  " alerts@example.com", " me@example.com", " joe", false },
	{ "logwatch",
	  "To: root\r\nFrom: Logwatch@localhost\r\nSubject: Logwatch for laptop (Linux)\r\nAuto-Submitted: auto-generated\r\n"
	  "Precedence: bulk\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n"
	  "Content-Type: text/plain; charset=\"utf-8\"\r\n",
	  " alerts@example.com", " me@example.com", " Logwatch@localhost", false },
	{ "s-nail",
	  "Date: Mon, 01 Jan 2024 06:10:00 +0100\r\nTo: root, joe@example.net\r\n"
	  "Subject: unattended-upgrades result for laptop: SUCCESS\r\nUser-Agent: s-nail v14.9.24\r\n"
	  "Message-ID: <20240101051000.0abcd%root@laptop>\r\nFrom: root <root@laptop>\r\n",
	  " root <alerts@example.com>", " me@example.com, joe@example.net", " root <root@laptop>", false },
	{ "mail() of PHP",
	  "To: Customer <c@example.net>\r\nSubject: =?UTF-8?B?QmVzdMOkdGlndW5n?=\r\n"
	  "X-PHP-Originating-Script: 33:class-phpmailer.php\r\nDate: Mon, 1 Jan 2024 12:00:00 +0000\r\n"
	  "From: WordPress <wordpress@shop>\r\nReply-To: Shop <shop@example.org>\r\n"
	  "Message-ID: <aBcD@shop>\r\nX-Mailer: PHPMailer 6.8.0 (https://github.com/PHPMailer/PHPMailer)\r\n"
	  "MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"b1_aBcD\"\r\n"
	  "Content-Transfer-Encoding: 8bit\r\n",
	  " WordPress <alerts@example.com>", " Customer <c@example.net>", " WordPress <wordpress@shop>", false },
	{ "git send-email",
	  "From: =?UTF-8?q?J=C3=BCrgen=20M?= <jm@example.org>\r\nTo: list@vger.example.org\r\n"
	  "Cc: \"Doe, Joe\" <joe@example.net>,\r\n\tann@example.net,\r\n\t=?UTF-8?q?=C3=89va?= <eva@example.net>\r\n"
	  "Subject: [PATCH v2 1/3] net: do less\r\nDate: Mon,  1 Jan 2024 10:00:00 +0100\r\n"
	  "Message-ID: <20240101090000.12345-2-jm@example.org>\r\nX-Mailer: git-send-email 2.43.0\r\n"
	  "In-Reply-To: <20240101090000.12345-1-jm@example.org>\r\n"
	  "References: <20240101090000.12345-1-jm@example.org>\r\nMIME-Version: 1.0\r\n"
	  "Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n",
	  " =?UTF-8?q?J=C3=BCrgen=20M?= <alerts@example.com>", " list@vger.example.org",
	  " =?UTF-8?q?J=C3=BCrgen=20M?= <jm@example.org>", false },
	{ "mutt, sending again",
	  "Resent-From: Joe <joe>\r\nResent-To: root, ann@example.net\r\nResent-Date: Mon, 1 Jan 2024 11:00:00 +0100\r\n"
	  "Resent-Message-ID: <ZZa@laptop>\r\nReturn-Path: <author@example.net>\r\nDelivered-To: joe@laptop\r\n"
	  "Received: from mx.example.net (mx.example.net [192.0.2.1])\r\n\tby laptop (Postfix) with ESMTPS id 4T3x\r\n"
	  "\tfor <joe@laptop>; Mon,  1 Jan 2024 10:00:00 +0100 (CET)\r\nFrom: Author <author@example.net>\r\n"
	  "To: joe\r\nSubject: hello\r\nDate: Mon, 1 Jan 2024 09:59:00 +0100\r\nMessage-ID: <1@example.net>\r\n"
	  "Content-Length: 12\r\nLines: 1\r\nStatus: RO\r\n",
	  " Joe <alerts@example.com>", " me@example.com, ann@example.net", " Joe <joe>", true },
	{ "Outlook",
	  "From: \"Doe, Joe (IT)\" <Joe.Doe@example.org>\r\nTo: \"'ann@example.net'\" <ann@example.net>\r\n"
	  "Subject: RE: hello\r\nDate: Mon, 1 Jan 2024 09:59:00 +0100\r\nMessage-ID: <000001da$0000$@example.org>\r\n"
	  "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"----=_NextPart_000_0000_01DA.AB\"\r\n"
	  "X-Mailer: Microsoft Outlook 16.0\r\nThread-Index: AdoAAAA=\r\nContent-Language: de\r\n"
	  "X-MS-Has-Attach: \r\nX-MS-TNEF-Correlator:\r\n",
	  " \"Doe, Joe (IT)\" <alerts@example.com>", " \"'ann@example.net'\" <ann@example.net>",
	  " \"Doe, Joe (IT)\" <Joe.Doe@example.org>", false },
	{ "a list manager",
	  "Received: by lists.example.org; Mon, 1 Jan 2024 00:00:00 +0000\r\nAuthentication-Results: lists.example.org;\r\n"
	  "\tdkim=pass header.d=example.net header.i=@example.net header.b=\"AbC\"\r\n"
	  "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.net; s=s;\r\n\tt=1704067200;\r\n"
	  "\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\th=From:To:Subject;\r\n\tb=AbC+\r\n\t Def==\r\n"
	  "From: Ann via List <list@lists.example.org>\r\nReply-To: Ann <ann@example.net>\r\nSender: list-bounces@lists.example.org\r\n"
	  "To: undisclosed-recipients:;\r\nErrors-To: list-bounces@lists.example.org\r\nPrecedence: list\r\n"
	  "List-Id: A list <list.lists.example.org>\r\nList-Unsubscribe: <https://lists.example.org/>,\r\n"
	  " <mailto:list-request@lists.example.org?subject=unsubscribe>\r\n"
	  "Subject: =?utf-8?b?w7w=?=\r\n =?utf-8?b?w7w=?=\r\nMessage-ID:\r\n <very-long-id-that-stands-alone@example.net>\r\n"
	  "Date: Mon, 1 Jan 2024 00:00:00 +0000 (UTC)\r\n",
	  " Ann via List <alerts@example.com>", " undisclosed-recipients:;", " Ann via List <list@lists.example.org>",
	  false },
	{ "a telephone number", "From: +4917012345678\r\nTo: +4917087654321, <joe>\r\nSubject: SMS\r\n",
	  " alerts@example.com", " +4917087654321@laptop, <joe@laptop>", " +4917012345678", false },
	{ "a printer",
	  "FROM:scanner\r\nTO:ann@example.net\r\nSUBJECT:Scan 0001\r\nDATE:Mon, 01 Jan 24 00:00:00 -0000\r\n"
	  "MIME-VERSION:1.0\r\nCONTENT-TYPE:MULTIPART/MIXED;BOUNDARY=\"X\"\r\n",
	  " alerts@example.com", "ann@example.net", "scanner", false },
	{ "a script that knows no quotes",
	  "From: Backup @ laptop <root@laptop\r\nTo: Joe Doe <root>, Ann Doe\r\nSubject: done\r\n",
	  " alerts@example.com", " Joe Doe <root>, Ann Doe", " Backup @ laptop <root@laptop", false },
	{ "a form in Latin 1",
	  "From: J\xfcrgen <j@example.org>\r\nTo: root\r\nSubject: Gr\xfc\xdf"
	  "e\r\n",
	  " J\xfcrgen <alerts@example.com>", " me@example.com", " J\xfcrgen <j@example.org>", false },
};

static void take(struct buf *all, const struct span *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_true(buf_append_span(all, out[i]));
}

static void run(const struct fixup_options *o, struct span in, size_t piece, struct buf *all)
{
	struct span out[FIXUP_SPANS];
	struct fixup f;

	fixup_init(&f, o);
	for (size_t at = 0; at < in.len; at += piece)
		take(all, out, fixup_feed(&f, span_first(span_from(in, at), piece), out));
	take(all, out, fixup_end(&f, out));
	fixup_fini(&f);
}

static void without_a_rule_every_header_comes_out_as_it_went_in(void **state)
{
	struct fixup_options o = { .hostname = "laptop", .id = "0abc", .no_trace = true };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf in, all;

		buf_init(&in, 65536);
		buf_init(&all, 65536);
		buf_append_str(&in, rows[i].header);
		buf_append_str(&in, BODY);
		for (size_t piece = 1; piece < 100; piece += 7) {
			buf_clear(&all);
			run(&o, buf_span(&in), piece, &all);
			if (!span_equals(buf_span(&in), buf_span(&all)))
				fail_msg("%s: %s", rows[i].program, buf_cstr(&all));
		}
		buf_fini(&in);
		buf_fini(&all);
	}
}

static void check_value(const char *program, struct span text, const char *label, const char *want)
{
	struct header_field field;
	size_t count = 0;

	while (header_next(&text, &field)) {
		if (!span_equals_fold(field.label, span_str(label)))
			continue;
		if (!want || !span_equals(field.value, span_str(want)))
			fail_msg("%s: %s:%.*s", program, label, SPAN_ARGS(field.value));
		count++;
	}
	if (count != (want ? 1 : 0))
		fail_msg("%s: %zu fields %s", program, count, label);
}

/* Every other field is there, in its order, byte by byte. */
static void check_others(const struct row *row, struct span text)
{
	struct span rest = span_str(row->header);
	struct header_field old, new;

	while (header_next(&rest, &old)) {
		if (old.name == (row->resent ? HEADER_RESENT_FROM : HEADER_FROM) ||
		    old.name == (row->resent ? HEADER_RESENT_TO : HEADER_TO))
			continue;
		do {
			if (!header_next(&text, &new))
				fail_msg("%s: %.*s is another", row->program, SPAN_ARGS(old.whole));
		} while (!span_equals(old.whole, new.whole));
	}
}

static void under_an_identity_they_are_fit_for_a_provider(void **state)
{
	struct aliases *aliases = aliases_new();
	struct fixup_options o = { .hostname = "laptop",
				   .id = "0abc",
				   .no_trace = true,
				   .add_date = true,
				   .add_message_id = true,
				   .qualify = "laptop",
				   .identity_from = "alerts@example.com",
				   .original = REVISE_X_ORIGINAL_FROM,
				   .aliases = aliases };
	struct buf errors;

	(void)state;
	buf_init(&errors, 1000);
	assert_int_equal(aliases_read(aliases, "/etc/aliases", SPAN("root: me@example.com\n"), &errors), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct span text;
		struct buf in, all;

		buf_init(&in, 65536);
		buf_init(&all, 65536);
		buf_append_str(&in, row->header);
		buf_append_str(&in, BODY);
		run(&o, buf_span(&in), 50, &all);
		text = buf_span(&all);
		check_value(row->program, text, row->resent ? "Resent-From" : "From", row->from);
		check_value(row->program, text, row->resent ? "Resent-To" : "To", row->to);
		check_value(row->program, text, "X-Original-From", row->original);
		check_others(row, text);
		assert_true(text.len > strlen(BODY));
		assert_memory_equal(text.data + text.len - strlen(BODY), BODY, strlen(BODY));
		buf_fini(&in);
		buf_fini(&all);
	}
	aliases_unref(aliases);
	buf_fini(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_rule_every_header_comes_out_as_it_went_in),
		cmocka_unit_test(under_an_identity_they_are_fit_for_a_provider),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
