/* Plays the scripts of tests/scripts/client against the engine: whole, byte by byte, and cut in two everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "smtp/client.h"
#include "smtp/sasl.h"
#include "tests/unit/support/script.h"

enum { CUTS_MAX = 1500, DID_MAX = 4096, MESSAGES_MAX = 16, RCPTS_MAX = 64 };

/* Where the server's bytes are cut: nowhere, everywhere (stepping after each byte, or only at the end), or once. */
enum { CUT_NOWHERE = -1, CUT_EVERYWHERE = -2, CUT_EVERYWHERE_UNSTEPPED = -3 };

/* One line said or one thing done. */
struct deed {
	bool is_said, ends_group;
	char *text;
	size_t len;
};

struct message {
	struct client_message message;
	struct client_rcpt rcpts[RCPTS_MAX];
	char *words[2 * RCPTS_MAX];
	size_t word_count;
};

struct player {
	const struct script *script;
	struct client *client;
	int64_t now_ms;
	int64_t cut; /* position in all the server says, or CUT_ */
	int64_t peer_bytes;
	struct buf line; /* what was said since the last CRLF */
	struct deed did[DID_MAX];
	size_t did_count, did_read;
	struct message messages[MESSAGES_MAX];
	size_t message_count;
	const struct script_line *at;
};

static void wrong(const struct player *p, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

static void wrong(const struct player *p, const char *format, ...)
{
	va_list args;

	print_error("%s:%d (cut %lld): ", p->script->path, p->at ? p->at->number : 0, (long long)p->cut);
	va_start(args, format);
	vprint_error(format, args);
	va_end(args);
	for (size_t i = p->did_read; i < p->did_count; i++)
		print_error("\n  %c %s%s", p->did[i].is_said ? '<' : '!', p->did[i].text,
			    p->did[i].ends_group ? "  (end of group)" : "");
	print_error("\n");
	fail();
	abort();
}

/* ---------------------------------------------------------------- settings */

static int64_t setting_ms(const struct script *script, const char *name)
{
	const char *value = script_setting(script, name);
	int64_t ms = 0;

	assert_true(!value || text_duration(span_str(value), &ms));
	return ms;
}

static bool setting_is(const struct script *script, const char *name, const char *value)
{
	const char *set = script_setting(script, name);

	return set && strcmp(set, value) == 0;
}

static struct client_config read_config(const struct script *script)
{
	static const char *const levels[] = { "none", "opportunistic", "starttls", "implicit" };
	const char *tls = script_setting(script, "tls"), *auth = script_setting(script, "auth");
	const char *secret = script_setting(script, "secret"), *user = script_setting(script, "user");
	struct client_config config = {
		.ehlo_name = "client.example",
		.relay = !setting_is(script, "relay", "no"),
		.lmtp = setting_is(script, "lmtp", "yes"),
		.tls_unproven = setting_is(script, "tls_unproven", "yes"),
		.auth_in_clear = setting_is(script, "auth_in_clear", "yes"),
		.user = user ? user : "user",
		.host = "mx.example.org",
		.port = 587,
		.secret = span_str(secret ? secret : "secret"),
		.pipelining = !setting_is(script, "pipelining", "no"),
		.pipeline_next = setting_is(script, "pipeline_next", "yes"),
		.greeting_ms = setting_ms(script, "greeting"),
		.command_ms = setting_ms(script, "command"),
		.data_ms = setting_ms(script, "data"),
		.quit_ms = setting_ms(script, "quit"),
	};
	const char *chunk = script_setting(script, "chunk");
	char word[32];

	config.chunk_bytes = chunk ? (uint32_t)atoi(chunk) : 0;
	while (tls && strcmp(levels[config.tls], tls) != 0)
		assert_true(++config.tls <= CLIENT_TLS_IMPLICIT);
	while (auth && script_word(&auth, word, sizeof(word))) {
		enum sasl_mechanism found = sasl_find(span_str(word));

		assert_true(found != SASL_NONE);
		config.auth |= SASL_BIT(found);
	}
	return config;
}

/* ---------------------------------------------------------------- the engine's side */

static void note(struct player *p, bool is_said, struct span text)
{
	assert_true(p->did_count < DID_MAX);
	p->did[p->did_count++] = (struct deed){ .is_said = is_said, .text = mem_span_dup(text), .len = text.len };
}

static void note_said(struct player *p, struct span bytes)
{
	struct span held;

	assert_true(bytes.len > 0);
	assert_true(buf_append_span(&p->line, bytes));
	for (held = buf_span(&p->line); held.len; held = buf_span(&p->line)) {
		const char *end = memmem(held.data, held.len, "\r\n", 2);

		if (!end)
			return;
		note(p, true, span_of(held.data, (size_t)(end - held.data)));
		buf_consume(&p->line, (size_t)(end - held.data) + 2);
	}
	p->did[p->did_count - 1].ends_group = true;
}

static void print_reply(struct buf *out, enum client_phase phase, const struct reply *reply, bool no_pipelining)
{
	assert_true(
		buf_printf(out, "%s at %s: ", no_pipelining ? " without pipelining" : "", client_phase_name(phase)));
	assert_true(reply_print(reply, out));
	assert_true(text_is_utf8(reply->text));
	assert_true(reply->text.len <= REPLY_TEXT_MAX);
}

static void note_done(struct player *p, const struct client_action *a)
{
	static const char *const objects[] = { "lane", "parked", "throttled" };
	struct buf out;

	buf_init(&out, 1 << 16);
	switch (a->kind) {
	case CLIENT_WAIT:
	case CLIENT_SEND: break;
	case CLIENT_START_TLS: buf_append_str(&out, "start tls"); break;
	case CLIENT_READY:
		assert_true(client_is_ready(p->client));
		buf_append_str(&out, a->ahead ? "ready ahead" : "ready");
		break;
	case CLIENT_WANT_BODY: buf_append_str(&out, "want body"); break;
	case CLIENT_RCPT_RESULT:
		buf_printf(&out, "rcpt %s %s", a->result.message->rcpts[a->result.rcpt].address,
			   client_outcome_name(a->result.outcome));
		print_reply(&out, a->result.phase, &a->result.reply, false);
		break;
	case CLIENT_MESSAGE_DONE: buf_append_str(&out, "done"); break;
	case CLIENT_FAILED:
		buf_printf(&out, "failed %s", objects[a->failure.object]);
		print_reply(&out, a->failure.phase, &a->failure.reply, a->no_pipelining);
		break;
	case CLIENT_CLOSE: buf_append_str(&out, a->no_pipelining ? "close without pipelining" : "close"); break;
	}
	if (!buf_is_empty(&out))
		note(p, false, buf_span(&out));
	buf_fini(&out);
}

static void run(struct player *p)
{
	struct client_action action;

	do {
		client_step(p->client, p->now_ms, &action);
		if (action.kind == CLIENT_SEND)
			note_said(p, action.data);
		note_done(p, &action);
	} while (action.kind != CLIENT_WAIT);
}

/* Each piece lies in a block of its own size: an over-read shows. */
static void feed(struct player *p, const char *text, size_t len)
{
	char *bytes = mem_dup(text, len);

	client_feed(p->client, span_of(bytes, len), p->now_ms);
	mem_free(bytes);
}

static void peer_says(struct player *p, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t part = len - i;

		if (p->cut == CUT_EVERYWHERE || p->cut == CUT_EVERYWHERE_UNSTEPPED)
			part = 1;
		else if (p->cut > p->peer_bytes && p->cut < p->peer_bytes + (int64_t)part)
			part = (size_t)(p->cut - p->peer_bytes);
		feed(p, text + i, part);
		p->peer_bytes += (int64_t)part;
		i += part;
		if (p->cut == CUT_EVERYWHERE)
			run(p);
	}
	run(p);
}

/* ---------------------------------------------------------------- the script's side */

static void expect(struct player *p, bool is_said)
{
	const struct deed *deed = &p->did[p->did_read];
	const struct script_line *next = p->at + 1 < p->script->lines + p->script->count ? p->at + 1 : NULL;

	if (p->did_read == p->did_count || deed->is_said != is_said || !script_fits(p->at, deed->text, deed->len))
		wrong(p, "wanted '%s', and there was", p->at->text);
	if (is_said && deed->ends_group != !(next && next->kind == SCRIPT_US))
		wrong(p, "the group ends elsewhere than here, at '%s'", deed->text);
	p->did_read++;
}

static bool is_setting(const char *word, const char *name, const char **out_value)
{
	size_t len = strlen(name);

	*out_value = word + len;
	return strncmp(word, name, len) == 0;
}

/* notify=success,delay; orcpt=rfc822;a@b: of the recipient before */
static bool read_rcpt_word(struct client_rcpt *rcpt, const char *word)
{
	static const char *const names[] = { "never", "success", "failure", "delay" };
	const char *value;

	if (is_setting(word, "orcpt=", &value)) {
		rcpt->orcpt = value;
		return true;
	}
	if (!is_setting(word, "notify=", &value))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (strstr(value, names[i]))
			rcpt->notify |= (uint8_t)(1u << i);
	return true;
}

/* by=60;R, by=-5;NT: seconds */
static void read_by(struct client_message *m, const char *value)
{
	char *end;

	m->by_ms = strtoll(value, &end, 10) * 1000;
	m->by = end[1] == 'R' ? CLIENT_BY_RETURN : CLIENT_BY_NOTIFY;
	m->by_trace = end[2] == 'T';
}

static bool read_message_word(struct client_message *m, const char *word)
{
	const char *value;

	if (is_setting(word, "size=", &value))
		m->size_bytes = strtoull(value, NULL, 10);
	else if (strcmp(word, "8bit") == 0)
		m->content = CLIENT_8BIT;
	else if (strcmp(word, "binary") == 0)
		m->content = CLIENT_BINARY;
	else if (strcmp(word, "utf8") == 0)
		m->smtputf8 = true;
	else if (strcmp(word, "utf8-header") == 0)
		m->smtputf8 = m->header_is_8bit = true;
	else if (strcmp(word, "requiretls") == 0)
		m->requiretls = true;
	else if (is_setting(word, "priority=", &value))
		m->priority = (int8_t)atoi(value);
	else if (is_setting(word, "envid=", &value))
		m->envid = value;
	else if (is_setting(word, "ret=", &value))
		m->ret = strcmp(value, "full") == 0 ? CLIENT_RET_FULL : CLIENT_RET_HDRS;
	else if (is_setting(word, "by=", &value))
		read_by(m, value);
	else
		return false;
	return true;
}

/* @ message SENDER RCPT … and what it demands; the null sender is written <> */
static void give_message(struct player *p, const char *rest)
{
	struct message *m = &p->messages[p->message_count++];
	char word[1024];

	assert_true(p->message_count <= MESSAGES_MAX);
	m->message.rcpts = m->rcpts;
	while (script_word(&rest, word, sizeof(word))) {
		char *copy = m->words[m->word_count++] = mem_strdup(word);

		if (read_message_word(&m->message, copy))
			continue;
		if (m->message.rcpt_count && read_rcpt_word(&m->rcpts[m->message.rcpt_count - 1], copy))
			continue;
		if (!m->message.sender)
			m->message.sender = strcmp(word, "<>") == 0 ? "" : copy;
		else
			m->rcpts[m->message.rcpt_count++].address = copy;
	}
	if (!client_is_ready(p->client))
		wrong(p, "the client is not ready");
	client_message(p->client, &m->message, p->now_ms);
}

static bool is_event(const char *text, const char *name, const char **out_rest)
{
	size_t len = strlen(name);

	if (strncmp(text, name, len) != 0 || (text[len] && text[len] != ' '))
		return false;
	*out_rest = text[len] ? text + len + 1 : text + len;
	return true;
}

static void happen(struct player *p)
{
	const char *text = p->at->text, *rest;

	if (is_event(text, "message", &rest))
		give_message(p, rest);
	else if (is_event(text, "body", &rest))
		client_body(p->client, span_of(rest, p->at->len - (size_t)(rest - text)), p->now_ms);
	else if (is_event(text, "end", &rest))
		client_body_end(p->client, p->now_ms);
	else if (is_event(text, "abort", &rest))
		client_body_abort(p->client, p->now_ms);
	else if (is_event(text, "quit", &rest))
		client_quit(p->client, p->now_ms);
	else if (is_event(text, "eof", &rest))
		client_eof(p->client, span_str(rest), p->now_ms);
	else if (is_event(text, "binding", &rest))
		client_channel_binding(p->client, (const uint8_t *)"0123456789abcdef0123456789abcdef");
	else if (is_event(text, "tls", &rest))
		client_tls_started(p->client, strcmp(rest, "unproven") != 0, p->now_ms);
	else if (is_event(text, "tls-failed", &rest))
		client_tls_failed(p->client, span_str(rest), p->now_ms);
	else
		wrong(p, "unknown event");
	/* A body that is given in one go is not stepped in between. */
	if (p->at + 1 < p->script->lines + p->script->count && p->at[1].kind == SCRIPT_EVENT)
		return;
	run(p);
}

/* Time passes in the steps the engine asks for, so that a deadline does what it does when it comes. */
static void pass_time(struct player *p)
{
	int64_t until = p->now_ms + p->at->ms;

	while (client_deadline(p->client) <= until && client_deadline(p->client) > p->now_ms) {
		p->now_ms = client_deadline(p->client);
		run(p);
	}
	p->now_ms = until;
	run(p);
}

static void expect_nothing_more(struct player *p)
{
	if (p->did_read != p->did_count || !buf_is_empty(&p->line))
		wrong(p, "more was said or done than the script has up to here");
}

static void play_line(struct player *p)
{
	switch (p->at->kind) {
	case SCRIPT_SETTING:
	case SCRIPT_PEER: return;
	case SCRIPT_US: expect(p, true); return;
	case SCRIPT_ACTION: expect(p, false); return;
	case SCRIPT_EVENT: happen(p); return;
	case SCRIPT_TIME: pass_time(p); return;
	}
}

/* Consecutive lines of the server are one group. Returns the last line of it. */
static size_t play_group(struct player *p, size_t i)
{
	struct buf group;

	buf_init(&group, 1 << 22);
	for (;; i++) {
		assert_true(buf_append(&group, p->script->lines[i].text, p->script->lines[i].len));
		if (i + 1 == p->script->count || p->script->lines[i + 1].kind != SCRIPT_PEER)
			break;
	}
	p->at = &p->script->lines[i];
	peer_says(p, buf_span(&group).data, buf_span(&group).len);
	buf_fini(&group);
	return i;
}

/* The setting `offers`: greeting and EHLO are over, and these are the extensions. */
static void say_hello(struct player *p, const char *offers)
{
	struct buf reply;
	char word[64];

	buf_init(&reply, 1 << 16);
	feed(p, "220 mx.example.org ESMTP\r\n", 26);
	run(p);
	while (script_word(&offers, word, sizeof(word))) {
		for (char *equals = strchr(word, '='); equals; equals = strchr(word, '='))
			*equals = ' ';
		buf_printf(&reply, "250-%s\r\n", word);
	}
	buf_append_str(&reply, "250 HELP\r\n");
	feed(p, "250-mx.example.org\r\n", 20);
	feed(p, buf_span(&reply).data, buf_span(&reply).len);
	buf_fini(&reply);
	run(p);
	assert_int_equal(p->did_count, 2);
	assert_string_equal(p->did[0].text,
			    setting_is(p->script, "lmtp", "yes") ? "LHLO client.example" : "EHLO client.example");
	assert_string_equal(p->did[1].text, "ready");
	p->did_read = 2;
}

static void free_player(struct player *p)
{
	client_free(p->client);
	buf_fini(&p->line);
	for (size_t i = 0; i < p->did_count; i++)
		mem_free(p->did[i].text);
	for (size_t i = 0; i < p->message_count; i++)
		for (size_t k = 0; k < p->messages[i].word_count; k++)
			mem_free(p->messages[i].words[k]);
	mem_free(p);
}

/* Returns how many bytes the server said in it. */
static int64_t play(const struct script *script, int64_t cut)
{
	struct player *p = MEM_NEW(struct player);
	struct client_config config = read_config(script);
	const char *offers = script_setting(script, "offers");
	int64_t bytes;

	p->script = script;
	p->cut = cut;
	p->now_ms = 1000;
	buf_init(&p->line, 1 << 22);
	p->client = client_new(&config, p->now_ms);
	if (offers)
		say_hello(p, offers);
	run(p);
	for (size_t i = 0; i < script->count; i++) {
		p->at = &script->lines[i];
		if (p->at->kind == SCRIPT_PEER || p->at->kind == SCRIPT_EVENT || p->at->kind == SCRIPT_TIME)
			expect_nothing_more(p);
		if (p->at->kind == SCRIPT_PEER)
			i = play_group(p, i);
		play_line(p);
	}
	expect_nothing_more(p);
	bytes = p->peer_bytes;
	free_player(p);
	return bytes;
}

static void play_everywhere(void **state)
{
	const struct script *script = *state;
	int64_t bytes = play(script, CUT_NOWHERE), stride;

	if (setting_is(script, "cut", "no"))
		return;
	play(script, CUT_EVERYWHERE_UNSTEPPED);
	if (!setting_is(script, "step", "late"))
		play(script, CUT_EVERYWHERE);
	stride = bytes / CUTS_MAX + 1;
	for (int64_t at = 1; at < bytes; at += stride)
		play(script, at);
}

int main(void)
{
	size_t count;
	char **paths = script_find("tests/scripts/client", &count);
	struct script **scripts = mem_calloc(count, sizeof(*scripts));
	struct CMUnitTest *tests = mem_calloc(count, sizeof(*tests));
	int failed;

	for (size_t i = 0; i < count; i++) {
		scripts[i] = script_read(paths[i]);
		tests[i] = (struct CMUnitTest){ paths[i], play_everywhere, NULL, NULL, scripts[i] };
	}
	failed = _cmocka_run_group_tests("client scripts", tests, count, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		script_free(scripts[i]);
	mem_free(tests);
	mem_free(scripts);
	script_free_paths(paths, count);
	return failed;
}
