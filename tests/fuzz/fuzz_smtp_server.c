/*
 * A session with any bytes and any answers of the driver: what is said and done does not depend on how the bytes are
 * cut, and the engine keeps its promises about order and about what it hands out. The first bytes choose
 * configuration, cut and answers.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 8, MESSAGE_MAX = 1 << 22 };

/* Said to a message that was stored, and never otherwise. */
#define STORED "stored-it"

struct play {
	struct server *server;
	struct buf said; /* how it is parted into writes may depend on the cut, so what is done stands apart */
	struct buf done;
	unsigned answers; /* bits that decide */
	size_t message;   /* where it begins in `done` */
	bool in_message;  /* body was handed out, its end was not */
	bool fails_body;  /* the driver cannot keep any */
	bool has_failed;
	size_t stored; /* messages */
	bool saw_tls;
	bool closed;
};

static bool next_answer(struct play *p)
{
	bool yes = p->answers & 1;

	p->answers = p->answers >> 1 | (p->answers & 1) << 15;
	return yes;
}

static void answer(struct play *p, bool is_store)
{
	if (next_answer(p)) {
		server_accept(p->server, is_store ? STORED : NULL);
		p->stored += is_store;
	} else {
		server_refuse(p->server,
			      (struct server_reply){ next_answer(p) ? 450 : 550, "4.2.0", "no\r\n250 y\xc3\xa9s" });
	}
}

static void check_text(const char *text, size_t max)
{
	assert(strlen(text) <= max);
	for (; *text; text++)
		assert((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check_ascii(const char *text)
{
	for (; *text; text++)
		assert((unsigned char)*text < 0x80);
}

/* What may be handed on without a second look. */
static void check_envelope(const struct play *p)
{
	const struct server_envelope *e = server_envelope(p->server);
	uint32_t count = 0;

	check_text(e->sender, 254);
	check_text(e->envid, 100);
	check_ascii(e->envid);
	assert(!e->requiretls || server_is_tls(p->server));
	assert(!e->hold_for_ms || !e->hold_until_ms);
	assert(e->by != SERVER_BY_RETURN || e->by_ms > 0);
	assert(e->priority >= -9 && e->priority <= 9);
	assert(e->body != SERVER_BODY_BINARYMIME || e->is_chunked || !e->body_bytes);
	if (!e->smtputf8)
		check_ascii(e->sender);
	for (const struct server_rcpt *rcpt = e->rcpts; rcpt; rcpt = rcpt->next, count++) {
		check_text(rcpt->address, 254);
		check_text(rcpt->orcpt, 500);
		assert(!*rcpt->orcpt || strchr(rcpt->orcpt, ';'));
		assert(!(rcpt->notify & SERVER_NOTIFY_NEVER) || rcpt->notify == SERVER_NOTIFY_NEVER);
		if (!e->smtputf8)
			check_ascii(rcpt->address);
	}
	assert(count == e->rcpt_count && count <= 8);
}

/* At SERVER_STORE: all of it is there, and text has no line end but CRLF. */
static void check_message(const struct play *p)
{
	const struct server_envelope *e = server_envelope(p->server);
	struct span body = p->in_message ? span_from(buf_span(&p->done), p->message) : span_of("", 0);

	assert(e->body_bytes == body.len);
	for (size_t i = 0; i < body.len && e->body != SERVER_BODY_BINARYMIME; i++) {
		if (body.data[i] == '\r')
			assert(i + 1 < body.len && body.data[i + 1] == '\n');
		if (body.data[i] == '\n')
			assert(i > 0 && body.data[i - 1] == '\r');
	}
	assert(e->body == SERVER_BODY_BINARYMIME || !body.len || body.data[body.len - 1] == '\n');
}

static void take_body(struct play *p, struct span bytes)
{
	const struct server_envelope *envelope = server_envelope(p->server);

	assert(envelope->sender && envelope->rcpt_count && bytes.len);
	if (envelope->body_bytes == bytes.len)
		p->has_failed = false; /* another message */
	assert(!p->has_failed);
	if (p->fails_body) {
		p->has_failed = true;
		server_fail_body(p->server, (struct server_reply){ 452, "4.3.1", "full" });
		return;
	}
	if (!p->in_message)
		p->message = p->done.len;
	p->in_message = true;
	buf_append_span(&p->done, bytes);
}

static void act(struct play *p, const struct server_action *action)
{
	const struct server_envelope *envelope = server_envelope(p->server);

	assert(!p->closed || action->kind == SERVER_NEED);
	switch (action->kind) {
	case SERVER_SEND:
		assert(action->bytes.len && action->bytes.len < 8192);
		buf_append_span(&p->said, action->bytes);
		return;
	case SERVER_ASK_MAIL:
	case SERVER_ASK_RCPT: check_text(action->address, 254); break;
	case SERVER_ASK_AUTH:
		check_text(action->auth->user, 255);
		/* What follows a verifier has a nonce in it: fuzz_smtp_sasl goes on there. */
		if (action->auth->kind == SERVER_AUTH_VERIFIER || action->auth->kind == SERVER_AUTH_FAILED) {
			server_refuse(p->server, (struct server_reply){ 535, "5.7.8", "no" });
			buf_append_str(&p->done, "AUTH");
			return;
		}
		break;
	case SERVER_BODY: take_body(p, action->bytes); return;
	case SERVER_STORE:
		assert(envelope->sender && envelope->rcpt_count && envelope->rcpts);
		check_envelope(p);
		check_message(p);
		p->in_message = false;
		break;
	case SERVER_ABORT:
		assert(envelope->sender);
		check_envelope(p);
		/* How much of it was handed out before may depend on the cut. */
		if (p->in_message)
			buf_truncate(&p->done, p->message);
		p->in_message = false;
		buf_append_str(&p->done, "ABORT");
		return;
	case SERVER_START_TLS:
		p->saw_tls = true;
		server_tls_started(p->server);
		return;
	case SERVER_CLOSE:
		assert(!p->in_message);
		p->closed = true;
		return;
	case SERVER_NEED: return;
	}
	buf_append_char(&p->done, (char)('A' + action->kind));
	answer(p, action->kind == SERVER_STORE);
}

static void feed(struct play *p, struct span bytes, size_t piece)
{
	for (size_t i = 0; i < bytes.len && !p->closed; i += piece) {
		size_t len = i + piece < bytes.len ? piece : bytes.len - i;
		char *copy = mem_dup(bytes.data + i, len);
		struct span in = span_of(copy, len);
		struct server_action action;

		do {
			server_step(p->server, 0, &in, &action);
			act(p, &action);
		} while (action.kind != SERVER_NEED);
		assert(in.len == 0 || p->closed);
		mem_free(copy);
	}
}

/* No message was called stored but those that were, and only who asked for UTF-8 was given it. */
static void check_replies(const struct play *p, const struct server_config *config)
{
	struct span rest = buf_span(&p->said);
	const char *at;
	size_t count = 0;

	for (size_t i = 0; i < rest.len; i++)
		assert((unsigned char)rest.data[i] < 0x80 || (config->features & SERVER_SMTPUTF8));
	while (rest.len && (at = memmem(rest.data, rest.len, STORED, strlen(STORED)))) {
		count++;
		rest = span_from(rest, (size_t)(at - rest.data) + 1);
	}
	assert(count == p->stored);
}

/* False: the cut matters, as TLS was begun or the driver gave a message up. */
static bool play(const struct server_config *config, const uint8_t *head, struct span bytes, size_t piece,
		 struct buf *out_story)
{
	struct play p = { .answers = head[1] | (unsigned)head[2] << 8, .fails_body = head[7] & 1 };
	struct server_action action;
	struct span none = span_of("", 0);

	buf_init(&p.said, MESSAGE_MAX);
	buf_init(&p.done, MESSAGE_MAX);
	p.server = server_new(config, head[3] & 1, 0);
	if (!(head[7] & 2))
		server_wall_clock(p.server, 0, 0);
	feed(&p, bytes, piece);
	server_peer_closed(p.server);
	while (!p.closed) {
		server_step(p.server, 0, &none, &action);
		act(&p, &action);
	}
	server_step(p.server, 1 << 30, &none, &action);
	assert(action.kind == SERVER_NEED);
	check_text(server_helo(p.server), 255);
	check_ascii(server_helo(p.server));
	check_replies(&p, config);
	server_free(p.server);
	buf_append_span(&p.said, buf_span(&p.done));
	buf_fini(&p.done);
	*out_story = p.said;
	return !p.saw_tls && !p.fails_body;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_config config;
	struct buf whole, pieces;
	struct span bytes;

	if (size <= HEAD || size > 32768)
		return 0;
	config = (struct server_config){
		.hostname = "mx.example.org",
		.features = (data[0] | (unsigned)data[6] << 8) & (data[3] & 2 ? ~0u : ~(unsigned)SERVER_STARTTLS),
		.max_size_bytes = data[3] & 4 ? 40 : 0,
		.min_deliver_by_ms = data[7] & 4 ? 60000 : 0,
		.max_recipients = 1u + data[4] % 8u,
		.max_errors = 1u + data[4] / 8u,
		.newline = data[3] & 8 ? SERVER_NEWLINE_REFUSE : SERVER_NEWLINE_NORMALIZE,
		.allow_bare_local_parts = data[3] & 16,
		.mechanisms = ~0u,
		.auth_without_tls = true,
		.require_auth = data[3] & 32,
		.ask_mail = data[3] & 64,
		.ask_rcpt = data[3] & 128,
	};
	bytes = span_of(data + HEAD, size - HEAD);
	if (play(&config, data, bytes, size, &whole)) {
		if (play(&config, data, bytes, 1u + data[5] % 32u, &pieces))
			assert(span_equals(buf_span(&whole), buf_span(&pieces)));
		buf_fini(&pieces);
	}
	buf_fini(&whole);
	return 0;
}
