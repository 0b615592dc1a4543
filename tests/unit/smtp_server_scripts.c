/* Plays the scripts of tests/scripts/server against the engine: whole, byte by byte, and cut in two everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/instant.h"
#include "base/mem.h"
#include "base/text.h"
#include "smtp/server.h"
#include "tests/unit/support/script.h"

enum { CUTS_MAX = 1500 };

/* Where the peer's bytes are cut: nowhere, everywhere, or once. */
enum { CUT_NOWHERE = -1, CUT_EVERYWHERE = -2 };

struct player {
	const struct script *script;
	struct server_config config;
	struct server *server;
	enum scram_hash hash; /* of the verifier asked for last */
	int64_t now_ms;
	struct buf input; /* what the peer has said and the engine has not taken */
	struct buf said;  /* our lines that the script has not read yet */
	struct buf done;  /* actions that the script has not read yet, one a line */
	struct buf body;  /* of the message so far */
	int64_t cut;      /* position in all the peer says, or CUT_ */
	int64_t peer_bytes;
	const struct script_line *line;
};

static void wrong(const struct player *p, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

static void wrong(const struct player *p, const char *format, ...)
{
	va_list args;

	print_error("%s:%d (cut %lld): ", p->script->path, p->line ? p->line->number : 0, (long long)p->cut);
	va_start(args, format);
	vprint_error(format, args);
	va_end(args);
	print_error("\n  said: %s\n  done: %s\n", buf_cstr((struct buf *)&p->said), buf_cstr((struct buf *)&p->done));
	fail();
	abort();
}

/* ---------------------------------------------------------------- settings */

static unsigned features_of(const char *names)
{
	static const struct {
		const char *name;
		unsigned bit;
	} rows[] = {
#define X(name, keyword) { #name, SERVER_##name },
		SERVER_FEATURES(X)
#undef X
			{ "PLAIN", SERVER_PLAIN },
		{ "FULL", SERVER_FULL },
	};
	unsigned features = 0;
	char word[64];

	while (script_word(&names, word, sizeof(word))) {
		size_t i = 0;

		while (strcmp(rows[i].name, word) != 0)
			assert_true(++i < sizeof(rows) / sizeof(rows[0]));
		features |= rows[i].bit;
	}
	return features;
}

static const struct {
	enum server_mechanism bit;
	const char *name;
} mechanisms[] = {
#define X(name, keyword) { SERVER_AUTH_##name, keyword },
	SERVER_MECHANISMS(X)
#undef X
};

static unsigned mechanisms_of(const char *names)
{
	unsigned mask = 0;
	char word[64];

	while (names && script_word(&names, word, sizeof(word))) {
		size_t i = 0;

		while (strcmp(mechanisms[i].name, word) != 0)
			assert_true(++i < sizeof(mechanisms) / sizeof(mechanisms[0]));
		mask |= mechanisms[i].bit;
	}
	return mask;
}

static int64_t setting_ms(const struct script *script, const char *name)
{
	const char *value = script_setting(script, name);
	int64_t ms = 0;

	assert_true(!value || text_duration(span_str(value), &ms));
	return ms;
}

static uint32_t setting_number(const struct script *script, const char *name)
{
	const char *value = script_setting(script, name);

	return value ? (uint32_t)strtoul(value, NULL, 10) : 0;
}

/* What the wall clock says at the start of a session. */
static int64_t read_wall(const struct script *script)
{
	const char *value = script_setting(script, "wall");
	int64_t ms;

	assert_true(instant_parse(span_str(value ? value : "2026-11-24T12:00:00Z"), &ms));
	return ms;
}

static struct server_config read_config(const struct script *script)
{
	const char *hostname = script_setting(script, "hostname"), *features = script_setting(script, "features");
	const char *newline = script_setting(script, "bare_newline");

	return (struct server_config){
		.hostname = hostname ? hostname : "mx.example.org",
		.greeting = script_setting(script, "greeting"),
		.features = features ? features_of(features) : SERVER_FULL,
		.max_size_bytes = setting_number(script, "max_size"),
		.max_recipients = setting_number(script, "max_recipients"),
		.max_errors = setting_number(script, "max_errors"),
		.command_timeout_ms = setting_ms(script, "command_timeout"),
		.data_timeout_ms = setting_ms(script, "data_timeout"),
		.session_timeout_ms = setting_ms(script, "session_timeout"),
		.max_hold_ms = setting_ms(script, "max_hold"),
		.min_deliver_by_ms = setting_ms(script, "min_deliver_by"),
		.min_data_rate = setting_number(script, "min_data_rate"),
		.newline = newline && strcmp(newline, "refuse") == 0 ? SERVER_NEWLINE_REFUSE : SERVER_NEWLINE_NORMALIZE,
		.allow_bare_local_parts = script_setting(script, "allow_bare_local_parts"),
		.mechanisms = mechanisms_of(script_setting(script, "mechanisms")),
		.auth_without_tls = script_setting(script, "auth_without_tls"),
		.require_auth = script_setting(script, "require_auth"),
		.require_tls = script_setting(script, "require_tls"),
		.ask_mail = script_setting(script, "ask_mail"),
		.ask_rcpt = script_setting(script, "ask_rcpt"),
	};
}

/* ---------------------------------------------------------------- the engine's side */

static void note_auth(struct player *p, const struct server_auth *auth)
{
	size_t i = 0;

	while (mechanisms[i].bit != auth->mechanism)
		i++;
	p->hash = auth->hash;
	buf_printf(&p->done, "auth %s %s", mechanisms[i].name, auth->user);
	switch (auth->kind) {
	case SERVER_AUTH_PASSWORD: buf_printf(&p->done, " password %s\n", auth->password); break;
	case SERVER_AUTH_VERIFIER: buf_printf(&p->done, " verifier %s\n", scram_name(auth->hash)); break;
	case SERVER_AUTH_PROVEN: buf_append_str(&p->done, " proven\n"); break;
	case SERVER_AUTH_FAILED: buf_printf(&p->done, " failed: %s\n", auth->why); break;
	}
}

static void note(struct player *p, const struct server_action *action)
{
	switch (action->kind) {
	case SERVER_SEND: buf_append_span(&p->said, action->bytes); break;
	case SERVER_BODY: buf_append_span(&p->body, action->bytes); break;
	case SERVER_ASK_MAIL: buf_printf(&p->done, "mail %s\n", action->address); break;
	case SERVER_ASK_RCPT:
		assert_string_equal(action->address, action->rcpt->address);
		buf_printf(&p->done, "rcpt %s\n", action->address);
		break;
	case SERVER_STORE: buf_append_str(&p->done, "store\n"); break;
	case SERVER_ABORT:
		assert_non_null(server_envelope(p->server)->sender);
		buf_append_str(&p->done, "abort\n");
		break;
	case SERVER_START_TLS: buf_append_str(&p->done, "starttls\n"); break;
	case SERVER_ASK_AUTH: note_auth(p, action->auth); break;
	case SERVER_CLOSE: buf_append_str(&p->done, "close\n"); break;
	case SERVER_NEED: break;
	}
}

/* Steps until the engine needs something. The input lies in a block of its own size: an over-read shows. */
static void run(struct player *p)
{
	struct span held = buf_span(&p->input);
	char *bytes = mem_dup(held.data, held.len);
	struct span input = span_of(bytes, held.len);
	struct server_action action;

	do {
		server_step(p->server, p->now_ms, &input, &action);
		note(p, &action);
	} while (action.kind != SERVER_NEED);
	buf_consume(&p->input, held.len - input.len);
	mem_free(bytes);
}

/* Hands a group in, cut as this run wants it. */
static void peer_says(struct player *p, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t part = len - i;

		if (p->cut == CUT_EVERYWHERE)
			part = 1;
		else if (p->cut > p->peer_bytes && p->cut < p->peer_bytes + (int64_t)part)
			part = (size_t)(p->cut - p->peer_bytes);
		buf_append(&p->input, text + i, part);
		p->peer_bytes += (int64_t)part;
		i += part;
		run(p);
	}
}

/* ---------------------------------------------------------------- the script's side */

/* Takes the first line off a buffer; false: there is none. */
static bool first_line(struct buf *buf, const char *end, struct span *out)
{
	struct span held = buf_span(buf);
	const char *at = held.len ? memmem(held.data, held.len, end, strlen(end)) : NULL;

	if (!at)
		return false;
	*out = span_of(held.data, (size_t)(at - held.data));
	return true;
}

static void expect_said(struct player *p)
{
	struct span got;

	if (!first_line(&p->said, "\r\n", &got))
		wrong(p, "nothing was said, wanted '%s'", p->line->text);
	if (!script_fits(p->line, got.data, got.len))
		wrong(p, "said '%.*s', wanted '%s'", SPAN_ARGS(got), p->line->text);
	buf_consume(&p->said, got.len + 2);
}

static void expect_body(struct player *p, const char *want, size_t len)
{
	struct span got = buf_span(&p->body);

	if (got.len != len || (len && memcmp(got.data, want, len) != 0))
		wrong(p, "the body is '%.*s', wanted '%s'", SPAN_ARGS(got), want);
}

static void expect_done(struct player *p)
{
	struct span got;

	if (strncmp(p->line->text, "body ", 5) == 0) {
		expect_body(p, p->line->text + 5, p->line->len - 5);
		return;
	}
	if (!first_line(&p->done, "\n", &got))
		wrong(p, "nothing was done, wanted '%s'", p->line->text);
	if (!script_fits(p->line, got.data, got.len))
		wrong(p, "did '%.*s', wanted '%s'", SPAN_ARGS(got), p->line->text);
	if (span_equals(got, SPAN("store")) && server_envelope(p->server)->body_bytes != buf_span(&p->body).len)
		wrong(p, "body_bytes is wrong");
	if (span_equals(got, SPAN("store")) || span_equals(got, SPAN("abort")))
		buf_clear(&p->body);
	buf_consume(&p->done, got.len + 1);
}

/* What a driver learns of the connection, anew with TLS. */
static void know(struct player *p, bool is_tls)
{
	const char *binding = script_setting(p->script, "binding");
	struct server_facts facts = {
		.is_local = script_setting(p->script, "local"),
		.mechanisms = mechanisms_of(script_setting(p->script, "only")),
		.user = is_tls ? script_setting(p->script, "certificate") : NULL,
		.binding = is_tls ? span_str(binding) : span_str(NULL),
	};

	server_know(p->server, &facts);
}

/* "PASSWORD ITERATIONS": the verifier that was asked for. */
static void give_verifier(struct player *p, const char *rest)
{
	struct scram_verifier verifier = { .hash = p->hash, .salt = "salt and pepper!", .salt_len = 16 };
	char password[64], iterations[16];

	if (!script_word(&rest, password, sizeof(password)) || !script_word(&rest, iterations, sizeof(iterations)))
		wrong(p, "wanted PASSWORD ITERATIONS");
	verifier.iterations = (uint32_t)atoi(iterations);
	scram_derive(&verifier, span_str(password));
	server_verifier(p->server, &verifier);
}

static struct server_reply read_reply(struct player *p, const char *rest, char status[16])
{
	char code[8];

	if (!script_word(&rest, code, sizeof(code)) || !script_word(&rest, status, 16))
		wrong(p, "wanted CODE STATUS TEXT");
	return (struct server_reply){ atoi(code), status, rest };
}

/* ---------------------------------------------------------------- facts */

static void append_seconds(struct buf *out, const char *key, int64_t ms)
{
	assert_int_equal(ms % 1000, 0);
	buf_printf(out, " %s=%lld", key, (long long)(ms / 1000));
}

/* What was said of the message beyond sender and size, in this order. */
static void describe_envelope(const struct server_envelope *e, struct buf *out)
{
	static const char *const bodies[] = { "", " 8bitmime", " binarymime" };
	static const char *const rets[] = { "", " ret=full", " ret=hdrs" };
	char date[INSTANT_SIZE];

	buf_printf(out, "%s%s%s%s", *e->sender ? e->sender : "<>", bodies[e->body], e->smtputf8 ? " smtputf8" : "",
		   e->requiretls ? " requiretls" : "");
	buf_append_str(out, rets[e->ret]);
	if (*e->envid)
		buf_printf(out, " envid=%s", e->envid);
	if (e->priority)
		buf_printf(out, " priority=%d", e->priority);
	if (e->hold_for_ms)
		append_seconds(out, "hold_for", e->hold_for_ms);
	if (e->hold_until_ms)
		buf_printf(out, " hold_until=%s", instant_print(e->hold_until_ms, date));
	if (e->by != SERVER_BY_UNSAID)
		append_seconds(out, e->by == SERVER_BY_RETURN ? "by_return" : "by_notify", e->by_ms);
	if (e->by_trace)
		buf_append_str(out, " by_trace");
	buf_append_str(out, e->is_chunked ? " chunked" : "");
	if (e->declared_bytes)
		buf_printf(out, " size=%llu", (unsigned long long)e->declared_bytes);
	buf_append_str(out, e->has_8bit ? " has_8bit" : "");
	buf_append_str(out, e->has_nul ? " has_nul" : "");
}

/* The recipient accepted last. */
static void describe_rcpt(const struct server_envelope *e, struct buf *out)
{
	static const char *const notify[] = { "never", "success", "failure", "delay" };
	const struct server_rcpt *rcpt = e->rcpts;
	const char *before = " notify=";

	assert_non_null(rcpt);
	while (rcpt->next)
		rcpt = rcpt->next;
	buf_append_str(out, rcpt->address);
	for (unsigned i = 0; i < 4; i++) {
		if (!(rcpt->notify & 1u << i))
			continue;
		buf_printf(out, "%s%s", before, notify[i]);
		before = ",";
	}
	if (*rcpt->orcpt)
		buf_printf(out, " orcpt=%s", rcpt->orcpt);
}

static void expect_fact(struct player *p, void (*describe)(const struct server_envelope *e, struct buf *out),
			const char *want)
{
	struct buf got;

	buf_init(&got, 4096);
	describe(server_envelope(p->server), &got);
	if (strcmp(buf_cstr(&got), want) != 0)
		wrong(p, "is '%s', wanted '%s'", buf_cstr(&got), want);
	buf_fini(&got);
}

static void happen(struct player *p)
{
	const char *rest = p->line->text;
	char word[32], status[16];

	if (!script_word(&rest, word, sizeof(word)))
		wrong(p, "an event has a name");
	if (strcmp(word, "accept") == 0)
		server_accept(p->server, *rest ? rest : NULL);
	else if (strcmp(word, "refuse") == 0)
		server_refuse(p->server, read_reply(p, rest, status));
	else if (strcmp(word, "fail-body") == 0)
		server_fail_body(p->server, read_reply(p, rest, status));
	else if (strcmp(word, "turn-away") == 0)
		server_turn_away(p->server, read_reply(p, rest, status));
	else if (strcmp(word, "verifier") == 0)
		give_verifier(p, rest);
	else if (strcmp(word, "tls") == 0) {
		server_tls_started(p->server);
		know(p, true);
	} else if (strcmp(word, "eof") == 0)
		server_peer_closed(p->server);
	else if (strcmp(word, "shutdown") == 0)
		server_shut_down(p->server);
	else if (strcmp(word, "held-up") == 0) {
		int64_t ms;

		assert_true(text_duration(span_str(rest), &ms));
		p->now_ms += ms;
		server_held_up(p->server, ms);
	} else if (strcmp(word, "protocol") == 0)
		assert_string_equal(server_protocol(p->server), rest);
	else if (strcmp(word, "helo") == 0)
		assert_string_equal(server_helo(p->server), rest);
	else if (strcmp(word, "envelope") == 0)
		expect_fact(p, describe_envelope, rest);
	else if (strcmp(word, "rcpt") == 0)
		expect_fact(p, describe_rcpt, rest);
	else if (strcmp(word, "rcpts") == 0)
		assert_int_equal(server_envelope(p->server)->rcpt_count, atoi(rest));
	else
		wrong(p, "unknown event");
	run(p);
}

/* Time passes in the steps the engine asks for, so that a deadline does what it does when it comes. */
static void pass_time(struct player *p)
{
	int64_t until = p->now_ms + p->line->ms;

	while (server_deadline(p->server) <= until && server_deadline(p->server) > p->now_ms) {
		p->now_ms = server_deadline(p->server);
		run(p);
	}
	p->now_ms = until;
	run(p);
}

static void play_line(struct player *p)
{
	switch (p->line->kind) {
	case SCRIPT_SETTING: return;
	case SCRIPT_PEER: return;
	case SCRIPT_US: expect_said(p); return;
	case SCRIPT_ACTION: expect_done(p); return;
	case SCRIPT_EVENT: happen(p); return;
	case SCRIPT_TIME: pass_time(p); return;
	}
}

/* Consecutive peer lines are one group. Returns the last line of it. */
static size_t play_group(struct player *p, size_t i)
{
	struct buf group;

	buf_init(&group, 1 << 22);
	for (;; i++) {
		assert_true(buf_append(&group, p->script->lines[i].text, p->script->lines[i].len));
		if (i + 1 == p->script->count || p->script->lines[i + 1].kind != SCRIPT_PEER)
			break;
	}
	peer_says(p, buf_span(&group).data, buf_span(&group).len);
	buf_fini(&group);
	return i;
}

static void say_hello(struct player *p)
{
	int64_t cut = p->cut;

	p->cut = CUT_NOWHERE;
	peer_says(p, "EHLO client.example\r\n", 21);
	p->cut = cut;
	p->peer_bytes = 0;
	buf_clear(&p->said);
}

/* Returns how many bytes the peer said in it. */
static int64_t play(const struct script *script, int64_t cut)
{
	struct player p = { .script = script, .config = read_config(script), .cut = cut, .now_ms = 1000 };

	buf_init(&p.input, 1 << 22);
	buf_init(&p.said, 1 << 22);
	buf_init(&p.done, 1 << 22);
	buf_init(&p.body, 1 << 22);
	p.server = server_new(&p.config, script_setting(script, "tls"), p.now_ms);
	know(&p, script_setting(script, "tls"));
	server_wall_clock(p.server, p.now_ms, read_wall(script));
	if (script_setting(script, "helo_first"))
		say_hello(&p);
	for (size_t i = 0; i < script->count; i++) {
		p.line = &script->lines[i];
		if (p.line->kind == SCRIPT_PEER)
			i = play_group(&p, i);
		/* A turn-away comes before the greeting. */
		else if (p.line->kind != SCRIPT_SETTING && p.peer_bytes == 0 && p.line->kind != SCRIPT_EVENT)
			run(&p);
		play_line(&p);
	}
	if (!buf_is_empty(&p.said) || !buf_is_empty(&p.done))
		wrong(&p, "more was said or done than the script has");
	server_free(p.server);
	buf_fini(&p.input);
	buf_fini(&p.said);
	buf_fini(&p.done);
	buf_fini(&p.body);
	return p.peer_bytes;
}

static void play_everywhere(void **state)
{
	const struct script *script = *state;
	const char *cut = script_setting(script, "cut");
	int64_t bytes = play(script, CUT_NOWHERE), stride;

	if (cut && strcmp(cut, "no") == 0)
		return;
	play(script, CUT_EVERYWHERE);
	stride = bytes / CUTS_MAX + 1;
	for (int64_t at = 1; at < bytes; at += stride)
		play(script, at);
}

int main(void)
{
	size_t count;
	char **paths = script_find("tests/scripts/server", &count);
	struct script **scripts = mem_calloc(count, sizeof(*scripts));
	struct CMUnitTest *tests = mem_calloc(count, sizeof(*tests));
	int failed;

	for (size_t i = 0; i < count; i++) {
		scripts[i] = script_read(paths[i]);
		tests[i] = (struct CMUnitTest){ paths[i], play_everywhere, NULL, NULL, scripts[i] };
	}
	failed = _cmocka_run_group_tests("server scripts", tests, count, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		script_free(scripts[i]);
	mem_free(tests);
	mem_free(scripts);
	script_free_paths(paths, count);
	return failed;
}
